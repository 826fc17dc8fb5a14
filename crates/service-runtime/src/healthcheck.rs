//! Asks the process that runs with the same environment whether it lives: for containers, whose
//! images have no HTTP client.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config_error::{ConfigError, Problem};
use crate::environment::Environment;
use crate::parse;
use crate::role::Role;
use crate::start::report;
use crate::tls;
use crate::variables::default_of;

/// For each step. A process that takes longer is as good as dead.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks: the API for `/health` at `BIND_ADDR`, a worker for the same at `WORKER_BIND_ADDR`, the
/// broker for its greeting at `BROKER_BIND_ADDR`. Of the configuration only the address counts and
/// whether there is TLS: what is wrong in a file that the process has read long ago is no reason to
/// end it.
///
/// Returns the exit code: 0 where it lives, 64 where the configuration does not say where it
/// answers, else 1; the reason has been told.
#[must_use]
pub fn healthcheck(role: Role, env_file: Option<&Path>) -> u8 {
    match check(role, env_file) {
        Ok(()) => 0,
        Err(error) => report(error.as_ref()),
    }
}

fn check(role: Role, env_file: Option<&Path>) -> Result<(), Box<dyn std::error::Error>> {
    let (bind, tls) = match role {
        Role::All | Role::Api => ("BIND_ADDR", Some("API_TLS_CERT_FILE")),
        Role::Worker => ("WORKER_BIND_ADDR", None),
        Role::Broker => ("BROKER_BIND_ADDR", Some("BROKER_TLS_CERT_FILE")),
    };
    let environment = Environment::of_process(env_file);
    let faults = environment
        .problems
        .iter()
        .filter(|problem| ["--env-file", bind].contains(&problem.variable.as_str()));
    let problems: Vec<_> = faults.cloned().collect();
    if !problems.is_empty() {
        return Err(Box::new(ConfigError { problems, warnings: Vec::new() }));
    }
    let address = environment.variables.get(bind).map_or_else(|| default_of(bind), String::as_str);
    if address.is_empty() {
        return Err(faulty(bind, "must be set: that is where it answers"));
    }
    let address = parse::address(address.trim())
        .map_err(|accepted| faulty(bind, &format!("must be {accepted}")))?;
    let address = on_this_machine(address);
    let has_tls = tls.is_some_and(|name| environment.variables.contains_key(name));
    let (request, begins): (&[u8], _) = match role {
        Role::Broker => (b"", &b"+HI "[..]),
        _ => (b"GET /health HTTP/1.0\r\nhost: localhost\r\n\r\n", &b"HTTP/1.0 200 "[..]),
    };
    let answer = ask(address, has_tls, request, begins.len())
        .map_err(|error| format!("{address}: {error}"))?;
    if answer == begins {
        Ok(())
    } else {
        Err(format!("{address}: the answer begins with {:?}", String::from_utf8_lossy(&answer))
            .into())
    }
}

fn faulty(variable: &str, detail: &str) -> Box<dyn std::error::Error> {
    Box::new(ConfigError { problems: vec![Problem::new(variable, detail)], warnings: Vec::new() })
}

fn ask(
    address: SocketAddr,
    has_tls: bool,
    request: &[u8],
    length: usize,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut answer = vec![0; length];
    if has_tls {
        let client = tls::client_of_anybody();
        let mut session =
            rustls::ClientConnection::new(Arc::clone(&client.config), client.server_name)?;
        let mut stream = rustls::Stream::new(&mut session, &mut stream);
        stream.write_all(request)?;
        stream.read_exact(&mut answer)?;
    } else {
        stream.write_all(request)?;
        stream.read_exact(&mut answer)?;
    }
    Ok(answer)
}

/// What listens everywhere is reached over loopback.
fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}
