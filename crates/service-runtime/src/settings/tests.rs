//! The configuration as a whole: every fault at once, roles, secrets, defaults.

use super::*;
use crate::queue_order::QueueOrder;

fn load(pairs: &[(&str, &str)], role: Role) -> Result<Loaded, ConfigError> {
    let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Settings::load(&Environment::from_pairs(pairs), role)
}

#[test]
fn every_default_is_valid() {
    let loaded = load(&[], Role::All).unwrap();
    assert_eq!(loaded.settings.link.max_connections, 50);
    assert_eq!(loaded.settings.api.max_body_bytes, 16 << 20);
    assert_eq!(loaded.settings.worker.queues, QueueOrder::strict(["default"]).unwrap());
    assert_eq!(loaded.settings.worker.bind, None);
    assert!(!loaded.settings.link.url_is_set);
    assert_eq!(loaded.warnings, [] as [String; 0]);
    // What a component is made with in code is what it is configured with where nothing is set.
    let (settings, defaults) = (loaded.settings, Settings::default());
    assert_eq!(settings.link.in_effect(), defaults.link.in_effect());
    assert_eq!(settings.api.in_effect(), defaults.api.in_effect());
    assert_eq!(settings.worker.in_effect(), defaults.worker.in_effect());
    assert_eq!(settings.process.in_effect(), defaults.process.in_effect());
}

#[test]
fn every_variable_is_declared_once_with_a_meaning_and_is_shown_in_the_log() {
    let names: Vec<_> = variables().map(|variable| variable.name).collect();
    for (index, variable) in variables().enumerate() {
        assert!(!names[..index].contains(&variable.name), "{}", variable.name);
        assert!(variable.meaning.ends_with('.'), "{}: {}", variable.name, variable.meaning);
    }
    let settings = load(&[("FAKTORY_MAX_CONNECTIONS", "15")], Role::All).unwrap().settings;
    let described = settings.describe(Role::All);
    for name in names {
        assert!(described.contains(&format!("{name}=")), "{name}: {described}");
    }
    for part in [
        "FAKTORY_URL=embedded-broker ",
        "FAKTORY_MAX_CONNECTIONS=15 ",
        "API_KEYS_FILE=none ",
        "API_REQUEST_TIMEOUT=60s ",
        "WORKER_QUEUES=default ",
        "LOG_FORMAT=text",
    ] {
        assert!(described.contains(part), "{part}: {described}");
    }
    assert!(!settings.describe(Role::Broker).contains("WORKER_QUEUES"));
}

#[test]
fn every_variable_is_read() {
    // A text that no variable but a free one accepts: each must be complained of.
    let free = ["FAKTORY_PROVIDER", "BROKER_DATA_DIR", "BROKER_PASSWORD"];
    for variable in variables().filter(|variable| !free.contains(&variable.name)) {
        let error = load(&[(variable.name, "//?!=")], Role::All).unwrap_err();
        // One of a pair is complained of under the other's name.
        let problem = &error.problems[0];
        assert!(
            problem.variable == variable.name || problem.detail.ends_with(variable.name),
            "{}: {problem:?}",
            variable.name
        );
    }
    assert!(load(&[("FAKTORY_PROVIDER", "NOT_THERE")], Role::All).is_err());
}

#[test]
fn a_log_filter_without_a_level_is_a_typo() {
    for filter in ["verbose", "inf", "faktory_link"] {
        assert!(load(&[("RUST_LOG", filter)], Role::Api).is_err(), "{filter}");
    }
    for filter in ["info", "WARN", "off", "info,faktory_link=debug", "faktory_link=trace"] {
        assert!(load(&[("RUST_LOG", filter)], Role::Api).is_ok(), "{filter}");
    }
}

#[test]
fn a_warning_of_a_misspelt_variable_stands_beside_the_faults() {
    let error = load(&[("WORKER_CONCURENCY", "3"), ("WORKER_CONCURRENCY", "zero")], Role::Worker)
        .unwrap_err();
    assert!(error.to_string().contains("did you mean WORKER_CONCURRENCY?"), "{error}");
}

