//! The table of measurements: which cases are measured on which setup, and by which way.

use super::case::Case::{self, *};
use super::setup::*;
use crate::part::order::Via;

/// One row: a setup, and the cases that are measured there.
pub(super) type Row = (Setup, &'static [Case]);

/// All rows, in the order in which they are measured: first the product's defaults, then a changed
/// variable at a time, then whole profiles.
pub(super) const MEASURED: &[Row] = &[
    (NEAR, &[Hanging, Singles, Payloads, Busy(2), Busy(50), Busy(500), Queues(1)]),
    (LAN, &[Cut(5), Cut(12)]),
    (
        WAN,
        &[
            Noop,
            TenMs(20),
            Sustained,
            FirstBatch,
            Idle,
            Burst,
            Ending,
            TenMs(1),
            TenMs(50),
            Batches(100),
            Batches(1000),
            Batches(10_000),
        ],
    ),
    (WIRELESS, &[Posts, Cut(5), Idle, FirstJob]),
    (LOSSLESS, &[Payloads]),
    (NAT_READ_3S, &[Silence]),
    (WAN_CONNECTIONS_1, &[Sustained, FirstBatch]),
    (WAN_CONNECTIONS_5, &[Noop]),
    (WAN_CONNECTIONS_15, &[Noop, Sustained, FirstBatch, TenMs(50)]),
    (WAN_CONNECTIONS_30, &[Noop]),
    (WAN_CONNECTIONS_15_SHUTDOWN_60S, &[Noop]),
    (WAN_SHUTDOWN_5S, &[Noop, Ending]),
    (LAN_READ_3S, &[Cut(5), Cut(12)]),
    (LAN_WRITE_3S, &[Cut(5)]),
    (LAN_NO_BREAKER, &[Cut(12)]),
    (LAN_ONE_CONNECTION, &[Cut(12)]),
    (LAN_ONE_CONNECTION_WITHIN_1S, &[Cut(12)]),
    (LAN_BREAKER_10S, &[Cut(5)]),
    (LAN_BREAKER_100MS, &[Cut(5)]),
    (WIRELESS_CONNECTION_130MS, &[FirstJob]),
    (WIRELESS_REQUEST_250MS, &[Posts]),
    (NAT_KEEPALIVE_5S, &[Silence]),
    (NAT_KEEPALIVE_1S, &[Silence]),
    (NEAR_MANY_QUEUES, &[Queues(1000), Queues(100_000)]),
    (LOSSLESS_COMPRESSED, &[Payloads]),
    (NEAR_COMPRESSED, &[Payloads]),
    (WAN_LANES_4, &[Noop]),
    (WAN_LANES_14, &[Noop]),
    (WAN_PREFETCH_0, &[Noop, TenMs(20)]),
    (WAN_PREFETCH_100, &[Noop, TenMs(20)]),
    (NEAR_JOB_TIMEOUT_1S, &[Hanging]),
    (WAN_POLL_10MS, &[Idle, Burst]),
    (WAN_POLL_2S, &[Idle, Burst]),
    (NEAR_LOG_INFO, &[Singles]),
    (NEAR_LOG_DEBUG, &[Singles]),
    (NEAR_LOG_DEBUG_JSON, &[Singles]),
    (WIRELESS_AS_LOCAL, &[Cut(5), Idle]),
    (WIRELESS_AS_WIRELESS, &[Cut(5), Idle]),
];

/// Measurements that are repeated with the faktory crate.
const COMPARED: &[(Setup, Case)] = &[(LAN, Cut(12)), (NAT_READ_3S, Silence)];

/// Whether a scenario is measured on a network by a way, by their names.
pub(super) fn is_measured(network: &str, scenario: &str, via: Via) -> bool {
    let names =
        |setup: &Setup, case: &Case| case.name() == scenario && setup.network().name == network;
    match via {
        Via::Http | Via::Worker => {
            MEASURED.iter().any(|(setup, cases)| cases.iter().any(|case| names(setup, case)))
        }
        Via::Crate => COMPARED.iter().any(|(setup, case)| names(setup, case)),
        Via::Link | Via::Raw => false,
    }
}
