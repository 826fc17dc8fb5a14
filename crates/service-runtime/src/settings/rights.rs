//! The rights of files that the configuration names: a warning where other users of the machine
//! could read a password or a private key, or put keys of their own into a file.

use std::path::Path;

/// What other users must not do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Neither read nor change it: a password, a private key.
    Secret,
    /// Not change it: the file of keys, which has only hashes of them.
    Unchanged,
}

/// What is wrong with the rights of a file, in words; `None` where nothing is, or the system does
/// not say. The path is not repeated: a password may stand in its place.
///
/// That others may read a secret is only told to the file's owner. Secrets that Compose or
/// Kubernetes mount belong to root or to a user outside, and are closed by the container around
/// them; nobody inside could change that.
#[cfg(unix)]
pub(super) fn fault(path: &Path, keep: Keep) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;

    let file = std::fs::metadata(path).ok()?;
    let is_ours = file.uid() == nix::unistd::geteuid().as_raw();
    if file.mode() & 0o022 != 0 {
        Some("other users of this machine may change the file; chmod go-w keeps them out")
    } else if keep == Keep::Secret && is_ours && file.mode() & 0o044 != 0 {
        Some("other users of this machine may read the file; chmod 600 keeps them out")
    } else {
        None
    }
}

#[cfg(not(unix))]
pub(super) const fn fault(_: &Path, _: Keep) -> Option<&'static str> {
    None
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_could_use_is_told_and_no_other() {
        let folder = std::env::temp_dir().join(format!("rights-{}", std::process::id()));
        std::fs::write(&folder, "x").unwrap();
        for (mode, keep, is_told) in [
            (0o600, Keep::Secret, None),
            (0o400, Keep::Secret, None),
            (0o644, Keep::Secret, Some("chmod 600")),
            (0o640, Keep::Secret, Some("chmod 600")),
            (0o644, Keep::Unchanged, None),
            (0o664, Keep::Unchanged, Some("chmod go-w")),
            (0o622, Keep::Secret, Some("chmod go-w")),
        ] {
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
            let told = fault(&folder, keep);
            assert_eq!(told.is_some(), is_told.is_some(), "{mode:o} {told:?}");
            assert!(is_told.is_none_or(|part| told.unwrap().contains(part)), "{mode:o} {told:?}");
        }
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(fault(&folder, Keep::Secret), None);
        // Root's, and readable by all, as a mounted secret is.
        if !nix::unistd::geteuid().is_root() {
            assert_eq!(fault(Path::new("/etc/passwd"), Keep::Secret), None);
        }
    }
}
