//! The profiles at the top level of the repository: the values that were chosen for them, and only
//! variables that the program knows.

use service_runtime::{Environment, Role, Settings, variables};

/// Each profile's name, its connections and concurrency, its timeouts in seconds (connection, read)
/// and its poll interval in milliseconds.
const PROFILES: [(&str, usize, u64, u64, u64); 4] = [
    ("local", 50, 5, 10, 100),
    ("lan", 30, 10, 30, 200),
    ("wan", 15, 15, 60, 1000),
    ("wireless", 10, 20, 90, 2000),
];

#[test]
fn every_profile_has_the_values_that_were_chosen_for_its_network() {
    for (name, count, connection, read, poll) in PROFILES {
        let path = format!("{}/../../.env.{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        let pairs: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .collect();
        for (variable, _) in &pairs {
            assert!(variables().any(|known| known.name == *variable), "{name}: {variable}");
        }
        let environment = Environment::from_pairs(
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())),
        );
        let loaded = Settings::load(&environment, Role::All).unwrap();
        assert_eq!(loaded.warnings, [] as [String; 0], "{name}");
        let settings = loaded.settings;
        assert_eq!(
            (settings.link.max_connections, settings.worker.concurrency),
            (count, count),
            "{name}"
        );
        assert_eq!(
            (settings.link.connection_timeout.as_secs(), settings.link.read_timeout.as_secs()),
            (connection, read),
            "{name}"
        );
        assert_eq!(settings.worker.poll_interval.as_millis(), u128::from(poll), "{name}");
    }
}

#[tokio::test]
async fn a_profile_is_loaded_and_a_variable_of_the_environment_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("{}/../../.env.wan", env!("CARGO_MANIFEST_DIR"));
    let process = crate::binary::command(
        &["--env-file", &path],
        folder.path(),
        &[("WORKER_CONCURRENCY", "7")],
    );
    let line = process.line_with("configuration in effect").await;
    for part in ["FAKTORY_MAX_CONNECTIONS=15 ", "WORKER_CONCURRENCY=7 "] {
        assert!(line.contains(part), "{part}: {line}");
    }
}
