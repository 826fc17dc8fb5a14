//! The order for a hostile client: what it does to a work server or to an API.

use serde::{Deserialize, Serialize};

use super::server::Server;

/// A hostile client beside the honest one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HostileOrder {
    pub(crate) attack: Attack,
    /// The work server, with its password.
    pub(crate) server: Server,
    /// Host and port of the API, as a stranger reaches it.
    pub(crate) api: String,
    /// A good key of the API.
    pub(crate) key: String,
}

/// What a hostile client does, over and over while the honest client is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Attack {
    /// MUTATE with a glob of many stars, against one scheduled job of 16 MB.
    Glob,
    /// FETCH from very many queues, in a line of 60 MB.
    FetchNames,
    /// MUTATE with 4,000,000 ids.
    MutateIds,
    /// QUEUE LATENCY of 5,000,000 names.
    LatencyNames,
    /// PUSHB of 100,000 jobs.
    Pushb,
    /// 100 INFOs whose replies nobody reads, on each of 50 connections, with 20,000 queues.
    InfoUnread,
    /// Wrong passwords, from 16 clients at once.
    WrongPasswords,
    /// 2,300 connections that say nothing, made anew every 2 s.
    SilentBroker,
    /// 40 connections, each with a line of 62 MB that never ends.
    HalfLines,
    /// Bodies of 10 MB of gzip members that are empty, four at once.
    GzipEmpty,
    /// Bodies of 10 MB of zstd frames that are empty, four at once.
    ZstdEmpty,
    /// Bodies of 10 MB of zstd frames that a decoder skips, four at once.
    ZstdSkipped,
    /// Connections to the API that say nothing, 2,300 of them, made anew every 2 s.
    SilentApi,
    /// Posts with a wrong key, from 16 clients at once.
    WrongKeys,
    /// 80 posts at once, the args of each unpack to nearly 16 MB.
    Unpacked,
}

impl Attack {
    pub(crate) const ALL: [Self; 15] = [
        Self::Glob,
        Self::FetchNames,
        Self::MutateIds,
        Self::LatencyNames,
        Self::Pushb,
        Self::InfoUnread,
        Self::WrongPasswords,
        Self::SilentBroker,
        Self::HalfLines,
        Self::GzipEmpty,
        Self::ZstdEmpty,
        Self::ZstdSkipped,
        Self::SilentApi,
        Self::WrongKeys,
        Self::Unpacked,
    ];

    /// The name in reports, and what the client does.
    pub(crate) const fn name_and_title(self) -> (&'static str, &'static str) {
        match self {
            Self::Glob => ("glob", "MUTATE with the glob *a*a*a*b against a job of 16 MB"),
            Self::FetchNames => ("fetch-names", "FETCH from very many queues: a line of 60 MB"),
            Self::MutateIds => ("mutate-ids", "MUTATE with 4,000,000 ids"),
            Self::LatencyNames => ("latency-names", "QUEUE LATENCY of 5,000,000 names"),
            Self::Pushb => ("pushb", "PUSHB of 100,000 jobs, over and over"),
            Self::InfoUnread => {
                ("info-unread", "20,000 queues; 50 connections with 100 unread INFOs each")
            }
            Self::WrongPasswords => ("wrong-passwords", "wrong passwords from 16 clients at once"),
            Self::SilentBroker => {
                ("silent-broker", "2,300 silent connections to the broker, new ones every 2 s")
            }
            Self::HalfLines => ("half-lines", "40 connections with an unfinished line of 62 MB"),
            Self::GzipEmpty => ("gzip-empty", "four bodies of 10 MB of empty gzip members"),
            Self::ZstdEmpty => ("zstd-empty", "four bodies of 10 MB of empty zstd frames"),
            Self::ZstdSkipped => ("zstd-skipped", "four bodies of 10 MB of skippable zstd frames"),
            Self::SilentApi => {
                ("silent-api", "2,300 silent connections to the API, new ones every 2 s")
            }
            Self::WrongKeys => ("wrong-keys", "posts with a wrong key from 16 clients at once"),
            Self::Unpacked => ("unpacked", "80 posts at once that unpack to nearly 16 MB each"),
        }
    }

    /// Whether the API is attacked, and not the work server.
    pub(crate) const fn is_of_api(self) -> bool {
        matches!(
            self,
            Self::GzipEmpty
                | Self::ZstdEmpty
                | Self::ZstdSkipped
                | Self::SilentApi
                | Self::WrongKeys
                | Self::Unpacked
        )
    }
}
