//! Commands that are carried out in slices, because they may touch many jobs. They take turns, a
//! slice each, so that a long one delays no other for longer than a slice.

use std::collections::VecDeque;

use faktory_wire::Reply;

use super::ack_many::RunningAcks;
use super::connections::State;
use super::mutate::RunningMutation;
use super::push::RunningPush;
use super::queue_command::RunningQueueCommand;
use super::{ConnectionId, Machine, Now};
use crate::store::{Store, StoreError};

/// A command that has begun and is not finished.
#[derive(Debug)]
pub(super) enum Task {
    Acks(RunningAcks),
    Mutation(RunningMutation),
    Push(RunningPush),
    Queues(RunningQueueCommand),
    /// An INFO for all connections that wait for one; its state is in `info.rs`.
    Info,
}

/// The tasks in the order of their turns, each with the connection that gets the answer.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    tasks: VecDeque<(ConnectionId, Task)>,
    /// Pushes whose next job is a long one have no turn.
    long_jobs_wait: bool,
}

impl Tasks {
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// True where a task can go on.
    pub(super) fn has_next(&self) -> bool {
        let is_held = self.is_any_text_held();
        self.tasks.iter().any(|(_, task)| self.may_run(task, is_held))
    }

    /// True where a push goes on with a long job.
    pub(super) fn has_long_job(&self) -> bool {
        self.tasks.iter().any(|(_, task)| is_long_job(task))
    }

    pub(super) const fn let_long_jobs_wait(&mut self, wait: bool) {
        self.long_jobs_wait = wait;
    }

    pub(super) fn push(&mut self, connection: ConnectionId, task: Task) {
        self.tasks.push_back((connection, task));
    }

    /// Adds the task that writes INFOs, where it is not there.
    pub(super) fn push_info(&mut self) {
        if !self.tasks.iter().any(|(_, task)| matches!(task, Task::Info)) {
            self.push(ConnectionId(0), Task::Info);
        }
    }

    /// Takes the task whose turn it is. A mutation that stopped inside a job keeps the text of the
    /// job, so the others that look into jobs wait until it is through: no more than one text is
    /// in memory.
    fn next(&mut self) -> Option<(ConnectionId, Task)> {
        let is_held = self.is_any_text_held();
        let index = self.tasks.iter().position(|(_, task)| self.may_run(task, is_held))?;
        self.tasks.remove(index)
    }

    /// True where a mutation stopped inside a job.
    fn is_any_text_held(&self) -> bool {
        self.tasks.iter().any(|(_, task)| holds_a_text(task))
    }

    /// True where a new task can have its first slice at once. One that looks into jobs goes behind
    /// those that wait for that, or new ones could keep them waiting for ever.
    fn may_begin(&self, task: &Task) -> bool {
        let may_read = !reads_texts(task) || !self.tasks.iter().any(|(_, it)| reads_texts(it));
        may_read && !self.holds_back(task)
    }

    /// True where a task can go on, while a mutation may hold the text of a job.
    fn may_run(&self, task: &Task, is_held: bool) -> bool {
        let may_read = !is_held || holds_a_text(task) || !reads_texts(task);
        may_read && !self.holds_back(task)
    }

    fn holds_back(&self, task: &Task) -> bool {
        self.long_jobs_wait && is_long_job(task)
    }

    /// Forgets the task of a connection that has ended.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.tasks.retain(|(other, task)| *other != connection || matches!(task, Task::Info));
    }

    pub(super) fn clear(&mut self) {
        self.tasks.clear();
    }

    /// The connections that get the answers; an INFO is for others, see `info.rs`.
    pub(super) fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.tasks.iter().map(|(connection, _)| *connection)
    }

    pub(super) fn of(&self, connection: ConnectionId) -> Option<&Task> {
        self.tasks.iter().find(|(other, _)| *other == connection).map(|(_, task)| task)
    }
}

/// True where a push goes on with a long job.
fn is_long_job(task: &Task) -> bool {
    matches!(task, Task::Push(push) if push.is_next_long())
}

/// True where a task looks into jobs.
const fn reads_texts(task: &Task) -> bool {
    match task {
        Task::Mutation(task) => task.reads_texts(),
        Task::Acks(_) | Task::Push(_) | Task::Queues(_) | Task::Info => false,
    }
}

/// True where a task stopped inside a job.
const fn holds_a_text(task: &Task) -> bool {
    match task {
        Task::Mutation(task) => task.holds_a_text(),
        Task::Acks(_) | Task::Push(_) | Task::Queues(_) | Task::Info => false,
    }
}

impl Machine {
    /// Begins a command that is carried out in slices. The first slice is done at once where
    /// possible, since most commands are small.
    pub(super) fn start(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        task: Task,
    ) -> Result<(), StoreError> {
        self.connections.set_state(connection, State::Busy);
        if !self.tasks.may_begin(&task) {
            self.tasks.push(connection, task);
            return Ok(());
        }
        self.go_on(store, now, connection, task)
    }

    /// Carries out a slice of the task whose turn it is.
    pub(super) fn advance_task(
        &mut self,
        store: &mut dyn Store,
        now: Now,
    ) -> Result<(), StoreError> {
        self.work.begin();
        let Some((connection, task)) = self.tasks.next() else { return Ok(()) };
        self.go_on(store, now, connection, task)
    }

    fn go_on(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        mut task: Task,
    ) -> Result<(), StoreError> {
        let reply = match &mut task {
            Task::Acks(acks) => self.advance_acks(store, acks)?,
            Task::Mutation(mutation) => self.advance_mutation(store, now, mutation)?,
            Task::Push(push) => self.advance_push(store, now, push)?,
            Task::Queues(command) => self.advance_queue_command(store, now, command)?,
            Task::Info => {
                self.advance_info(now);
                return Ok(());
            }
        };
        match reply {
            Some(reply) => {
                self.answer(connection, reply);
                self.release_answer(connection);
                self.unblock(connection);
            }
            None => self.tasks.push(connection, task),
        }
        Ok(())
    }

    /// What a client is told whose command is not finished when the server stops.
    pub(super) fn unfinished(&self, connection: ConnectionId) -> Reply {
        match self.tasks.of(connection) {
            // A text without the words that say that nothing is stored.
            Some(Task::Push(_)) => {
                Reply::error("the server stops; a part of the jobs is stored and a part is not")
            }
            _ => Reply::error("shutdown in progress"),
        }
    }
}
