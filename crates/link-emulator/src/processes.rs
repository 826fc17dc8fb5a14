//! Processes that end with their parent, and the right to make namespaces without root.

use std::io;

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, Uid, getgid, getppid, getuid};

/// Asks the kernel to send SIGTERM to this process when its parent has ended, in whatever way. The
/// request survives `exec`. A child calls this function first of all; `parent` is the process id of
/// its parent.
///
/// # Errors
/// Where the kernel refuses, or the parent has ended already.
pub fn die_with_parent(parent: u32) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGTERM)?;
    if i32::try_from(parent).is_ok_and(|parent| getppid() != Pid::from_raw(parent)) {
        return Err(io::Error::other("the parent process has ended"));
    }
    Ok(())
}

/// Makes this process root in a user namespace of its own, unless it is root already. The process
/// may then make network namespaces. The process must have only one thread.
///
/// # Errors
/// Where the system does not allow user namespaces.
pub fn enter_user_namespace() -> io::Result<()> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    let (user, group) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    // user_namespaces(7): without privileges, groups can be mapped only after setgroups is denied.
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}
