//! Reports: how each fetched job ended, from the end of its run until the work server has
//! acknowledged the report or the report is of no more use. No sockets and no timers: those are in
//! `ack_lane.rs`.

mod answers;
mod done_unacked;
mod ending;
mod pending_report;
mod queues;
mod transition;

pub(crate) use done_unacked::DoneUnacked;
pub(crate) use ending::{Ending, Finished, Reservation};
pub(crate) use pending_report::PendingReport;
pub(crate) use queues::{FirstLane, ReportQueues, Reports};
pub(crate) use transition::{SEND_AGAIN_AFTER, Verdict};
