//! Failures to show who one is, such as wrong passwords: how often each client has failed, how long
//! its refusal is to wait, and when that gets a line in the log.
//!
//! Only a refusal waits. Whoever knows the password or the key is served at once, however often
//! others have failed from the same address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bounded_log::BoundedLog;
use crate::nets::client_of;

/// Failures of one client that are refused at once: people mistype, and files are renewed.
const FREE: u32 = 3;
/// The wait after the first failure that is not free; it doubles with each further failure.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// The longest wait: shorter than the time in which clients expect an answer.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// A client that has not failed for so long begins anew.
const FORGET: Duration = Duration::from_secs(60);
/// The shortest time between two lines in the log.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The bounds of a table of failures.
#[derive(Debug, Clone, Copy)]
pub struct FailureLimits {
    /// The most clients that are remembered; for one more, the one whose latest failure is oldest
    /// is forgotten.
    pub clients: usize,
    /// The most refusals that wait at a time; one more is sent at once.
    pub waiting: usize,
    /// The most refusals among them to one client.
    pub waiting_of_one: usize,
}

impl Default for FailureLimits {
    /// 1,024 clients, 64 refusals that wait, 8 of them to one client.
    fn default() -> Self {
        Self { clients: 1024, waiting: 64, waiting_of_one: 8 }
    }
}

/// The failures of all clients, shared by those who serve them.
#[derive(Debug, Clone)]
pub struct Failures(Arc<Mutex<Table>>);

impl Default for Failures {
    fn default() -> Self {
        Self::new(FailureLimits::default())
    }
}

/// What is to be done about one failure.
#[derive(Debug)]
pub struct Refusal {
    /// The time before the refusal is sent; `None` where it is sent at once. Keep the `Refusal`
    /// until then: dropped, it makes room for another one that waits.
    pub wait: Option<Duration>,
    /// `Some` where a line in the log is due: the failures of all clients since the line before,
    /// this one included.
    pub report: Option<u64>,
    _place: Option<Place>,
}

/// A refusal that waits.
#[derive(Debug)]
struct Place {
    failures: Failures,
    client: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.failures.table().answered(self.client);
    }
}

impl Failures {
    /// A table within these bounds.
    #[must_use]
    pub fn new(limits: FailureLimits) -> Self {
        Self(Arc::new(Mutex::new(Table::new(limits))))
    }

    /// Notes that a client at this address has failed.
    #[must_use]
    pub fn note(&self, address: IpAddr, now: Instant) -> Refusal {
        let client = client_of(address);
        let (wait, report) = self.table().note(client, now);
        let place = wait.map(|_| Place { failures: self.clone(), client });
        Refusal { wait, report, _place: place }
    }

    /// The failures of all clients that no line in the log has told, once the interval has ended:
    /// a line is due now. To be asked about once a second.
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<u64> {
        self.table().log.due(now)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that has failed.
#[derive(Debug, Clone, Copy)]
struct Failed {
    count: u32,
    last: Instant,
}

#[derive(Debug)]
struct Table {
    limits: FailureLimits,
    clients: HashMap<IpAddr, Failed>,
    /// The refusals that wait, by client; at most `limits.waiting` in all.
    waiting: HashMap<IpAddr, usize>,
    log: BoundedLog,
}

impl Table {
    fn new(limits: FailureLimits) -> Self {
        let log = BoundedLog::new(LINE_EVERY);
        Self { limits, clients: HashMap::new(), waiting: HashMap::new(), log }
    }

    fn note(&mut self, client: IpAddr, now: Instant) -> (Option<Duration>, Option<u64>) {
        let report = self.log.note(now);
        let is_known = self.clients.contains_key(&client);
        if !is_known && self.clients.len() >= self.limits.clients {
            self.forget_oldest();
        }
        let failed = self.clients.entry(client).or_insert(Failed { count: 0, last: now });
        if now.saturating_duration_since(failed.last) >= FORGET {
            failed.count = 0;
        }
        failed.count = failed.count.saturating_add(1);
        failed.last = now;
        let wait = wait_after(failed.count).filter(|_| self.take_place(client));
        (wait, report)
    }

    fn take_place(&mut self, client: IpAddr) -> bool {
        let of_one = self.waiting.get(&client).copied().unwrap_or(0);
        let has_room = of_one < self.limits.waiting_of_one
            && self.waiting.values().sum::<usize>() < self.limits.waiting;
        if has_room {
            self.waiting.insert(client, of_one + 1);
        }
        has_room
    }

    fn answered(&mut self, client: IpAddr) {
        if let Some(count) = self.waiting.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&client);
            }
        }
    }

    /// Looks at every client, which are few; this happens only once the table is full.
    fn forget_oldest(&mut self) {
        let oldest = self.clients.iter().min_by_key(|(_, failed)| failed.last);
        if let Some(oldest) = oldest.map(|(client, _)| *client) {
            self.clients.remove(&oldest);
        }
    }
}

