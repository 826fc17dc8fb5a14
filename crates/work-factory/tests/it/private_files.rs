//! What the process writes is for its own user alone.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testkit::http;

use crate::binary;

fn rights_of_others(folder: &Path, found: &mut Vec<String>) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // The store may have removed a file meanwhile.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.permissions().mode() & 0o077 != 0 {
            found.push(format!("{} {:o}", path.display(), metadata.permissions().mode()));
        }
        files += 1;
        if metadata.is_dir() {
            files += rights_of_others(&path, found);
        }
    }
    files
}

fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            open_to_all(&path);
        } else {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

#[tokio::test]
async fn no_file_of_the_store_can_be_read_by_other_users_of_the_machine() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data");
    // The second start finds folders and files that were open to all.
    for _ in 0..2 {
        let mut process = binary::start(&folder, &[]);
        let api = process.address_on("  API ").await;
        assert_eq!(http::post(api, "/jobs/add", r#"{"a":1,"b":2}"#).await.unwrap().status, 202);
        process.line_with("result=3").await;
        let mut open = Vec::new();
        assert!(rights_of_others(root.path(), &mut open) > 4);
        assert!(open.is_empty(), "{open:#?}");
        process.signal("TERM").await;
        assert_eq!(process.exit_code().await, Some(0));
        open_to_all(&folder);
    }
}
