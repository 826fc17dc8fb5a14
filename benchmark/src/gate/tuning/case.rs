//! The cases of the gate: the scenarios that are measured on a setup.

use std::time::Duration;

use crate::scenario::{Focus, Kind, Mix, Pace, Scenario};

/// The silence between two jobs: longer than the NAT remembers a flow.
const SILENCE_LASTS: Duration = Duration::from_secs(12);

/// One case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// A worker runs jobs that do nothing.
    Noop,
    /// A worker with this concurrency runs jobs of 10 ms.
    TenMs(usize),
    /// A worker with this concurrency runs jobs that use the processor.
    Busy(usize),
    /// A worker runs jobs of which some never end.
    Hanging,
    /// Jobs come one at a time to an idle worker.
    Idle,
    /// Many jobs come at once to an idle worker.
    Burst,
    /// A worker is told to end after its queue has run dry.
    Ending,
    /// Clients post batches.
    Sustained,
    /// Clients post one job at a time.
    Singles,
    /// One client posts batches of this size.
    Batches(usize),
    /// A large batch is the first request to a fresh API.
    FirstBatch,
    /// One job is the first request to a fresh API.
    FirstJob,
    /// Clients post jobs with large args.
    Payloads,
    /// Jobs are posted into this many queues.
    Queues(u64),
    /// Clients post, whatever the outcome.
    Posts,
    /// Clients post, and the link is cut for this many seconds.
    Cut(u64),
    /// Jobs are posted with long silence between them.
    Silence,
}

impl Case {
    /// All cases, in the order in which they are measured.
    pub(super) const ALL: &[Self] = &[
        Self::Noop,
        Self::TenMs(1),
        Self::TenMs(20),
        Self::TenMs(50),
        Self::Busy(2),
        Self::Busy(50),
        Self::Busy(500),
        Self::Hanging,
        Self::Idle,
        Self::Burst,
        Self::Ending,
        Self::Sustained,
        Self::Singles,
        Self::Batches(100),
        Self::Batches(1000),
        Self::Batches(10_000),
        Self::FirstBatch,
        Self::FirstJob,
        Self::Payloads,
        Self::Queues(1),
        Self::Queues(1000),
        Self::Queues(100_000),
        Self::Posts,
        Self::Cut(5),
        Self::Cut(12),
        Self::Silence,
    ];

    pub(super) fn scenario(self) -> Scenario {
        Scenario { name: self.name(), title: self.title(), kind: self.kind(), focus: self.focus() }
    }

    /// The scenario's name, as reports have it.
    pub(super) fn name(self) -> String {
        match self {
            Self::Noop => "noop-50".into(),
            Self::TenMs(concurrency) => format!("10ms-{concurrency}"),
            Self::Busy(concurrency) => format!("busy-{concurrency}"),
            Self::Hanging => "hanging".into(),
            Self::Idle => "idle".into(),
            Self::Burst => "burst".into(),
            Self::Ending => "ending".into(),
            Self::Sustained => "sustained".into(),
            Self::Singles => "singles".into(),
            Self::Batches(size) => format!("batch-{size}"),
            Self::FirstBatch => "batch-10000-first".into(),
            Self::FirstJob => "ready".into(),
            Self::Payloads => "payloads".into(),
            Self::Queues(queues) => format!("queues-{queues}"),
            Self::Posts => "posts".into(),
            Self::Cut(seconds) => format!("cut-{seconds}s"),
            Self::Silence => "silence".into(),
        }
    }

    fn kind(self) -> Kind {
        let ms = Duration::from_millis;
        let enqueue = |batch, clients| Kind::Enqueue { batch, pace: Pace::Clients(clients) };
        let work = |concurrency, takes| Kind::Work { concurrency, mix: Mix::All(takes) };
        match self {
            Self::Noop => work(50, Duration::ZERO),
            Self::TenMs(concurrency) => work(concurrency, ms(10)),
            Self::Busy(concurrency) => Kind::Busy { concurrency, takes: ms(5) },
            Self::Hanging => Kind::Hanging { concurrency: 20 },
            Self::Idle => Kind::Idle { concurrency: 15, jobs: 10 },
            Self::Burst => Kind::Sharing { workers: 1, concurrency: 20, jobs: 400, takes: ms(100) },
            Self::Ending => Kind::Ending { concurrency: 50, times: 1, dry: true },
            Self::Sustained => enqueue(100, 64),
            Self::Singles => enqueue(1, 64),
            Self::Batches(size) => enqueue(size, 1),
            Self::FirstBatch => Kind::AfterReady { batch: 10_000, requests: 1, times: 3 },
            Self::FirstJob => Kind::AfterReady { batch: 1, requests: 1, times: 10 },
            Self::Payloads => Kind::Payloads { clients: 16, batch: 10 },
            Self::Queues(queues) => Kind::Queues { jobs: 100_000, queues },
            Self::Posts => Kind::Posting { clients: 64, cut: Duration::ZERO },
            Self::Cut(seconds) => Kind::Posting { clients: 16, cut: Duration::from_secs(seconds) },
            Self::Silence => Kind::Silence { lasts: SILENCE_LASTS, times: 2 },
        }
    }

    const fn focus(self) -> Focus {
        match self {
            Self::Noop
            | Self::TenMs(_)
            | Self::Hanging
            | Self::Sustained
            | Self::Singles
            | Self::Batches(_)
            | Self::Payloads
            | Self::Cut(_) => Focus::Throughput,
            Self::Busy(_)
            | Self::Idle
            | Self::Ending
            | Self::FirstBatch
            | Self::FirstJob
            | Self::Posts
            | Self::Silence => Focus::Latency,
            Self::Burst | Self::Queues(_) => Focus::Duration,
        }
    }

    fn title(self) -> String {
        match self {
            Self::Noop => "a worker with concurrency 50 runs jobs that do nothing".into(),
            Self::TenMs(concurrency) => {
                format!("a worker with concurrency {concurrency} runs jobs of 10 ms")
            }
            Self::Busy(concurrency) => format!(
                "a worker with concurrency {concurrency} runs jobs that use the processor for 5 ms"
            ),
            Self::Hanging => "a worker with concurrency 20 runs jobs of 10 ms, of which every \
                              twentieth never ends"
                .into(),
            Self::Idle => {
                "10 jobs come at random moments to a worker that has nothing to do".into()
            }
            Self::Burst => "400 jobs of 100 ms come at once to a worker with concurrency 20 that \
                            has nothing to do"
                .into(),
            Self::Ending => "a worker is told to end a second after its queue has run dry".into(),
            Self::Sustained => "64 clients post batches of 100".into(),
            Self::Singles => "64 clients post one job at a time".into(),
            Self::Batches(size) => {
                format!("one client posts batches of {size}, one after the other")
            }
            Self::FirstBatch => "a batch of 10,000 as soon as a fresh API is ready; 3 times".into(),
            Self::FirstJob => "one job as soon as a fresh API is ready; 10 times".into(),
            Self::Payloads => {
                "16 clients post batches of 10 jobs with args of 10 KB (lists of events)".into()
            }
            Self::Queues(queues) => format!("100,000 jobs are posted into {queues} queues"),
            Self::Posts => "64 clients post one job at a time, whatever becomes of it".into(),
            Self::Cut(seconds) => {
                format!("16 clients post one job at a time, and the link is cut for {seconds} s")
            }
            Self::Silence => {
                format!("one job, {SILENCE_LASTS:?} of silence, and another; twice")
            }
        }
    }
}
