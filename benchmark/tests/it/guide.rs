//! `docs/deployment.md` followed to the letter on two machines: two network namespaces with each
//! profile's distance between them. The commands are taken from the guide; only where its machine
//! is, where the binary is, and the profile are put in their place.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use link_emulator::{Link, LinkConfig, Namespace, Settings};

use crate::{binary, skip};

const GUIDE: &str = include_str!("../../../docs/deployment.md");

/// What is between the machines of a profile: milliseconds each way, jitter, loss.
const DISTANCES: [(&str, u64, u64, f64); 4] =
    [("local", 0, 0, 0.0), ("lan", 1, 0, 0.0), ("wan", 50, 0, 0.0), ("wireless", 50, 25, 0.01)];

/// The guide's commands for two machines: the `sh` lines of its part on networks.
fn commands() -> Vec<&'static str> {
    let (_, part) = GUIDE.split_once("\n## LAN, WAN, wireless\n").unwrap();
    let part = part.split("\n## ").next().unwrap();
    assert_eq!(
        GUIDE.matches("```sh\n").count(),
        part.matches("```sh\n").count(),
        "nobody runs the others"
    );
    part.split("```sh\n")
        .skip(1)
        .flat_map(|block| block.split("```").next().unwrap().lines())
        .collect()
}

/// A command of the guide, running; killed when dropped.
struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    fn start(namespace: &Namespace, folder: &Path, name: &str, command: &str) -> Self {
        let output = folder.join(name);
        let file = File::create(&output).unwrap();
        let mut bash = Command::new("bash");
        // In place of the shell, so that signals reach the program.
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

    /// Ends it as an operator does; true where it ended in order.
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
fn two_machines_by_the_guide_with_each_profile() {
    let commands = commands();
    let [folder_line, password_line, key_line, broker, api, worker, post] = commands.as_slice()
    else {
        panic!("{commands:?}")
    };
    for (profile, delay, jitter, loss) in DISTANCES {
        let settings = Settings {
            delay: Duration::from_millis(delay),
            jitter: Duration::from_millis(jitter),
            loss,
            ..Settings::default()
        };
        let link = match Link::start(LinkConfig::both_ways(settings)) {
            Ok(link) => link,
            Err(error) => return skip(&error.to_string()),
        };
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let key = Command::new("bash")
            .args([
                "-c",
                &format!("set -e\n{folder_line}\n{password_line}\n{key_line}\necho $KEY")
                    .replace("cargo run --release --", "\"$WORK_FACTORY\""),
            ])
            .current_dir(folder)
            .env("WORK_FACTORY", binary("work-factory"))
            .output()
            .unwrap();
        let key = String::from_utf8(key.stdout).unwrap().trim().to_owned();
        let password = std::fs::read_to_string(folder.join("secrets/faktory_password")).unwrap();
        assert!(key.starts_with("wf_") && password.len() == 32, "{key}");
        let name = format!(".env.{profile}");
        std::fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&name),
            folder.join(&name),
        )
        .unwrap();
        let here = |command: &str| {
            assert!(
                command.contains("10.0.0.5")
                    && (command.contains(".env.lan") || !command.contains("--env-file")),
                "{command}"
            );
            let command = command
                .replace("10.0.0.5", &link.far_address().to_string())
                .replace(".env.lan", &name);
            command.replace("cargo run --release --", "WORK_FACTORY")
        };
        let broker = Running::start(link.far(), folder, "broker", &here(broker));
        until("the broker listens", || broker.said().contains("Ctrl-C"));
        let api = Running::start(link.far(), folder, "api", &here(api));
        let worker = Running::start(link.near(), folder, "worker", &here(worker));
        until("the worker is connected", || worker.said().contains("connected to the work server"));
        let mut bash = Command::new("bash");
        bash.args([
            "-c",
            &here(post).replace(
                "curl ",
                "curl -sS --fail-with-body --retry 20 --retry-connrefused --retry-delay 1 ",
            ),
        ]);
        bash.env("KEY", &key).stdin(Stdio::null()).stdout(Stdio::piped());
        let posted = link.near().spawn(bash).unwrap().wait_with_output().unwrap();
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
}
