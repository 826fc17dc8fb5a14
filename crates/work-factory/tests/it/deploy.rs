//! The files for deployment against the binaries: every variable, command, port and path in them is
//! one of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use service_runtime::{Environment, Key, Role, Scope, Settings, variables};

const COMPOSE: &str = include_str!("../../../../docker-compose.yml");
const COMPOSE_WORKER: &str = include_str!("../../../../docker-compose.worker.yml");
const DOCKERFILE: &str = include_str!("../../../../Dockerfile");
const KUBERNETES: &str = include_str!("../../../../deploy/kubernetes/work-factory.yaml");
const UNITS: [(&str, &str); 3] = [
    ("work-factory", include_str!("../../../../deploy/systemd/work-factory.service")),
    ("api-service", include_str!("../../../../deploy/systemd/work-factory-api.service")),
    ("worker-service", include_str!("../../../../deploy/systemd/work-factory-worker@.service")),
];
/// Of the compose files alone: where ports are published, where files lie.
const OF_COMPOSE: [&str; 8] = [
    "PUBLISH",
    "PUBLISH_PORT",
    "FAKTORY_PUBLISH",
    "FAKTORY_PUBLISH_PORT",
    "FAKTORY_UI_PORT",
    "FAKTORY_IMAGE",
    "SECRETS",
    "TLS_FOLDER",
];
/// Faktory's own.
const OF_FAKTORY: &str = "FAKTORY_PASSWORD";
/// What docker-compose.yml leaves out, since it has it in another way.
const NOT_IN_COMPOSE: [&str; 14] = [
    // The work server and its password are given.
    "FAKTORY_PROVIDER",
    // Inside of one machine there is no TLS to the work server; a proxy or
    // docker-compose.override.yml gives the API its own.
    "FAKTORY_TLS_CA_FILE",
    "FAKTORY_TLS_SERVER_NAME",
    "FAKTORY_TLS_CERT_FILE",
    "FAKTORY_TLS_KEY_FILE",
    "API_TLS_CERT_FILE",
    "API_TLS_KEY_FILE",
    // There are keys.
    "API_ALLOW_UNAUTHENTICATED",
    "API_ALLOWED_HOSTS",
    // The embedded broker is used by its own process alone.
    "BROKER_BIND_ADDR",
    "BROKER_ALLOW_UNAUTHENTICATED",
    "BROKER_TLS_CERT_FILE",
    "BROKER_TLS_KEY_FILE",
    "BROKER_PASSWORD",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn is_ours(name: &str) -> bool {
    variables().any(|variable| variable.name == name)
}

/// `NAME: value` of a line, where the name is written as variables are.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.trim().split_once(':')?;
    let is_name = name.len() > 1
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    is_name.then(|| (name, value.trim()))
}

/// The names in `${NAME…}`.
fn interpolated(text: &str) -> BTreeSet<&str> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split([':', '}']).next());
    names.collect()
}

/// What a value becomes, as Compose has it: `${NAME:-default}` and `${NAME:?message}`.
fn value_of(text: &str, profile: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, after) = after.split_once('}').unwrap();
        let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
        out.push_str(before);
        out.push_str(profile.get(name).map_or(default, String::as_str));
        rest = after;
    }
    out + rest
}

/// The variables of the blocks of a compose file that begin with these lines.
fn block(file: &str, begin: &str, profile: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let (_, rest) = file.split_once(begin).unwrap_or_else(|| panic!("{begin}"));
    let lines = rest
        .lines()
        .skip(1)
        .skip_while(|line| entry(line).is_none())
        .take_while(|line| entry(line).is_some());
    lines
        .filter_map(entry)
        .map(|(name, value)| (name.to_owned(), value_of(value, profile)))
        .collect()
}

