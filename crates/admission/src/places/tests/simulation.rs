//! Silent connections that are renewed for ever, and one client that wants to log in: how often
//! does it get in at one try? Under a seed, in steps of a millisecond. The figures are in
//! `docs/decisions/0023-who-loses-a-place.md`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Entry, Nets, Place, PlaceLimits, Places};

/// What the strangers do.
#[derive(Clone, Copy)]
struct Attack {
    connections: u32,
    addresses: u32,
    /// Each connection is opened anew after so many milliseconds.
    renewed_after: u64,
}

/// What the server does where places are short.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    /// The rule of this crate.
    Ours,
    /// The new connection is refused at the limit.
    RefuseAtTheLimit,
    /// The new connection is refused with a probability that rises from `rate` at 3/10 of the limit
    /// to 1 at the limit, as with `MaxStartups` of sshd.
    RefuseEarly { rate: f64 },
}

const LIMIT: usize = 1000;
const HONEST: u32 = u32::MAX;
const HONEST_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const TRIES: u64 = 40;
/// Milliseconds from one try to the next.
const BETWEEN_TRIES: u64 = 631;

fn address_of(name: u32, addresses: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + name % addresses))
}

struct Server {
    rule: Rule,
    places: Arc<Places<u32>>,
    open: HashMap<u32, Place<u32>>,
    random: fastrand::Rng,
}

impl Server {
    /// True where the connection has a place.
    fn connect(&mut self, name: u32, from: IpAddr, now: Instant) -> bool {
        let share = self.open.len() as f64 / LIMIT as f64;
        let is_refused = match self.rule {
            Rule::Ours => false,
            Rule::RefuseAtTheLimit => share >= 1.0,
            Rule::RefuseEarly { rate } => {
                share >= 0.3 && self.random.f64() < rate + (1.0 - rate) * (share - 0.3) / 0.7
            }
        };
        if is_refused {
            return false;
        }
        let Entry::Admitted { place, instead_of } = self.places.enter(from, name, now) else {
            return false;
        };
        if let Some(lost) = instead_of {
            self.open.remove(&lost);
        }
        self.open.insert(name, place);
        true
    }
}

/// The share of tries in which the client had a place for all of its handshake.
fn share_of_success(rule: Rule, attack: Attack, handshake: u64, seed: u64) -> f64 {
    let limits = PlaceLimits { total: 2 * LIMIT, strangers: LIMIT };
    let random = fastrand::Rng::with_seed(seed);
    let places = Places::new(limits, Nets::default(), seed);
    let mut server = Server { rule, places, open: HashMap::new(), random };
    let start = Instant::now();
    let per_step = u64::from(attack.connections).div_ceil(attack.renewed_after);
    let mut succeeded = 0;
    for ms in 0..=(TRIES + 4) * BETWEEN_TRIES {
        let now = start + Duration::from_millis(ms);
        // The strangers come one after the other, evenly.
        let first = ms * u64::from(attack.connections) / attack.renewed_after;
        let last = (ms + 1) * u64::from(attack.connections) / attack.renewed_after;
        assert!(last - first <= per_step);
        for nth in first..last {
            let name = (nth % u64::from(attack.connections)) as u32;
            server.open.remove(&name);
            server.connect(name, address_of(name, attack.addresses), now);
        }
        let since_try = ms % BETWEEN_TRIES;
        // The attack has gone on for more than 2 s before the first try.
        if ms < 4 * BETWEEN_TRIES {
            continue;
        }
        if since_try == 0 {
            server.connect(HONEST, HONEST_ADDRESS, now);
        } else if since_try == handshake && server.open.remove(&HONEST).is_some() {
            succeeded += 1;
        }
    }
    succeeded as f64 / TRIES as f64
}

const MANY: u32 = 1 << 16;
/// 2,300 silent connections, each renewed every 2 s.
const STEADY: Attack = Attack { connections: 2300, addresses: MANY, renewed_after: 2000 };

fn from_addresses(addresses: u32, attack: Attack) -> Attack {
    Attack { addresses, ..attack }
}

#[test]
fn strangers_of_few_addresses_never_take_the_place_of_another_client() {
    for addresses in [1, 100] {
        for (handshake, connections) in [(300, 2300), (300, 20_000)] {
            let attack = Attack { connections, ..from_addresses(addresses, STEADY) };
            let share = share_of_success(Rule::Ours, attack, handshake, 7);
            assert_eq!(share, 1.0, "{addresses} addresses, {handshake} ms, {connections}");
        }
    }
}

#[test]
fn among_strangers_of_many_addresses_a_client_gets_in_at_once_or_within_a_few_tries() {
    let at_once = |handshake| share_of_success(Rule::Ours, STEADY, handshake, 11);
    assert_eq!((at_once(20), at_once(90)), (1.0, 1.0));
    // e^(-1150 × 0.2 / 885) = 0.77: 1,150 strangers a second, 885 connections that are not young.
    let share = at_once(300);
    assert!((0.6..=0.95).contains(&share), "{share}");
    // Ten thousand a second, whose connections are all young.
    let flood = Attack { connections: 20_000, ..STEADY };
    let share = share_of_success(Rule::Ours, flood, 20, 11);
    // e^(-10,000 × 0.02 / 1000) = 0.82.
    assert!((0.65..=0.95).contains(&share), "{share}");
}

#[test]
fn refusing_the_new_connection_keeps_clients_out_where_making_room_lets_them_in() {
    let eager = Attack { renewed_after: 200, ..STEADY };
    let early = Rule::RefuseEarly { rate: 0.3 };
    for attack in [STEADY, eager] {
        let ours = share_of_success(Rule::Ours, attack, 20, 13);
        let at_limit = share_of_success(Rule::RefuseAtTheLimit, attack, 20, 13);
        let early = share_of_success(early, attack, 20, 13);
        assert!(ours > early && ours > at_limit, "{ours}, {early}, {at_limit}");
    }
}

/// The rows of the decision with one handshake each, as they are computed.
#[test]
fn the_decision_shows_the_figures_of_the_simulation() {
    let decision = include_str!("../../../../../docs/decisions/0023-who-loses-a-place.md");
    for (connections, renewed_after, handshakes) in
        [(2300, 2000, &[300, 600][..]), (2300, 200, &[20, 300]), (20_000, 2000, &[20, 100, 300])]
    {
        let attack = Attack { connections, addresses: MANY, renewed_after };
        for handshake in handshakes {
            let of = |rule| share_of_success(rule, attack, *handshake, 17);
            let (ours, early) = (of(Rule::Ours), of(Rule::RefuseEarly { rate: 0.3 }));
            let at_the_limit = of(Rule::RefuseAtTheLimit);
            let row = format!("| {handshake} ms | {ours:.2} | {early:.2} | {at_the_limit:.2} |");
            assert!(decision.contains(&row), "{connections} in {renewed_after} ms: {row}");
        }
    }
}
