//! The health check: asks the process that runs with the same environment whether it lives. For
//! containers, whose images have no HTTP client.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config_error::{ConfigError, Problem};
use crate::environment::Environment;
use crate::role::Role;
use crate::settings::Answers;
use crate::start::report;
use crate::tls;

/// The time for each step. A process that takes longer is as good as dead.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the API for `/health` at `BIND_ADDR`, a worker for the same at `WORKER_BIND_ADDR`, or the
/// broker for its greeting at `BROKER_BIND_ADDR`. Of the configuration only the address counts and
/// whether there is TLS: a fault in a file that the process has read long ago is no reason to end
/// the process.
///
/// Returns the exit code: 0 where the process lives, 64 where the configuration does not say where
/// the process answers, else 1; the reason has been told.
#[must_use]
pub fn healthcheck(role: Role, env_file: Option<&Path>) -> u8 {
    match check(role, env_file) {
        Ok(()) => 0,
        Err(error) => report(error.as_ref()),
    }
}

fn check(role: Role, env_file: Option<&Path>) -> Result<(), Box<dyn std::error::Error>> {
    let answers = Answers::read(&Environment::of_process(env_file), role)?;
    let Some(address) = answers.at else {
        let problem = Problem::new(answers.variable, "must be set: the worker answers there");
        return Err(Box::new(ConfigError { problems: vec![problem], warnings: Vec::new() }));
    };
    let address = on_this_machine(address);
    let (request, begins): (&[u8], _) = match role {
        Role::Broker => (b"", &b"+HI "[..]),
        Role::All | Role::Api | Role::Worker => {
            (b"GET /health HTTP/1.0\r\nhost: localhost\r\n\r\n", &b"HTTP/1.0 200 "[..])
        }
    };
    let answer = ask(address, answers.has_tls, request, begins.len())
        .map_err(|error| format!("{address}: {error}"))?;
    if answer == begins {
        Ok(())
    } else {
        Err(format!("{address}: the answer begins with {:?}", String::from_utf8_lossy(&answer))
            .into())
    }
}

fn ask(
    address: SocketAddr,
    has_tls: bool,
    request: &[u8],
    length: usize,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut stream = match TcpStream::connect_timeout(&address, PATIENCE) {
        // Where the whole container was stopped, the time is over and nobody was silent. For the
        // steps behind this one the system looks at the socket first, and at the time then.
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            TcpStream::connect_timeout(&address, PATIENCE)?
        }
        connected => connected?,
    };
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

/// The address to connect to: a process that listens on every address is reached over loopback.
fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}
