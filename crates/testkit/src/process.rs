//! The product's binaries as processes.

use std::ffi::OsStr;
use std::future::Future;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// Calls `ask` again and again until it returns an answer; panics with `what` where no answer comes
/// in time. The pauses are short. The whole time is bounded, not asserted.
pub async fn eventually<T, F, Fut>(what: &str, patience: Duration, mut ask: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(patience, asking)
        .await
        .unwrap_or_else(|_| panic!("not within {patience:?}: {what}"))
}

/// The command for a program. A hangup is ignored by tests that run under `nohup`, and what they
/// start would ignore it too.
fn started_afresh(program: &OsStr) -> Command {
    if cfg!(target_os = "linux") {
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP").arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// A process that is killed when this value is dropped.
pub struct TestProcess {
    child: Child,
    output: Arc<Mutex<String>>,
    collecting: Vec<JoinHandle<()>>,
}

impl TestProcess {
    /// Starts a program with these arguments. Of the product's variables, its environment has only
    /// these.
    pub fn start(
        program: impl AsRef<OsStr>,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = started_afresh(program.as_ref());
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if [
                "FAKTORY_",
                "API_",
                "WORKER_",
                "BROKER_",
                "BIND_ADDR",
                "SHUTDOWN_",
                "RUST_LOG",
                "LOG_",
                "TRUSTED_",
            ]
            .iter()
            .any(|ours| name.starts_with(ours))
            {
                command.env_remove(name);
            }
        }
        let mut child = command.envs(variables.iter().copied()).spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let collecting = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&output)),
            collect(child.stderr.take().unwrap(), Arc::clone(&output)),
        ];
        Self { child, output, collecting }
    }

    /// The output so far, both streams together.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits for a line of output with this text, and returns the line.
    pub async fn line_with(&self, text: &str) -> String {
        eventually(
            &format!("a line with {text:?}; the output is:\n{}", self.output()),
            Duration::from_secs(30),
            || async {
                self.output().lines().find(|line| line.contains(text)).map(ToOwned::to_owned)
            },
        )
        .await
    }

    /// The address on a line such as `  API      http://127.0.0.1:3000`.
    pub async fn address_on(&self, label: &str) -> SocketAddr {
        let line = self.line_with(label).await;
        let (_, address) = line.split_once("://").unwrap();
        address.split(' ').next().unwrap().parse().unwrap()
    }

    /// The address in a line of the log with this text, such as `address=127.0.0.1:3000`.
    pub async fn listening(&self, text: &str) -> SocketAddr {
        let line = self.line_with(text).await;
        let (_, address) = line.split_once("127.0.0.1:").unwrap();
        let port: String = address.chars().take_while(char::is_ascii_digit).collect();
        ([127, 0, 0, 1], port.parse::<u16>().unwrap()).into()
    }

    /// Closes this side of the output, as a terminal that goes away does: nothing more is read, and
    /// what the process writes from now on fails.
    pub async fn close_output(&mut self) {
        for collecting in self.collecting.drain(..) {
            collecting.abort();
            // The stream is closed when its task has ended.
            let _ = collecting.await;
        }
    }

    /// The id of the process, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills the process without a warning, and waits for its end.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends a signal by its name (`TERM`, `INT`).
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        Command::new("kill").args([&format!("-{name}"), &id]).status().await.unwrap();
    }

    /// Waits for the end of the process and of its output; returns the exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let status = tokio::time::timeout(Duration::from_secs(60), self.child.wait())
            .await
            .expect("the process ends")
            .unwrap();
        for collecting in self.collecting.drain(..) {
            let _ = collecting.await;
        }
        status.code()
    }
}

fn collect(
    stream: impl AsyncRead + Unpin + Send + 'static,
    output: Arc<Mutex<String>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut output = output.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
        }
    })
}
