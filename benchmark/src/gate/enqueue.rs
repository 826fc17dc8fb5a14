//! The gate of the enqueue path: posting over 100 ms is as fast as nearby.

mod checks;

use std::time::Duration;

pub(super) use checks::checks;

use crate::network::{self, Network};
use crate::part::order::Via;
use crate::runner::{self, Plan};
use crate::scenario::{Focus, Kind, Pace, Scenario};
use crate::terminal::say;

const NEAR: &str = "near";
const WAN: &str = "wan";
/// The WAN for single posts, with a stack of its own: its servers need not tidy up after the
/// millions of jobs of other scenarios.
const WAN_SINGLES: &str = "wan-singles";
const WAN_CUBIC: &str = "wan-cubic";
const NONE: &str = "none";
const WIRELESS_BBR: &str = "wireless-bbr";
const WIRELESS_CUBIC: &str = "wireless-cubic";
const WIRELESS_CUBIC_50: &str = "wireless-cubic-50";
const LOSSLESS: &str = "wireless-lossless";

const DEEP: &str = "batches-deep";
const ONE_BY_ONE: &str = "batch-100";
const TEN: &str = "ten-batches";
const LARGE: &str = "batch-10000";
const THOUSAND: &str = "concurrent-1000";
const SINGLES: &str = "concurrent-64";
const OPEN: &str = "open-loop-half";
const SUSTAINED: &str = "sustained";
const STREAM: &str = "stream-million";

/// The round trip of the network "near".
const NEAR_ROUND_TRIP: Duration = Duration::from_micros(100);
/// The round trip of the far networks, in seconds.
const FAR_SECONDS: f64 = 0.1;
/// The jobs in flight of a closed loop, in multiples of the jobs that the server takes in a round
/// trip. Two of these multiples fill the distance while the server works on one; the third covers
/// the moments in which a server stops to tidy up.
const UNDER_WAY: f64 = 3.0;
/// The length of the measurements on which the scenarios depend.
const CALIBRATE: Duration = Duration::from_secs(4);

/// The scenarios that are measured on each network, and the ways.
fn is_wanted(network: &str, scenario: &str, via: Via) -> bool {
    match (network, scenario) {
        (NEAR, DEEP) => matches!(via, Via::Http | Via::Link),
        (WAN, ONE_BY_ONE) => via == Via::Crate,
        (NONE, SUSTAINED) => matches!(via, Via::Http | Via::Crate),
        (WAN, DEEP | STREAM | LARGE)
        | (WAN_SINGLES, THOUSAND | OPEN)
        | (NEAR, SINGLES | LARGE)
        | (WAN_CUBIC, TEN)
        | (WIRELESS_BBR | WIRELESS_CUBIC | WIRELESS_CUBIC_50 | LOSSLESS, SUSTAINED) => {
            via == Via::Http
        }
        _ => false,
    }
}

pub(super) fn prepare(plan: &mut Plan) -> anyhow::Result<()> {
    plan.networks = networks();
    // The number of clients and the rate of the open loop depend on the rates nearby.
    plan.scenarios = vec![sixty_four(DEEP, 100), sixty_four(SINGLES, 1)];
    let rate = |scenario| runner::rate(plan, NEAR, scenario, Via::Http, CALIBRATE);
    let (batches, singles) = (rate(DEEP)?, rate(SINGLES)?);
    let clients = (UNDER_WAY * batches * FAR_SECONDS / 100.0).ceil().max(64.0) as usize;
    let per_second = (singles / 2.0).floor();
    say(&format!(
        "Near, 64 clients reach {batches:.0} jobs/s in batches and {singles:.0} in single posts: \
         {clients} clients with 100 jobs each, {per_second} posts/s."
    ));
    plan.scenarios = scenarios(clients, per_second);
    plan.pick = Some(is_wanted);
    plan.vias = Vec::new();
    Ok(())
}

fn networks() -> Vec<Network> {
    let (wan, wireless) = (network::wan, network::wireless);
    vec![
        network::none(),
        Network::with_round_trip(NEAR, "0.1 ms", NEAR_ROUND_TRIP),
        wan(),
        wan().named(WAN_SINGLES),
        wan().with_congestion(WAN_CUBIC, "cubic"),
        wireless().with_congestion(WIRELESS_BBR, "bbr"),
        wireless().with_congestion(WIRELESS_CUBIC, "cubic"),
        wireless()
            .with_congestion(WIRELESS_CUBIC_50, "cubic")
            .with_connections(WIRELESS_CUBIC_50, 50),
        network::lossless(LOSSLESS).with_congestion(LOSSLESS, "bbr"),
    ]
}

/// The scenarios, with this number of clients for deep batches, and this rate of the open loop.
fn scenarios(clients: usize, per_second: f64) -> Vec<Scenario> {
    vec![
        throughput(
            DEEP,
            format!("{clients} clients post batches of 100"),
            100,
            Pace::Clients(clients),
        ),
        throughput(
            ONE_BY_ONE,
            "one client posts batches of 100, one after the other".into(),
            100,
            Pace::Clients(1),
        ),
        after_ready(
            TEN,
            "ten batches of 100, one after the other, as soon as a fresh API is ready; 20 times",
            Kind::AfterReady { batch: 100, requests: 10, times: 20 },
        ),
        after_ready(
            LARGE,
            "a batch of 10,000 as soon as a fresh API is ready; 5 times",
            Kind::AfterReady { batch: 10_000, requests: 1, times: 5 },
        ),
        throughput(
            THOUSAND,
            "1,000 clients post one job at a time each".into(),
            1,
            Pace::Clients(1000),
        ),
        sixty_four(SINGLES, 1),
        Scenario {
            name: OPEN.into(),
            title: format!("{per_second} single posts a second, at intended times"),
            kind: Kind::Enqueue { batch: 1, pace: Pace::PerSecond(per_second) },
            focus: Focus::Latency,
        },
        sixty_four(SUSTAINED, 100),
        throughput(
            STREAM,
            "a million jobs in one request".into(),
            1,
            Pace::Stream { count: 1_000_000 },
        ),
    ]
}

fn throughput(name: &str, title: String, batch: usize, pace: Pace) -> Scenario {
    let kind = Kind::Enqueue { batch, pace };
    Scenario { name: name.into(), title, kind, focus: Focus::Throughput }
}

fn after_ready(name: &str, title: &str, kind: Kind) -> Scenario {
    Scenario { name: name.into(), title: title.into(), kind, focus: Focus::Latency }
}

fn sixty_four(name: &str, batch: usize) -> Scenario {
    throughput(name, format!("64 clients post batches of {batch}"), batch, Pace::Clients(64))
}
