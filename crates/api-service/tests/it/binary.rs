//! The binary as a process.

use testkit::{TestProcess, WorkServer};

#[tokio::test]
async fn the_binary_runs_until_sigterm() {
    let server = WorkServer::broker().await;
    let url = format!("tcp://{}", server.address());
    let variables =
        [("FAKTORY_URL", url.as_str()), ("BIND_ADDR", "127.0.0.1:0"), ("SHUTDOWN_TIMEOUT", "10s")];
    let mut process = TestProcess::start(env!("CARGO_BIN_EXE_api-service"), &[], &variables);
    process.line_with("the API listens").await;
    process.signal("TERM").await;
    assert_eq!(process.exit_code().await, Some(0), "{}", process.output());
}

#[tokio::test]
async fn a_faulty_configuration_gives_the_exit_code_64() {
    let mut process =
        TestProcess::start(env!("CARGO_BIN_EXE_api-service"), &[], &[("FAKTORY_URL", "nonsense")]);
    assert_eq!(process.exit_code().await, Some(64));
    assert!(process.output().contains("FAKTORY_URL: must be a URL"), "{}", process.output());
}