#[test]
fn all_faults_are_told_at_once() {
    let error = load(
        &[
            ("WORKER_CONCURRENCY", "many"),
            ("BIND_ADDR", "here"),
            ("FAKTORY_URL", "http://:geheim@x"),
        ],
        Role::Api,
    );
    let error = error.unwrap_err();
    let names: Vec<_> = error.problems.iter().map(|problem| problem.variable.as_str()).collect();
    assert_eq!(names, ["FAKTORY_URL", "BIND_ADDR", "WORKER_CONCURRENCY"]);
    assert!(!error.to_string().contains("geheim"));
}

#[test]
fn an_empty_value_is_none_and_case_matters() {
    let loaded = load(
        &[("FAKTORY_URL", " "), ("bind_addr", "nonsense"), ("BIND_ADDR", "127.0.0.1:4000")],
        Role::All,
    )
    .unwrap();
    assert!(!loaded.settings.link.url_is_set);
    assert_eq!(loaded.settings.api.bind.port(), 4000);
}

#[test]
fn a_worker_refuses_a_read_timeout_that_is_shorter_than_an_empty_fetch() {
    assert!(load(&[("FAKTORY_READ_TIMEOUT", "2s")], Role::Worker).is_err());
    assert!(load(&[("FAKTORY_READ_TIMEOUT", "2s")], Role::Api).is_ok());
    assert!(load(&[("FAKTORY_READ_TIMEOUT", "3s")], Role::All).is_ok());
}

#[test]
fn a_size_for_compression_without_queues_is_a_fault_of_an_api() {
    let size = ("COMPRESS_MIN_BYTES", "2KiB");
    let error = load(&[size], Role::Api).unwrap_err();
    assert!(error.to_string().contains("unless COMPRESS_QUEUES names"), "{error}");
    assert!(load(&[size], Role::Worker).is_ok());
    for queues in ["*", "archive,reports"] {
        assert!(load(&[size, ("COMPRESS_QUEUES", queues)], Role::Api).is_ok());
    }
}

#[test]
fn a_size_that_a_job_cannot_have_is_warned_about() {
    for (variables, warning) in [
        (vec![("API_MAX_JOB_BYTES", "200MiB"), ("API_MAX_BODY_BYTES", "200MiB")], "JOB_BYTES: 209"),
        (vec![("API_MAX_BODY_BYTES", "200MiB")], "API_MAX_BODY_BYTES: 209715200 bytes"),
        (vec![("API_MAX_JOB_BYTES", "20MiB")], "only a line of a stream may have more"),
        (vec![("API_MAX_JOB_BYTES", "10MiB"), ("API_MAX_BODY_BYTES", "200MiB")], ""),
        (vec![("API_MAX_BODY_BYTES", "63MiB")], ""),
    ] {
        let warnings = load(&variables, Role::Api).unwrap().warnings;
        assert_eq!(warnings.len(), usize::from(!warning.is_empty()), "{warnings:?}");
        assert!(warnings.concat().contains(warning), "{warnings:?}");
        assert!(load(&variables, Role::Worker).unwrap().warnings.is_empty());
    }
}

