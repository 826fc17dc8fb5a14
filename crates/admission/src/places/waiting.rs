//! The connections whose clients have not shown who they are, and the choice of the one that loses
//! its place. The choice and what it was compared with are in
//! `docs/decisions/0023-who-loses-a-place.md`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A connection younger than this keeps its place as long as half of all are older. A handshake
/// with a client nearby takes some milliseconds; with TLS at 30 ms of distance, these 100 ms.
pub(super) const YOUNG: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Connection<S> {
    id: u64,
    since: Instant,
    stop: S,
}

impl<S> Connection<S> {
    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= YOUNG
    }
}

/// Connections by client.
#[derive(Debug)]
pub(super) struct Waiting<S> {
    clients: BTreeMap<IpAddr, Vec<Connection<S>>>,
    len: usize,
}

impl<S> Default for Waiting<S> {
    fn default() -> Self {
        Self { clients: BTreeMap::new(), len: 0 }
    }
}

impl<S> Waiting<S> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, client: IpAddr, id: u64, since: Instant, stop: S) {
        self.clients.entry(client).or_default().push(Connection { id, since, stop });
        self.len += 1;
    }

    /// False where the connection is not here (any more).
    pub(super) fn remove(&mut self, client: IpAddr, id: u64) -> bool {
        let Some(connections) = self.clients.get(&client) else { return false };
        let Some(at) = connections.iter().position(|connection| connection.id == id) else {
            return false;
        };
        self.take(client, at).is_some()
    }

    /// Removes one of the connections of the client that has most, at random. Young connections
    /// count, and are removed, only where more than half of all are young: strangers then come so
    /// fast that no connection but one that takes its time gets old.
    pub(super) fn remove_one(&mut self, now: Instant, random: &mut fastrand::Rng) -> Option<S> {
        let old = self.clients.values().flatten().filter(|connection| connection.is_old(now));
        let only_old = 2 * old.count() >= self.len;
        let counts = |connection: &Connection<S>| !only_old || connection.is_old(now);
        let (mut most, mut with_most, mut chosen) = (0, 0, None);
        for (client, connections) in &self.clients {
            let count = connections.iter().filter(|connection| counts(connection)).count();
            if count > most {
                (most, with_most, chosen) = (count, 1, Some(*client));
            } else if count == most && most > 0 {
                // Each of the clients that have most is chosen with the same probability.
                with_most += 1;
                if random.usize(..with_most) == 0 {
                    chosen = Some(*client);
                }
            }
        }
        let client = chosen?;
        let nth = random.usize(..most);
        let (at, _) = self
            .clients
            .get(&client)?
            .iter()
            .enumerate()
            .filter(|(_, connection)| counts(connection))
            .nth(nth)?;
        self.take(client, at).map(|connection| connection.stop)
    }

    fn take(&mut self, client: IpAddr, at: usize) -> Option<Connection<S>> {
        let connections = self.clients.get_mut(&client)?;
        let taken = (at < connections.len()).then(|| connections.swap_remove(at))?;
        if connections.is_empty() {
            self.clients.remove(&client);
        }
        self.len -= 1;
        Some(taken)
    }
}