/// The wait after so many failures; `None` after those that are free.
fn wait_after(failures: u32) -> Option<Duration> {
    let doublings = failures.checked_sub(FREE + 1)?;
    Some(WAIT_MIN.saturating_mul(2_u32.saturating_pow(doublings)).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + last).into()
    }

    /// The wait that a failure brings, in milliseconds; the refusal is sent at once.
    fn wait(failures: &Failures, client: IpAddr, now: Instant) -> Option<u128> {
        failures.note(client, now).wait.map(|wait| wait.as_millis())
    }

    #[test]
    fn the_first_failures_wait_for_nothing_and_later_ones_longer_up_to_a_second() {
        let (failures, now) = (Failures::default(), Instant::now());
        let waits: Vec<_> = (0..10).map(|_| wait(&failures, ip(1), now)).collect();
        let expected = [0, 0, 0, 100, 200, 400, 800, 1000, 1000, 1000];
        assert_eq!(waits, expected.map(|wait| Some(wait).filter(|wait| *wait > 0)));
        assert_eq!(wait(&failures, ip(2), now), None, "another client is not concerned");
        assert_eq!(wait(&failures, ip(1), now + FORGET), None, "the client begins anew");
    }

    #[test]
    fn the_addresses_of_one_ipv6_host_fail_together() {
        let (failures, now) = (Failures::default(), Instant::now());
        for last in 1..=FREE {
            let address = format!("2001:db8::{last}").parse().unwrap();
            assert_eq!(wait(&failures, address, now), None);
        }
        assert_eq!(wait(&failures, "2001:db8::ffff".parse().unwrap(), now), Some(100));
    }

    #[test]
    fn refusals_that_wait_are_bounded_for_each_client_and_in_all() {
        let limits = FailureLimits { waiting: 3, waiting_of_one: 2, ..FailureLimits::default() };
        let (failures, now) = (Failures::new(limits), Instant::now());
        for client in 1..=3 {
            for _ in 0..FREE {
                assert_eq!(wait(&failures, ip(client), now), None);
            }
        }
        let first = failures.note(ip(1), now);
        let second = failures.note(ip(1), now);
        assert!(first.wait.is_some() && second.wait.is_some());
        assert_eq!(wait(&failures, ip(1), now), None, "two refusals to this client wait");
        let third = failures.note(ip(2), now);
        assert!(third.wait.is_some());
        assert_eq!(wait(&failures, ip(3), now), None, "three refusals wait");
        drop(first);
        assert!(wait(&failures, ip(3), now).is_some(), "there is room again");
        drop((second, third));
        assert!(failures.table().waiting.is_empty());
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest_failure() {
        let limits = FailureLimits { clients: 100, ..FailureLimits::default() };
        let (failures, start) = (Failures::new(limits), Instant::now());
        for client in 0..1000 {
            let now = start + Duration::from_millis(client.into());
            for _ in 0..FREE {
                let _ = failures.note(ip(client), now);
            }
        }
        assert_eq!(failures.table().clients.len(), 100);
        let now = start + Duration::from_secs(1);
        assert_eq!(wait(&failures, ip(999), now), Some(100), "the latest is remembered");
        assert_eq!(wait(&failures, ip(0), now), None, "the oldest is not");
    }

    #[test]
    fn the_first_failure_is_reported_at_once_and_then_a_count() {
        let (failures, start) = (Failures::default(), Instant::now());
        let report = |second| failures.note(ip(1), start + Duration::from_secs(second)).report;
        assert_eq!([report(0), report(1), report(4)], [Some(1), None, None]);
        assert_eq!([report(5), report(6)], [Some(3), None]);
        // Nobody fails any more.
        let due = |second| failures.due(start + Duration::from_secs(second));
        assert_eq!([due(9), due(10), due(11)], [None, Some(1), None]);
    }
}
