//! The probe: a question to the work server, by which the circuit breaker learns whether the server
//! answers.

use std::sync::Arc;
use std::time::Duration;

use faktory_wire::{Command, Reply};
use tokio::time::Instant;

use super::LinkPool;
use crate::connection::Connection;
use crate::error::{LinkError, Lost};

/// The time within which a probe over an existing connection is answered, or has failed.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

impl LinkPool {
    /// Asks the work server for an answer, with `PUSHB []`, because INFO can crash a Faktory. The
    /// circuit breaker is told the result. While the circuit is open, the breaker lets out only one
    /// probe at a time, at the time that is due for it; otherwise the result is `None`. Where there
    /// is no connection, the probe is sent together with the HELLO of a new one.
    ///
    /// # Errors
    /// With the reason why no answer came, for a person.
    pub async fn probe(&self) -> Option<Result<(), String>> {
        let is_closed = self.breaker.check(Instant::now()).is_ok();
        if !is_closed && !self.breaker.may_probe(Instant::now()) {
            return None;
        }
        // While the circuit is open, connections that seem to live may be dead without a sign.
        let anew = !is_closed || (self.idle() == 0 && self.size() < self.max_size());
        Some(if anew { self.probe_anew(!is_closed).await } else { self.probe_existing().await })
    }

    /// Probes over a new connection.
    async fn probe_anew(&self, others_may_be_dead: bool) -> Result<(), String> {
        match Connection::open_and_probe(&self.config).await {
            Ok(connection) => {
                if others_may_be_dead {
                    self.retire_all();
                }
                self.breaker.succeeded();
                self.add(connection);
                Ok(())
            }
            Err(error) => {
                self.breaker.failed(None, Instant::now());
                Err(error.to_string())
            }
        }
    }

    /// Probes over a connection of the pool.
    async fn probe_existing(&self) -> Result<(), String> {
        let asked = async {
            let connection = self.get().await.map_err(|error| (error.to_string(), None))?;
            let lost = |lost: Lost| (lost.to_string(), Some(lost.cause));
            let pending =
                connection.submit(Command::PushBulk(Vec::new()).to_line()).await.map_err(lost)?;
            drop(connection);
            pending.within(PROBE_WITHIN).await.map_err(lost)
        };
        match asked.await {
            Ok(reply) => {
                self.breaker.succeeded();
                match reply {
                    Reply::Bulk(_) => Ok(()),
                    other => Err(format!("it answered {other:?} to an empty push")),
                }
            }
            Err::<_, (String, Option<Arc<LinkError>>)>((why, cause)) => {
                self.breaker.failed(cause.as_ref(), Instant::now());
                Err(why)
            }
        }
    }
}
