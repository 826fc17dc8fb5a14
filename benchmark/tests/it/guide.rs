//! The commands of `docs/deployment.md` on two machines: two network namespaces with each profile's
//! distance between them. The test takes the commands from the guide, and replaces only the
//! machine's address, the path of the binary, and the profile.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use link_emulator::{Link, LinkConfig, Namespace, Settings};

use crate::{binary, skip};

const GUIDE: &str = include_str!("../../../docs/deployment.md");

/// The distance between the machines of each profile: delay and jitter each way in milliseconds,
/// and loss.
const DISTANCES: [(&str, u64, u64, f64); 4] =
    [("local", 0, 0, 0.0), ("lan", 1, 0, 0.0), ("wan", 50, 0, 0.0), ("wireless", 50, 25, 0.01)];

/// The guide's commands for two machines: the `sh` lines of its part on networks.
fn commands() -> Vec<&'static str> {
    let (_, part) = GUIDE.split_once("\n## LAN, WAN, wireless\n").unwrap();
    let part = part.split("\n## ").next().unwrap();
    // The commands for parts on one machine are those of `work-factory`'s own tests.
    let (_, of_parts) = GUIDE.split_once("\n## In parts\n").unwrap();
    let of_parts = of_parts.split("\n## ").next().unwrap();
    let blocks = |text: &str| text.matches("```sh\n").count();
    assert_eq!(
        blocks(GUIDE),
        blocks(part) + blocks(of_parts),
        "every block of commands is in one of these two parts of the guide, so that a test runs it"
    );
    part.split("```sh\n")
        .skip(1)
        .flat_map(|block| block.split("```").next().unwrap().lines())
        .collect()
}

/// A running command of the guide. The command is killed when this value is dropped.
struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    fn start(namespace: &Namespace, folder: &Path, name: &str, command: &str) -> Self {
        let output = folder.join(name);
        let file = File::create(&output).unwrap();
        let mut bash = Command::new("bash");
        // The program replaces the shell, so that signals reach the program.
        bash.args(["-c", &command.replace("WORK_FACTORY", "exec \"$WORK_FACTORY\"")]);
        bash.current_dir(folder)
            .env("WORK_FACTORY", binary("work-factory"))
            .env("BROKER_DATA_DIR", folder.join("data"))
            .stdin(Stdio::null());
        bash.stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: namespace.spawn(bash).unwrap(), output }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    /// Ends the command as an operator does; true where the command ended in order.
    fn end(mut self) -> bool {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_commands_of_the_guide_work_on_two_machines_with_each_profile() {
    for (profile, delay, jitter, loss) in DISTANCES {
        let settings = Settings {
            delay: Duration::from_millis(delay),
            jitter: Duration::from_millis(jitter),
            loss,
            ..Settings::default()
        };
        match Link::start(LinkConfig::both_ways(settings)) {
            Ok(link) => follow_the_guide(profile, &link),
            Err(error) => return skip(&error.to_string()),
        }
    }
}

fn follow_the_guide(profile: &str, link: &Link) {
    let commands = commands();
    let [folder_line, password_line, key_line, broker, api, worker, post] = commands.as_slice()
    else {
        panic!("{commands:?}")
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let key = make_secrets(folder, &[folder_line, password_line, key_line]);
    let password = std::fs::read_to_string(folder.join("secrets/faktory_password")).unwrap();
    assert!(key.starts_with("wf_") && password.len() == 32, "{key}");
    let env_file = format!(".env.{profile}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::copy(root.join(&env_file), folder.join(&env_file)).unwrap();
    let here = |command: &str| here(command, link, &env_file);
    let broker = Running::start(link.far(), folder, "broker", &here(broker));
    until("the broker listens", || broker.said().contains("Ctrl-C"));
    let api = Running::start(link.far(), folder, "api", &here(api));
    let worker = Running::start(link.near(), folder, "worker", &here(worker));
    until("the worker is connected", || worker.said().contains("connected to the work server"));
    let posted = run_post(link, &here(post), &key);
    assert!(
        posted.status.success(),
        "{profile}: {}{}",
        String::from_utf8_lossy(&posted.stdout),
        api.said()
    );
    until("the job is done", || worker.said().contains("result=3"));
    let said = [broker.said(), api.said(), worker.said()].concat();
    assert!(!said.contains(&password) && !said.contains(&key), "{profile}");
    for running in [worker, api, broker] {
        assert!(running.end(), "{profile}: {said}");
    }
}

/// Runs the guide's commands that make the password and the key, and returns the key.
fn make_secrets(folder: &Path, lines: &[&str]) -> String {
    let script = format!("set -e\n{}\necho $KEY", lines.join("\n"));
    let key = Command::new("bash")
        .args(["-c", &script.replace("cargo run --release --", "\"$WORK_FACTORY\"")])
        .current_dir(folder)
        .env("WORK_FACTORY", binary("work-factory"))
        .output()
        .unwrap();
    String::from_utf8(key.stdout).unwrap().trim().to_owned()
}

/// A command of the guide with the machine's address, the binary and the profile of this test.
fn here(command: &str, link: &Link, env_file: &str) -> String {
    assert!(
        command.contains("10.0.0.5")
            && (command.contains(".env.lan") || !command.contains("--env-file")),
        "{command}"
    );
    command
        .replace("10.0.0.5", &link.far_address().to_string())
        .replace(".env.lan", env_file)
        .replace("cargo run --release --", "WORK_FACTORY")
}

/// Posts a job with the guide's command, again and again until the API is ready.
fn run_post(link: &Link, command: &str, key: &str) -> Output {
    let curl = "curl -sS --fail-with-body --retry 20 --retry-connrefused --retry-delay 1 ";
    let mut bash = Command::new("bash");
    bash.args(["-c", &command.replace("curl ", curl)]);
    bash.env("KEY", key).stdin(Stdio::null()).stdout(Stdio::piped());
    link.near().spawn(bash).unwrap().wait_with_output().unwrap()
}
