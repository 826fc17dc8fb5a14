//! The binary as the tests start it: on free ports, with a data folder for each test. And what the
//! binary says and how it ends: faults, signals, help, secrets.

use std::net::SocketAddr;
use std::path::Path;

use testkit::TestProcess;

/// Starts the default run on free ports.
pub(crate) fn start(data_dir: &Path, more: &[(&str, &str)]) -> TestProcess {
    command(&[], data_dir, more)
}

/// Starts any command on free ports, unless `more` says otherwise.
pub(crate) fn command(arguments: &[&str], data_dir: &Path, more: &[(&str, &str)]) -> TestProcess {
    let mut variables = vec![
        ("BROKER_DATA_DIR", data_dir.to_str().unwrap()),
        ("BROKER_BIND_ADDR", "127.0.0.1:0"),
        ("BIND_ADDR", "127.0.0.1:0"),
    ];
    variables.extend(more);
    TestProcess::start(env!("CARGO_BIN_EXE_work-factory"), arguments, &variables)
}

/// An address on which no process listens at present.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_variable_that_chooses_another() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let mut process = start(folder.path(), &[("BROKER_BIND_ADDR", &address)]);
    assert_eq!(process.exit_code().await, Some(1));
    let output = process.output();
    for part in [address.as_str(), "BROKER_BIND_ADDR", &format!("FAKTORY_URL=tcp://{address}")] {
        assert!(output.contains(part), "{part} not in {output}");
    }

    let mut process = start(folder.path(), &[("BIND_ADDR", &address)]);
    assert_eq!(process.exit_code().await, Some(1));
    let output = process.output();
    assert!(output.contains(&format!("{address} is taken; BIND_ADDR moves the API")), "{output}");
}

#[tokio::test]
async fn every_fault_of_a_configuration_is_told_at_once_with_exit_code_64() {
    let folder = tempfile::tempdir().unwrap();
    let faults = [
        ("WORKER_CONCURRENCY", "lots"),
        ("FAKTORY_URL", "http://:geheim@x"),
        ("API_MAX_BODY_BYTES", "16 monkeys"),
    ];
    let mut process = start(folder.path(), &faults);
    assert_eq!(process.exit_code().await, Some(64));
    let output = process.output();
    for part in ["3 faults", "WORKER_CONCURRENCY", "FAKTORY_URL", "API_MAX_BODY_BYTES"] {
        assert!(output.contains(part), "{part} not in {output}");
    }
    assert!(!output.contains("geheim"), "{output}");
}

#[tokio::test]
async fn a_data_folder_in_use_is_named_with_the_variable_that_chooses_another() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), &[]);
    first.line_with("Ctrl-C").await;
    let mut second = start(folder.path(), &[]);
    assert_eq!(second.exit_code().await, Some(1));
    assert!(second.output().contains("BROKER_DATA_DIR"), "{}", second.output());
}

#[tokio::test]
async fn sigterm_sigint_and_sighup_end_the_process_in_order() {
    for signal in ["TERM", "INT", "HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let mut process = start(folder.path(), &[]);
        process.line_with("Ctrl-C").await;
        process.signal(signal).await;
        assert_eq!(process.exit_code().await, Some(0), "{}", process.output());
        assert!(process.output().contains("the worker has ended"), "{}", process.output());
    }
}

#[tokio::test]
async fn a_hangup_ends_each_part_in_order() {
    for part in ["broker", "api", "worker"] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("tcp://{}", free_address());
        let mut process = command(&[part], folder.path(), &[("FAKTORY_URL", &url)]);
        process.line_with("Ctrl-C").await;
        process.signal("HUP").await;
        assert_eq!(process.exit_code().await, Some(0), "{part}: {}", process.output());
    }
}

#[tokio::test]
async fn help_names_the_commands_the_variables_and_a_command_to_try() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = command(&["--help"], folder.path(), &[]);
    assert_eq!(process.exit_code().await, Some(0));
    for command in ["curl -H", "/jobs/add", "up", "broker", "api", "worker", "--env-file"] {
        assert!(process.output().contains(command), "{command}");
    }
    for variable in service_runtime::variables() {
        assert!(process.output().contains(variable.name), "{}", variable.name);
    }
    // A part names the variables that count for that part alone.
    let mut process = command(&["worker", "--help"], folder.path(), &[]);
    assert_eq!(process.exit_code().await, Some(0));
    for (variable, is_named) in
        [("FAKTORY_URL", true), ("WORKER_QUEUES", true), ("LOG_FORMAT", true), ("API_KEYS", false)]
    {
        assert_eq!(process.output().contains(variable), is_named, "{variable}");
    }
}

#[tokio::test]
async fn a_password_is_in_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let password = "planted-secret-5150";
    let mut process = start(folder.path(), &[("BROKER_PASSWORD", password), ("RUST_LOG", "trace")]);
    let address = process.address_on("  API ").await;
    testkit::eventually("ready", std::time::Duration::from_secs(20), || async move {
        testkit::http::get(address, "/ready")
            .await
            .ok()
            .filter(|answer| answer.status == 200)
            .map(|_| ())
    })
    .await;
    process.signal("TERM").await;
    assert_eq!(process.exit_code().await, Some(0));
    assert!(!process.output().contains(password));
}
