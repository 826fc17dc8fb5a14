//! Cuts, NATs that forget, and commands in a namespace.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use link_emulator::{Direction, Link, LinkConfig, Settings};

use crate::start;

fn connection(link: &Link) -> (TcpStream, TcpStream) {
    let address = SocketAddr::from((link.far_address(), 7000));
    let listener = link.far().run(|| TcpListener::bind(address).unwrap()).unwrap();
    let near = link.near().run(|| TcpStream::connect(address).unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    for stream in [&near, &far] {
        stream.set_nodelay(true).unwrap();
    }
    (near, far)
}

fn arrives(from: &mut TcpStream, to: &mut TcpStream, within: Duration) -> bool {
    from.write_all(b"x").unwrap();
    to.set_read_timeout(Some(within)).unwrap();
    loop {
        match to.read(&mut [0]) {
            Ok(read) => return read == 1,
            // A read with a timeout is not restarted by the system.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

const SOON: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_cut_link_carries_no_packet_and_tcp_goes_on_after_the_cut() {
    let Some(link) = start(LinkConfig::both_ways(Settings {
        delay: Duration::from_millis(1),
        ..Settings::default()
    })) else {
        return;
    };
    let (mut near, mut far) = connection(&link);
    assert!(arrives(&mut near, &mut far, LONG));
    link.cut();
    assert!(!arrives(&mut near, &mut far, SOON));
    assert!(link.counters(Direction::NearToFar).cut > 0);
    link.restore();
    // The kernel sends the lost bytes again.
    far.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(far.read(&mut [0]).unwrap(), 1);
    assert!(arrives(&mut near, &mut far, LONG));
}

#[test]
fn a_nat_silently_forgets_an_idle_flow_and_accepts_a_new_flow() {
    let Some(link) = start(LinkConfig::both_ways(Settings::default())) else { return };
    link.forget_idle_flows(Some(Duration::from_secs(1)));
    let (mut near, mut far) = connection(&link);
    assert!(arrives(&mut near, &mut far, LONG));
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!arrives(&mut near, &mut far, SOON));
    assert!(!arrives(&mut far, &mut near, SOON));
    assert!(link.counters(Direction::NearToFar).forgotten > 0);
    drop((near, far));
    let (mut near, mut far) = connection(&link);
    assert!(arrives(&mut near, &mut far, LONG));
}

#[test]
fn a_command_runs_in_the_namespace_in_which_it_was_started() {
    let Some(link) = start(LinkConfig::both_ways(Settings::default())) else { return };
    let inode = |namespace: &link_emulator::Namespace| {
        let mut command = Command::new("readlink");
        command.arg("/proc/self/ns/net").stdout(std::process::Stdio::piped());
        let output = namespace.spawn(command).unwrap().wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let here = std::fs::read_link("/proc/self/ns/net").unwrap().to_string_lossy().into_owned();
    let (near, far) = (inode(link.near()), inode(link.far()));
    assert!(near.starts_with("net:[") && near != far && near.trim() != here && far.trim() != here);
    // Each side has a loopback device of its own.
    let local = SocketAddr::from(([127, 0, 0, 1], 7001));
    let listener = link.far().run(|| TcpListener::bind(local).unwrap()).unwrap();
    assert!(link.far().run(|| TcpStream::connect(local).is_ok()).unwrap());
    assert!(link.near().run(|| TcpStream::connect(local).is_err()).unwrap());
    drop(listener);
}
