//! Who may read the broker's files: its own user alone.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use faktory_broker::{Broker, BrokerConfig};

fn start(folder: &Path) -> impl Future<Output = Broker> {
    let config = BrokerConfig::new(([127, 0, 0, 1], 0).into(), folder.to_owned());
    async { Broker::start(config).await.unwrap() }
}

/// The folder, and all folders and files in it.
fn all_in(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(all_in(&path)) } else { all.push(path) }
    }
    all
}

#[tokio::test]
async fn the_files_of_a_store_that_others_could_read_are_theirs_no_longer_once_it_is_opened() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data");
    start(&folder).await.stop().await.unwrap();
    let before = all_in(&folder);
    for path in &before {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let broker = start(&folder).await;
    let (mut folders, mut files) = (0, 0);
    // The store may have removed some since. Those that it has made lie in folders that are closed.
    for path in before.iter().filter(|path| path.exists()) {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{} {mode:o}", path.display());
        *if path.is_dir() { &mut folders } else { &mut files } += 1;
    }
    assert!(folders >= 2 && files >= 1, "{before:?}");
    broker.stop().await.unwrap();
}
