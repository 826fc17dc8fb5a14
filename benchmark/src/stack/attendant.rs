//! The attendant as the stack sees it: tasks and their answers.

use std::time::Duration;

use anyhow::bail;

use super::start::ready;
use crate::distance::{Distance, Side};
use crate::part::order::{Attend, AttendantOrder, Attended, Event, Order, Server, Sets};
use crate::process::Part;

/// The longest time for one task.
const ATTEND_WITHIN: Duration = Duration::from_secs(180);

/// The attendant's process.
pub(crate) struct Attendant(Part);

impl Attendant {
    /// Starts the attendant on the far side, beside the work server.
    pub(crate) fn start(distance: &Distance, server: Server) -> anyhow::Result<Self> {
        let order = Order::Attendant(AttendantOrder { server });
        let part = Part::start(distance, Side::Far, &order)?;
        ready(&part)?;
        Ok(Self(part))
    }

    /// Has the attendant do a task.
    pub(crate) fn attend(&mut self, task: &Attend) -> anyhow::Result<Attended> {
        self.begin(task)?;
        match self.0.next(ATTEND_WITHIN)? {
            Event::Attended(answer) => Ok(answer),
            other => self.0.unexpected(&other),
        }
    }

    /// Has the attendant begin a long task; [`Attendant::done`] waits for its end.
    pub(crate) fn begin(&mut self, task: &Attend) -> anyhow::Result<()> {
        self.0.tell(task)
    }

    /// Waits until the begun task is done.
    pub(crate) fn done(&self, within: Duration) -> anyhow::Result<()> {
        match self.0.next(within)? {
            Event::Attended(Attended::Done) => Ok(()),
            other => self.0.unexpected(&other),
        }
    }

    /// The answer to a task that asks for a number of jobs.
    pub(crate) fn size(&mut self, task: &Attend) -> anyhow::Result<u64> {
        match self.attend(task)? {
            Attended::Size(size) => Ok(size),
            other => bail!("the attendant answered {other:?}"),
        }
    }

    pub(crate) fn sets(&mut self) -> anyhow::Result<Sets> {
        match self.attend(&Attend::Sets)? {
            Attended::Sets(sets) => Ok(sets),
            other => bail!("the attendant answered {other:?}"),
        }
    }

    pub(crate) fn version(&mut self) -> anyhow::Result<String> {
        match self.attend(&Attend::Version)? {
            Attended::Version(version) => Ok(version),
            other => bail!("the attendant answered {other:?}"),
        }
    }
}