#[test]
fn a_misspelt_variable_is_warned_about_with_the_name_that_is_meant() {
    let loaded = load(
        &[("FAKTORY_MAX_CONECTIONS", "5"), ("FAKTORY_PORT", "tcp://10.0.0.1"), ("OTHER", "x")],
        Role::Api,
    )
    .unwrap();
    assert_eq!(loaded.warnings.len(), 2);
    assert!(loaded.warnings[0].contains("did you mean FAKTORY_MAX_CONNECTIONS?"));
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let path = std::env::temp_dir().join(format!("wf-secret-{}", std::process::id()));
    std::fs::write(&path, "geheim\nrest\n").unwrap();
    let file = path.to_str().unwrap();
    let loaded =
        load(&[("FAKTORY_PASSWORD_FILE", file), ("BROKER_PASSWORD", "auch geheim")], Role::All)
            .unwrap();
    assert_eq!(loaded.settings.link.url.password.as_ref().unwrap().reveal(), "geheim");
    let described = loaded.settings.describe(Role::Broker) + &loaded.settings.describe(Role::Api);
    assert!(!described.contains("geheim") && described.contains("[redacted]"), "{described}");
    assert!(
        load(&[("FAKTORY_PASSWORD_FILE", file), ("FAKTORY_URL", "tcp://:x@y")], Role::All).is_err()
    );
    let mistaken = load(&[("FAKTORY_PASSWORD_FILE", "geheim123")], Role::All).unwrap_err();
    assert!(!mistaken.to_string().contains("geheim123"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn files_are_read_only_where_they_are_needed() {
    let nowhere = "/nowhere/at/all";
    let (api, broker) = ((Role::Api, Role::Worker), (Role::Broker, Role::Api));
    for (names, (needs, does_not)) in [
        (&["API_KEYS_FILE"][..], api),
        (&["API_TLS_CERT_FILE", "API_TLS_KEY_FILE"][..], api),
        (&["BROKER_TLS_CERT_FILE", "BROKER_TLS_KEY_FILE"][..], broker),
        (&["BROKER_PASSWORD_FILE"][..], broker),
        (&["FAKTORY_PASSWORD_FILE"][..], (Role::Worker, Role::Broker)),
    ] {
        let pairs: Vec<_> = names.iter().map(|name| (*name, nowhere)).collect();
        assert!(load(&pairs, needs).unwrap_err().to_string().contains(names[0]), "{names:?}");
        assert!(load(&pairs, does_not).is_ok(), "{names:?}");
    }
}

#[test]
fn an_address_for_other_machines_needs_keys_or_a_password_unless_declined() {
    for role in [Role::All, Role::Api] {
        let error = load(&[("BIND_ADDR", "0.0.0.0:3000")], role).unwrap_err();
        let detail = &error.problems[0].detail;
        assert!(
            detail.contains("API_KEYS_FILE") && detail.contains("API_ALLOW_UNAUTHENTICATED=true"),
            "{detail}"
        );
    }
    assert!(load(&[("BIND_ADDR", "0.0.0.0:3000")], Role::Worker).is_ok());
    let broker = ("BROKER_BIND_ADDR", "0.0.0.0:7419");
    for role in [Role::All, Role::Broker] {
        let error = load(&[broker], role).unwrap_err();
        assert!(error.problems[0].detail.contains("BROKER_PASSWORD_FILE"), "{error}");
    }
    assert!(
        load(&[broker, ("FAKTORY_URL", "tcp://elsewhere")], Role::All).is_ok(),
        "no broker is started"
    );
    assert!(load(&[broker, ("BROKER_PASSWORD", "x")], Role::Broker).is_ok());
    assert!(load(&[broker, ("BROKER_ALLOW_UNAUTHENTICATED", "true")], Role::Broker).is_ok());
    assert!(
        load(&[("BIND_ADDR", "0.0.0.0:3000"), ("API_ALLOW_UNAUTHENTICATED", "true")], Role::Api)
            .is_ok()
    );
    assert!(
        load(&[("BIND_ADDR", "[::1]:3000"), ("API_ALLOWED_HOSTS", "a.example, b")], Role::Api)
            .is_ok()
    );
    let path = std::env::temp_dir().join(format!("wf-keys-{}", std::process::id()));
    let file = path.to_str().unwrap();
    for (text, says) in [("", "a file with a key"), ("ci post geheim", "line 1: ")] {
        std::fs::write(&path, text).unwrap();
        let error = load(&[("API_KEYS_FILE", file)], Role::Api).unwrap_err();
        assert!(
            error.to_string().contains(says) && !error.to_string().contains("geheim"),
            "{error}"
        );
    }
    std::fs::write(&path, crate::Key::new("ci", [crate::Scope::Post]).unwrap().1.line()).unwrap();
    let loaded =
        load(&[("BIND_ADDR", "0.0.0.0:3000"), ("API_KEYS_FILE", file)], Role::Api).unwrap();
    assert_eq!(loaded.settings.api.keys.unwrap().1.len(), 1);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_provider_names_the_variable_with_the_url() {
    let loaded = load(
        &[("FAKTORY_PROVIDER", "FAKTORY_MY_URL"), ("FAKTORY_MY_URL", "tcp://elsewhere:1")],
        Role::Api,
    )
    .unwrap();
    assert_eq!(loaded.settings.link.url.to_string(), "tcp://elsewhere:1");
    assert_eq!(loaded.warnings, [] as [String; 0]);
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_utf8_is_a_fault_and_no_panic() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let pairs = [
        ("BIND_ADDR".into(), OsString::from_vec(vec![0xFF])),
        (OsString::from_vec(vec![0xFE]), "x".into()),
    ];
    let error = Settings::load(&Environment::from_pairs(pairs), Role::Api).unwrap_err();
    assert_eq!(error.problems[0].variable, "BIND_ADDR");
}