fn profile(name: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join(format!(".env.{name}"))).unwrap();
    let lines =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_variable_in_the_compose_files_is_known_and_every_variable_is_there() {
    for file in [COMPOSE, COMPOSE_WORKER] {
        for (name, value) in
            file.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(entry)
        {
            assert!(is_ours(name) || name == OF_FAKTORY, "{name}");
            for used in interpolated(value) {
                assert_eq!(used, name, "{name} is not what is handed on");
            }
        }
        for name in interpolated(file) {
            assert!(is_ours(name) || OF_COMPOSE.contains(&name), "{name}");
        }
    }
    for variable in variables().filter(|variable| !NOT_IN_COMPOSE.contains(&variable.name)) {
        assert!(
            COMPOSE.contains(&format!("{}: ", variable.name)),
            "docker-compose.yml does not hand {} on",
            variable.name
        );
    }
    let of_worker = |name: &str| {
        name.starts_with("WORKER_")
            || (name.starts_with("FAKTORY_")
                && !name.contains("BREAKER")
                && !NOT_IN_COMPOSE.contains(&name))
    };
    for variable in variables().filter(|variable| of_worker(variable.name)) {
        assert!(
            COMPOSE_WORKER.contains(&format!("{}: ", variable.name)),
            "docker-compose.worker.yml does not hand {} on",
            variable.name
        );
    }
}

/// A container's settings are those of the profile, its ports those of its image, and its time to
/// end is shorter than the time after which it is killed.
fn check_container(what: &str, role: Role, profile: &BTreeMap<String, String>, settings: Settings) {
    let connections =
        if role == Role::All { "50" } else { profile["FAKTORY_MAX_CONNECTIONS"].as_str() };
    assert_eq!(settings.link.max_connections.to_string(), connections, "{what}");
    if role.runs_worker() {
        let concurrency = settings.worker.concurrency.to_string();
        assert_eq!(concurrency, profile["WORKER_CONCURRENCY"], "{what}");
        assert_eq!(settings.worker.bind.unwrap().port(), 3001, "{what}");
    }
    if role.runs_api() {
        let keys = settings.api.keys.unwrap().1.len();
        assert_eq!((settings.api.bind.port(), keys), (3000, 1), "{what}");
    }
    assert!(settings.process.shutdown_timeout.as_secs() < 75, "{what}");
    assert!(COMPOSE.contains("stop_grace_period: 75s"), "{what}");
}

#[test]
fn under_each_profile_each_container_has_a_configuration_that_its_binary_takes() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let rights = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, rights).unwrap();
        }
        path.to_str().unwrap().to_owned()
    };
    let password = file("faktory_password", "x\n");
    let keys = file("api_keys", &Key::new("ci", [Scope::Post]).unwrap().1.line());
    for name in ["local", "lan", "wan", "wireless"] {
        let profile = profile(name);
        let [link, common, api, worker] = ["x-link:", "x-common:", "x-api:", "x-worker:"]
            .map(|begin| block(COMPOSE, begin, &profile));
        let mut elsewhere = profile.clone();
        elsewhere.insert("FAKTORY_URL".into(), "tcp://10.0.0.5:7419".into());
        let remote = block(
            &COMPOSE_WORKER.replace(
                ":?says where the work server is, such as tcp+tls://faktory.example:7419",
                "",
            ),
            "environment:",
            &elsewhere,
        );
        for (what, parts, role) in [
            ("api", [&link[..], &api, &common].concat(), Role::Api),
            ("worker", [&link[..], &worker, &common].concat(), Role::Worker),
            ("embedded", [&api[..], &worker, &common].concat(), Role::All),
            ("a worker elsewhere", remote, Role::Worker),
        ] {
            let pairs = parts.into_iter().map(|(name, value)| {
                let value = value
                    .replace("/run/secrets/faktory_password", &password)
                    .replace("/run/secrets/api_keys", &keys);
                (name.into(), value.into())
            });
            let loaded = Settings::load(&Environment::from_pairs(pairs), role)
                .unwrap_or_else(|error| panic!("{what}, .env.{name}: {error}"));
            assert_eq!(loaded.warnings, [] as [String; 0], "{what}, .env.{name}");
            check_container(what, role, &profile, loaded.settings);
        }
    }
    for port in [":3000\"", ":7419\"", ":7420\""] {
        assert!(COMPOSE.contains(port), "{port}");
    }
}

