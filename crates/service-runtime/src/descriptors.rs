//! How many files and sockets this process may hold open, and who gets how many of them. A process
//! without a free descriptor can't write its store, so clients never get the last ones.

use crate::role::Role;

/// Files of the process itself: standard streams, runtimes, listeners, certificates and keys while
/// they are read; and connections that are being closed.
const PROCESS_FILES: usize = 64;
/// Files that the broker's store holds open at the most: [`STORE_FILES_MAX`] of faktory-broker,
/// where they are measured.
///
/// [`STORE_FILES_MAX`]: https://docs.rs/faktory-broker
pub const STORE_FILES: usize = 256;
/// Connections above their number that a listener refuses in words at a time.
const REFUSALS: usize = 64;
/// The fewest connections with which a listener for clients, or a worker's, is of use.
const CLIENTS_LEAST: usize = 32;
const WORKER_LEAST: usize = 8;

/// The most connections that the listeners of a process hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Of clients to the API.
    pub api: usize,
    /// Of API, workers and others to the broker; the default is Faktory's.
    pub broker: usize,
    /// To a worker's `/health`, `/ready` and `/metrics`.
    pub worker: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Self { api: 10_000, broker: 2000, worker: 100 }
    }
}

/// What runs in a process, as far as it needs descriptors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    pub(crate) role: Role,
    pub(crate) runs_broker: bool,
    /// The most connections that each of API and worker makes to the work server.
    pub(crate) link: usize,
}

impl Needs {
    /// Connections from this process to the work server.
    const fn links(self) -> usize {
        let parts = self.role.runs_api() as usize + self.role.runs_worker() as usize;
        parts * self.link
    }

    /// What is kept from clients.
    const fn reserve(self) -> usize {
        let store = if self.runs_broker { STORE_FILES + REFUSALS } else { 0 };
        let api = if self.role.runs_api() { REFUSALS } else { 0 };
        PROCESS_FILES + self.links() + store + api
    }

    /// The fewest connections with which the process is of use.
    const fn least(self) -> Connections {
        // The broker's own API and worker come before other clients.
        let broker = if self.runs_broker { self.links() + CLIENTS_LEAST } else { 0 };
        Connections {
            api: if self.role.runs_api() { CLIENTS_LEAST } else { 0 },
            broker,
            worker: if self.role.runs_worker() { WORKER_LEAST } else { 0 },
        }
    }

    /// Divides the descriptors that may be open among the listeners.
    ///
    /// # Errors
    /// The number that is needed at least, where there are fewer.
    pub(crate) fn divide(self, limit: usize) -> Result<Connections, usize> {
        let (most, least) = (Connections::default(), self.least());
        let needed = self.reserve() + least.api + least.broker + least.worker;
        let rest = limit.checked_sub(needed).ok_or(needed)?;
        let grow = |least: usize, most: usize, share: usize| match least {
            0 => most,
            least => most.max(least).min(least.saturating_add(share)),
        };
        let worker = grow(least.worker, most.worker, rest / 8);
        let rest = if least.worker == 0 { rest } else { rest - (worker - least.worker) };
        let broker_share = if least.api == 0 { rest } else { rest / 2 };
        let broker = grow(least.broker, most.broker, broker_share);
        let rest = if least.broker == 0 { rest } else { rest - (broker - least.broker) };
        Ok(Connections { api: grow(least.api, most.api, rest), broker, worker })
    }
}

/// The most that macOS accepts as the soft limit of open files, whatever the hard limit is:
/// `OPEN_MAX` of its `<sys/syslimits.h>`.
#[cfg(unix)]
const OPEN_MAX: u64 = 10_240;

/// The limit of open files that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// So many files may be open.
    pub(crate) files: usize,
    /// Whether this is the hard limit too.
    is_hard: bool,
}

impl Limit {
    /// Where the limit comes from, for an operator to whom it is too low.
    pub(crate) const fn source(self) -> &'static str {
        if self.is_hard {
            "This is the hard limit: LimitNOFILE of systemd, ulimits of Docker, ulimit -Hn of a \
             shell"
        } else {
            "This is the soft limit, ulimit -Sn of a shell, which the system did not let this \
             process raise to the hard one"
        }
    }
}

