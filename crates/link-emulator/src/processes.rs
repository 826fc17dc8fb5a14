//! Processes that leave nothing behind, and rights without root.

use std::io;

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, Uid, getgid, getppid, getuid};

/// Asks the kernel to send this process SIGTERM when its parent has ended, however it ended. It
/// stays so over `exec`. To be called first thing by a child; `parent` is the id of the process
/// that started it.
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

/// Where this process is not root: makes it root in a user namespace of its own, so that it may
/// make network namespaces. To be called while the process has one thread.
///
/// # Errors
/// Where the system does not allow user namespaces.
pub fn enter_user_namespace() -> io::Result<()> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    let (user, group) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    // user_namespaces(7): without privileges, groups may be mapped only after setgroups is given
    // up.
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}