#[tokio::test]
async fn the_images_have_every_crate_and_run_binaries_that_there_are() {
    let crates = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| format!("crates/{}", entry.unwrap().file_name().to_str().unwrap()));
    for member in crates.chain(["benchmark".into()]) {
        let line = format!("COPY {member}/Cargo.toml {member}/Cargo.toml\n");
        assert!(DOCKERFILE.contains(&line), "Dockerfile: {line}");
    }
    for (binary, port) in
        [("work-factory", "3000"), ("api-service", "3000"), ("worker-service", "3001")]
    {
        let (_, target) = DOCKERFILE.split_once(&format!("FROM base AS {binary}\n")).unwrap();
        let target = target.split("\nFROM ").next().unwrap();
        for part in [
            format!("ENTRYPOINT [\"/usr/local/bin/{binary}\"]"),
            format!("CMD [\"/usr/local/bin/{binary}\", \"--healthcheck\"]"),
            format!("EXPOSE {port}"),
            format!("0.0.0.0:{port}"),
        ] {
            assert!(target.contains(&part), "{binary}: {part}");
        }
        for word in target
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .map(|(name, _)| name)
            .filter(|name| name.len() > 4 && !name.starts_with("--"))
        {
            assert!(is_ours(word), "{word}");
        }
        let program =
            std::fs::read_to_string(root().join(format!("crates/{binary}/src/run.rs"))).unwrap();
        assert!(program.contains("healthcheck: bool"), "{binary}");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut process = crate::binary::command(&["--help"], folder.path(), &[]);
    process.exit_code().await;
    assert!(process.output().contains("--healthcheck"));
}

/// What a service may not do, in each unit.
const HARDENING: [&str; 24] = [
    "UMask=0077",
    "LimitCORE=0",
    "DynamicUser=yes",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "ProtectProc=invisible",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
];

#[test]
fn units_leave_no_core_dump_no_file_for_others_and_no_right_that_is_not_needed() {
    for (binary, unit) in UNITS {
        for line in HARDENING {
            assert!(unit.lines().any(|found| found == line), "{binary}: {line}");
        }
        let has_store = unit.contains("BROKER_DATA_DIR");
        let is_closed = unit.lines().any(|line| line == "StateDirectoryMode=0700");
        assert_eq!(has_store, is_closed, "{binary}");
    }
    assert_eq!(COMPOSE.matches("core: 0").count(), 1, "docker-compose.yml: x-service");
    assert_eq!(COMPOSE_WORKER.matches("core: 0").count(), 1, "docker-compose.worker.yml");
}

#[test]
fn units_and_manifests_name_variables_that_there_are() {
    for (binary, unit) in UNITS {
        assert!(unit.contains(&format!("ExecStart=/usr/local/bin/{binary}\n")), "{binary}");
        for line in unit.lines().filter_map(|line| line.strip_prefix("Environment=")) {
            assert!(is_ours(line.split('=').next().unwrap()), "{line}");
        }
        assert!(
            unit.contains("TimeoutStopSec=75\n"),
            "longer than SHUTDOWN_TIMEOUT in every profile"
        );
    }
    let of_list =
        |line: &str| Some(line.trim().strip_prefix("- {name: ")?.split(',').next()?.to_owned());
    let names = KUBERNETES.lines().filter(|line| !line.trim_start().starts_with('#'));
    let named: Vec<String> = names
        .filter_map(|line| of_list(line).or_else(|| Some(entry(line)?.0.to_owned())))
        .collect();
    let is_variable =
        |name: &&String| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let variables: Vec<&String> = named.iter().filter(is_variable).collect();
    assert!(variables.len() > 8, "{variables:?}");
    for name in variables {
        assert!(is_ours(name), "{name}");
    }
    for probe in KUBERNETES.lines().filter_map(|line| line.trim().strip_prefix("httpGet: {path: "))
    {
        assert!(probe.starts_with("/health,") || probe.starts_with("/ready,"), "{probe}");
    }
    // The values are those of the profile that it names.
    for (name, value) in profile("lan") {
        let line = format!("{name}: ");
        let there = KUBERNETES
            .lines()
            .find_map(|text| text.trim().strip_prefix(&line))
            .unwrap_or_else(|| panic!("{name}"));
        assert_eq!(there.trim_matches('"'), value, "{name}");
    }
}

#[test]
fn every_service_has_a_limit_of_open_files() {
    for file in [COMPOSE, COMPOSE_WORKER] {
        let limits = file.matches("ulimits: {nofile: {soft: 16384, hard: 16384}, core: 0}").count();
        assert_eq!(limits, file.matches("pids_limit: 512").count());
        assert!(limits > 0);
    }
    for (name, unit) in UNITS {
        assert!(unit.contains("\nLimitNOFILE=65536\n"), "{name}");
    }
}