/// Raises the limit of open files as far as the system allows, and returns it. `None` where the
/// system has no such limit.
pub(crate) fn raise_limit() -> Option<Limit> {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        let set = |limit| setrlimit(Resource::RLIMIT_NOFILE, limit, hard).is_ok();
        let limit = raised(soft, hard, set);
        let files = usize::try_from(limit).ok()?;
        Some(Limit { files, is_hard: limit == hard })
    }
    #[cfg(not(unix))]
    {
        None
    }
}

/// Sets the soft limit to the hard one, or to what macOS accepts, and returns what counts then.
#[cfg(unix)]
fn raised(soft: u64, hard: u64, mut set: impl FnMut(u64) -> bool) -> u64 {
    let tries = [hard, hard.min(OPEN_MAX)];
    tries.into_iter().find(|limit| *limit > soft && set(*limit)).unwrap_or(soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(role: Role, runs_broker: bool) -> Needs {
        Needs { role, runs_broker, link: 50 }
    }

    const EVERYTHING: [(Role, bool); 5] = [
        (Role::All, true),
        (Role::All, false),
        (Role::Api, false),
        (Role::Worker, false),
        (Role::Broker, true),
    ];

    #[test]
    fn whatever_the_limit_is_reserve_and_connections_stay_below_it() {
        for (role, runs_broker) in EVERYTHING {
            let needs = needs(role, runs_broker);
            for limit in (0..40_000).step_by(7) {
                let Ok(connections) = needs.divide(limit) else { continue };
                let listening = [
                    (needs.role.runs_api(), connections.api),
                    (needs.runs_broker, connections.broker),
                    (needs.role.runs_worker(), connections.worker),
                ];
                let all: usize = listening.iter().filter(|part| part.0).map(|part| part.1).sum();
                assert!(needs.reserve() + all <= limit, "{role:?} {limit}: {connections:?}");
                assert!(connections.broker <= 2000 && connections.api <= 10_000);
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn where_the_hard_limit_is_refused_the_soft_one_is_raised_as_far_as_macos_allows() {
        const NO_LIMIT: u64 = u64::MAX;
        let macos = |limit| limit <= OPEN_MAX;
        assert_eq!(raised(256, NO_LIMIT, macos), 10_240);
        assert_eq!(raised(20_000, NO_LIMIT, macos), 20_000, "never lowered");
        assert_eq!(raised(256, 4096, macos), 4096);
        assert_eq!(raised(1024, 524_288, |_| true), 524_288);
        assert_eq!(raised(1024, 524_288, |_| false), 1024);
        assert_eq!(raised(1024, 1024, |_| panic!("nothing to raise")), 1024);
        let (hard, soft) =
            (Limit { files: 64, is_hard: true }, Limit { files: 64, is_hard: false });
        assert!(hard.source().contains("ulimit -Hn") && soft.source().contains("ulimit -Sn"));
    }

    #[test]
    fn the_usual_limits_are_divided_so() {
        let all = needs(Role::All, true);
        // The number in docs/deployment.md.
        assert_eq!(all.divide(16_384), Ok(Connections::default()));
        assert_eq!(all.divide(1024), Ok(Connections { api: 165, broker: 265, worker: 46 }));
        assert_eq!(needs(Role::Api, false).divide(1024).unwrap().api, 846);
        assert_eq!(needs(Role::Broker, true).divide(1024).unwrap().broker, 640);
        assert_eq!(needs(Role::Worker, false).divide(1024).unwrap().worker, 100);
    }

    #[test]
    fn a_limit_that_leaves_nothing_for_clients_is_an_error_with_what_is_needed() {
        for (role, runs_broker) in EVERYTHING {
            let needs = needs(role, runs_broker);
            let needed = needs.divide(0).unwrap_err();
            assert_eq!(needs.divide(needed - 1), Err(needed));
            assert_eq!(
                needs.divide(needed),
                Ok(Connections {
                    api: if role.runs_api() { 32 } else { 10_000 },
                    broker: if runs_broker { needs.links() + 32 } else { 2000 },
                    worker: if role.runs_worker() { 8 } else { 100 },
                })
            );
        }
    }
}
