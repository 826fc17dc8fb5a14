//! The task that asks the work server again and again whether it is there, closes the circuit when
//! it is, and keeps connections warm.

use std::sync::Arc;
use std::time::Duration;

use faktory_link::LinkPool;
use faktory_wire::Excerpt;
use tokio::task::JoinSet;

use crate::liveness::Liveness;

/// The time between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// The time between two probes while the work server does not answer, so that its return is noticed
/// soon.
const PROBE_AGAIN: Duration = Duration::from_millis(500);
/// The connections that are opened before requests need them, and kept: a large batch spreads over
/// several.
const WARM: usize = 16;

/// Probes the work server for ever.
pub(crate) struct Prober {
    pub(crate) liveness: Arc<Liveness>,
    pub(crate) pool: LinkPool,
    /// The host and the port of the work server, for the log.
    pub(crate) work_server: String,
    /// How long the circuit stays open before it is tried again.
    pub(crate) open_for: Duration,
}

impl Prober {
    pub(crate) async fn run(self) {
        let warm = WARM.min(self.pool.max_size());
        let mut warming = JoinSet::new();
        // The first probe opens one connection itself.
        self.warm_up(&mut warming, warm - 1);
        let mut was_reachable = None;
        loop {
            let Some(result) = self.pool.probe().await else {
                tokio::time::sleep(PROBE_AGAIN.min(self.open_for)).await;
                continue;
            };
            let reachable = result.is_ok();
            if was_reachable != Some(reachable) {
                self.log(result.as_ref().err());
            }
            was_reachable = Some(reachable);
            self.liveness.note_probe(result);
            // Connections that have ended are replaced before a request needs them.
            while warming.try_join_next().is_some() {}
            if reachable && warming.is_empty() && self.pool.size() < warm {
                self.warm_up(&mut warming, warm);
            }
            if reachable {
                tokio::select! {
                    () = tokio::time::sleep(PROBE_EVERY) => {}
                    () = self.pool.until_circuit_opens() => {}
                }
            } else {
                tokio::time::sleep(PROBE_AGAIN).await;
            }
        }
    }

    fn warm_up(&self, warming: &mut JoinSet<usize>, connections: usize) {
        let pool = self.pool.clone();
        warming.spawn(async move { pool.warm_up(connections).await });
    }

    fn log(&self, failure: Option<&String>) {
        match failure {
            None => tracing::info!("the work server answers"),
            Some(why) => tracing::warn!(
                work_server = %Excerpt(&self.work_server),
                %why,
                "the work server does not answer (FAKTORY_URL says where it is)"
            ),
        }
    }
}
