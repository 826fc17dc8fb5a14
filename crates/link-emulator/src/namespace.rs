//! A network namespace without a name, and commands in it.

use std::fs::File;
use std::io;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, setns, unshare};

type Task = Box<dyn FnOnce() + Send>;

/// A network namespace. The kernel removes a namespace with the last process, thread, socket and
/// descriptor in it.
pub struct Namespace {
    descriptor: File,
    tasks: Option<mpsc::Sender<Task>>,
    thread: Option<JoinHandle<()>>,
}

impl Namespace {
    /// Makes a namespace with its loopback device up.
    ///
    /// # Errors
    /// Where the system does not allow it.
    pub fn new() -> io::Result<Self> {
        let (tasks, received) = mpsc::channel::<Task>();
        let (made, is_made) = mpsc::channel();
        // This thread is the parent of all commands in the namespace, and lives as long as this
        // value: the kernel sends the parent-death signal when the parent's thread ends.
        let thread = std::thread::Builder::new().name("namespace".into()).spawn(move || {
            let descriptor = unshare(CloneFlags::CLONE_NEWNET)
                .map_err(io::Error::from)
                .and_then(|()| ip(&["link", "set", "lo", "up"]))
                .and_then(|()| File::open("/proc/thread-self/ns/net"));
            let is_here = descriptor.is_ok();
            if made.send(descriptor).is_ok() && is_here {
                for task in received {
                    task();
                }
            }
        })?;
        let descriptor =
            is_made.recv().map_err(|_| io::Error::other("the namespace's thread ended"))??;
        Ok(Self { descriptor, tasks: Some(tasks), thread: Some(thread) })
    }

    /// Moves the calling thread into the namespace, for good. Sockets that the thread opens and
    /// threads that it starts from now on belong to the namespace.
    ///
    /// # Errors
    /// Where the system does not allow it.
    pub fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.descriptor, CloneFlags::CLONE_NEWNET)?)
    }

    /// Runs a function in the namespace on a new thread, and waits for its end.
    ///
    /// # Errors
    /// Where the system does not let a thread in, or the function panics.
    pub fn run<T: Send>(&self, function: impl FnOnce() -> T + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| self.enter().map(|()| function()));
            thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a function in the namespace panicked")))
        })
    }

    /// Starts a command in the namespace.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn spawn(&self, command: Command) -> io::Result<Child> {
        let (sender, receiver) = mpsc::channel();
        let mut command = command;
        let task: Task = Box::new(move || {
            let _ = sender.send(command.spawn());
        });
        let ended = || io::Error::other("the namespace's thread has ended");
        self.tasks.as_ref().ok_or_else(ended)?.send(task).map_err(|_| ended())?;
        receiver.recv().map_err(|_| ended())?
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespace").finish_non_exhaustive()
    }
}

/// Runs iproute2's `ip` in the namespace of the calling thread.
pub(crate) fn ip(arguments: &[&str]) -> io::Result<()> {
    let output =
        Command::new("ip").args(arguments).output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                io::Error::other("the command ip is missing; install iproute2")
            }
            _ => error,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
