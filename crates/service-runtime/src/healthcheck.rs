//! Asks the process that runs with the same environment whether it lives: for containers, whose images have no HTTP client.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::environment::Environment;
use crate::role::Role;
use crate::settings::Settings;
use crate::tls::ServerTls;

/// For each step. A process that takes longer is as good as dead.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks: the API for `/health` at `BIND_ADDR`, a worker for the same at `WORKER_BIND_ADDR`, the broker for its greeting at `BROKER_BIND_ADDR`.
///
/// # Errors
/// With the reason for which it is not taken to be healthy.
pub fn healthcheck(role: Role, env_file: Option<&Path>) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::load(&Environment::of_process(env_file), role)?.settings;
    let (address, tls) = match role {
        Role::All | Role::Api => (settings.api.bind, settings.api.tls),
        Role::Worker => (settings.worker.bind.ok_or("WORKER_BIND_ADDR must be set: that is where a worker answers")?, None),
        Role::Broker => (settings.broker.bind, settings.broker.tls),
    };
    let address = on_this_machine(address);
    let (request, begins): (&[u8], _) = match role {
        Role::Broker => (b"", &b"+HI "[..]),
        _ => (b"GET /health HTTP/1.0\r\nhost: localhost\r\n\r\n", &b"HTTP/1.0 200 "[..]),
    };
    let answer = ask(address, tls.as_ref(), request, begins.len()).map_err(|error| format!("{address}: {error}"))?;
    if answer == begins { Ok(()) } else { Err(format!("{address}: the answer begins with {:?}", String::from_utf8_lossy(&answer)).into()) }
}

fn ask(address: SocketAddr, tls: Option<&ServerTls>, request: &[u8], length: usize) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut answer = vec![0; length];
    match tls {
        None => {
            stream.write_all(request)?;
            stream.read_exact(&mut answer)?;
        }
        Some(tls) => {
            let client = tls.own_client();
            let mut session = rustls::ClientConnection::new(Arc::clone(&client.config), client.server_name)?;
            let mut stream = rustls::Stream::new(&mut session, &mut stream);
            stream.write_all(request)?;
            stream.read_exact(&mut answer)?;
        }
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
