//! Round trip, rate, loss, order and congestion control are as the settings say.
//!
//! These tests read clocks because the emulator promises times; the tolerances fit a busy machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use link_emulator::{Direction, Link, LinkConfig, Settings};
use socket2::SockRef;

use crate::start;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A UDP socket on each side, connected with the other.
fn udp(link: &Link) -> (UdpSocket, UdpSocket) {
    let bind = |address: std::net::Ipv4Addr| move || UdpSocket::bind((address, 9)).unwrap();
    let near = link.near().run(bind(link.near_address())).unwrap();
    let far = link.far().run(bind(link.far_address())).unwrap();
    near.connect((link.far_address(), 9)).unwrap();
    far.connect((link.near_address(), 9)).unwrap();
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(ms(2000))).unwrap();
    }
    (near, far)
}

/// Both ends of a TCP connection, and the time to connect.
fn tcp(link: &Link) -> (TcpStream, TcpStream, Duration) {
    let address = SocketAddr::from((link.far_address(), 7000));
    let listener = link.far().run(|| TcpListener::bind(address).unwrap()).unwrap();
    let begin = Instant::now();
    let near = link.near().run(|| TcpStream::connect(address).unwrap()).unwrap();
    let took = begin.elapsed();
    let (far, _) = listener.accept().unwrap();
    (near, far, took)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn the_round_trip_is_the_sum_of_both_delays() {
    let Some(link) =
        start(LinkConfig::both_ways(Settings { delay: ms(25), ..Settings::default() }))
    else {
        return;
    };
    let (near, far) = udp(&link);
    let round_trip = || {
        let begin = Instant::now();
        near.send(b"ping").unwrap();
        let mut buffer = [0; 16];
        let read = far.recv(&mut buffer).unwrap();
        far.send(&buffer[..read]).unwrap();
        near.recv(&mut buffer).unwrap();
        begin.elapsed()
    };
    let measured = median((0..20).map(|_| round_trip()).collect());
    assert!(measured >= ms(50) && measured < ms(60), "{measured:?}");
    // One direction is changed while the link runs.
    link.set(Direction::FarToNear, Settings { delay: ms(5), ..Settings::default() });
    let measured = median((0..20).map(|_| round_trip()).collect());
    assert!(measured >= ms(30) && measured < ms(40), "{measured:?}");
    let (_near, _far, connect) = tcp(&link);
    assert!(connect >= ms(30), "a TCP handshake takes a round trip: {connect:?}");
}

#[test]
fn only_packets_of_the_user_are_counted() {
    for _ in 0..20 {
        let Some(link) = start(LinkConfig::both_ways(Settings {
            delay: ms(1),
            loss: 1.0,
            ..Settings::default()
        })) else {
            return;
        };
        std::thread::sleep(ms(20));
        for direction in [Direction::NearToFar, Direction::FarToNear] {
            assert_eq!(link.counters(direction).lost, 0, "{direction:?}");
        }
    }
}

#[test]
fn a_stream_is_as_fast_as_the_rate_and_no_faster() {
    let settings = Settings { delay: ms(5), rate: Some(20_000_000), ..Settings::default() };
    let Some(link) = start(LinkConfig {
        near_congestion: Some("cubic".into()),
        ..LinkConfig::both_ways(settings)
    }) else {
        return;
    };
    let (mut near, mut far, _) = tcp(&link);
    const BYTES: usize = 4_000_000;
    let writer = std::thread::spawn(move || near.write_all(&vec![7; BYTES]).unwrap());
    let begin = Instant::now();
    let mut received = Vec::new();
    far.read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    let rate = BYTES as f64 * 8.0 / begin.elapsed().as_secs_f64();
    // Headers are 4 % of each packet.
    assert!(received.len() == BYTES && (14e6..20e6).contains(&rate), "{rate}");
}

#[test]
fn the_configured_share_of_packets_is_lost_and_all_others_arrive_in_order() {
    let settings = Settings { delay: ms(10), jitter: ms(10), loss: 0.05, ..Settings::default() };
    let Some(link) = start(LinkConfig::both_ways(settings)) else { return };
    let (near, far) = udp(&link);
    SockRef::from(&far).set_recv_buffer_size(4 << 20).unwrap();
    let sent: u32 = 4000;
    let reader = std::thread::spawn(move || {
        let mut numbers = Vec::new();
        let mut buffer = [0; 16];
        while let Ok(4) = far.recv(&mut buffer) {
            numbers.push(u32::from_be_bytes(buffer[..4].try_into().unwrap()));
        }
        numbers
    });
    for number in 0..sent {
        near.send(&number.to_be_bytes()).unwrap();
        if number % 50 == 0 {
            std::thread::sleep(ms(1));
        }
    }
    let numbers = reader.join().unwrap();
    let counters = link.counters(Direction::NearToFar);
    assert!(numbers.is_sorted());
    assert_eq!(numbers.len() as u64 + counters.lost, u64::from(sent), "{counters:?}");
    // The expected number is 200, with a standard deviation of 14.
    assert!((130..270).contains(&counters.lost), "{counters:?}");
    assert_eq!(counters.dropped_unasked, 0);
}

#[test]
fn each_end_has_the_chosen_congestion_control() {
    for (near, far) in [("cubic", "bbr"), ("bbr", "cubic")] {
        let settings = Settings::default();
        let (near_congestion, far_congestion) = (Some(near.to_owned()), Some(far.to_owned()));
        let config =
            LinkConfig { near_congestion, far_congestion, ..LinkConfig::both_ways(settings) };
        let link = match Link::start(config) {
            Ok(link) => link,
            // Not every kernel has bbr.
            Err(error) => return eprintln!("SKIPPED: {error}"),
        };
        let kernel = link.congestion_control();
        assert_eq!((kernel.near.as_str(), kernel.far.as_str()), (near, far));
        let (near_end, far_end, _) = tcp(&link);
        let of = |stream: &TcpStream| {
            let name = SockRef::from(stream).tcp_congestion().unwrap();
            String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned()
        };
        assert_eq!((of(&near_end).as_str(), of(&far_end).as_str()), (near, far));
    }
    let unknown = LinkConfig {
        near_congestion: Some("nonsense".into()),
        ..LinkConfig::both_ways(Settings::default())
    };
    let error = Link::start(unknown).unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
}

#[test]
fn a_burst_longer_than_the_default_queue_of_a_device_arrives_whole() {
    let Some(link) =
        start(LinkConfig::both_ways(Settings { delay: ms(50), ..Settings::default() }))
    else {
        return;
    };
    let (near, far) = udp(&link);
    SockRef::from(&far).set_recv_buffer_size(64 << 20).unwrap();
    for number in 0..3000_u32 {
        near.send(&number.to_be_bytes()).unwrap();
    }
    let mut buffer = [0; 16];
    for number in 0..3000 {
        assert_eq!(far.recv(&mut buffer).unwrap(), 4, "packet {number}");
    }
    assert_eq!(link.counters(Direction::NearToFar).dropped_unasked, 0);
}
