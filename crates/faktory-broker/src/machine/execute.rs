//! The execution of commands: each verb is handed to its file, in the order of each connection.

use faktory_wire::{Command, CommandError, FetchMany, Job, PushOnce, Reply, Word};

use super::ack_many::RunningAcks;
use super::connections::{State, Turn};
use super::index::oldest_reservation;
use super::mutate::RunningMutation;
use super::once::Groups;
use super::output::{Output, Reservation};
use super::push::{self, RunningPush};
use super::refusals::{DISK_FULL, NOTHING_REMEMBERED};
use super::tasks::Task;
use super::waiting::Asked;
use super::{ConnectionId, Machine, Now};
use crate::store::{Store, StoreError};

/// The most jobs that are given back by one push on a full disk: more than a worker has at a time.
const GIVEN_BACK_MAX: usize = 1000;

impl Machine {
    /// Carries out commands until every connection waits for something or the slice is over. The
    /// connections take turns, a command each.
    pub(super) fn run(&mut self, store: &mut dyn Store, now: Now) -> Result<(), StoreError> {
        while !self.work.is_spent() {
            let Some(connection) = self.runnable.pop_front() else { break };
            match self.connections.take_turn(connection, &self.replies, &self.queues) {
                Turn::Run(request, answer_bytes) => {
                    self.waits_no_more(connection);
                    self.work.spend(1, 0);
                    self.execute(store, now, connection, request, answer_bytes)?;
                    self.make_runnable(connection);
                }
                Turn::Blocked => {
                    self.waits_no_more(connection);
                    self.replies.block(connection);
                    self.work.spend(1, 0);
                }
                Turn::Waits => {
                    self.wait_to_reserve(connection);
                    self.work.spend(1, 0);
                }
                Turn::Nothing => self.waits_no_more(connection),
            }
        }
        Ok(())
    }

    pub(super) fn make_runnable(&mut self, connection: ConnectionId) {
        if self.connections.make_runnable(connection) {
            self.runnable.push_back(connection);
        }
    }

    fn execute(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        request: Result<Command, CommandError>,
        answer_bytes: usize,
    ) -> Result<(), StoreError> {
        if self.shutting_down {
            self.answer(connection, Reply::error("shutdown in progress"));
            self.close(connection);
            return Ok(());
        }
        match request {
            Ok(command) => self.carry_out(store, now, connection, command, answer_bytes),
            Err(error) => {
                self.answer(connection, Reply::error(error));
                Ok(())
            }
        }
    }

    fn carry_out(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        command: Command,
        answer_bytes: usize,
    ) -> Result<(), StoreError> {
        let reply = match command {
            // Of a `WF PUSHB` each job that is new is refused by itself.
            Command::Push(_) | Command::PushBulk(_) if self.refuses_push(store, &command)? => {
                self.refused_pushes += 1;
                Reply::error(DISK_FULL)
            }
            Command::End => {
                self.close(connection);
                return Ok(());
            }
            Command::Fetch(queues) => {
                return self.fetch(store, now, connection, (names(queues), Asked::OneJob));
            }
            Command::FetchMany(FetchMany { most, queues }) => {
                return self.fetch(store, now, connection, (names(queues), Asked::UpTo(most)));
            }
            Command::AckMany(jobs) => {
                return self.start(store, now, connection, Task::Acks(RunningAcks::new(jobs)));
            }
            Command::Mutate(mutation) => match RunningMutation::new(mutation, self.counters) {
                Ok(mutation) => {
                    return self.start(store, now, connection, Task::Mutation(mutation));
                }
                Err(refusal) => Reply::error(refusal),
            },
            Command::PushBulk(jobs) => {
                return self.execute_push(store, now, connection, (jobs, None), answer_bytes);
            }
            Command::PushOnce(_) if !self.remembered.is_on() => Reply::error(NOTHING_REMEMBERED),
            Command::PushOnce(PushOnce { groups, jobs }) => {
                let push = (jobs, Some(Groups::new(groups)));
                return self.execute_push(store, now, connection, push, answer_bytes);
            }
            Command::Queue(command) => {
                self.reserve_answer(connection, answer_bytes);
                let command = self.begin_queue_command(command);
                return self.start(store, now, connection, Task::Queues(command));
            }
            Command::Info => {
                self.start_info(now, connection);
                return Ok(());
            }
            Command::Push(job) => self.push(store, now, *job)?,
            Command::Ack(jid) => self.ack(store, &jid)?,
            Command::Requeue(requeue) => self.give_back(store, now, &requeue)?,
            Command::Fail(report) => self.fail(store, now, *report)?,
            Command::Beat(beat) => self.workers.beat(&beat, now),
            Command::Flush => self.flush(store)?,
        };
        self.answer(connection, reply);
        Ok(())
    }

    /// True where a push is refused because the disk is nearly full. A job that is reserved may be
    /// pushed: a worker that ends gives its jobs back so, and ends their reservations at the same
    /// time.
    fn refuses_push(&mut self, store: &dyn Store, push: &Command) -> Result<bool, StoreError> {
        let jobs = match push {
            _ if !self.disk_is_full => return Ok(false),
            Command::Push(job) => std::slice::from_ref(&**job),
            command => command.bulk().unwrap_or_default(),
        };
        if jobs.len() > GIVEN_BACK_MAX {
            return Ok(true);
        }
        for job in jobs {
            self.work.spend(1, 0);
            if oldest_reservation(store, &job.jid)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Carries out a small PUSHB, and begins a large one.
    fn execute_push(
        &mut self,
        store: &mut dyn Store,
        now: Now,
        connection: ConnectionId,
        (jobs, groups): (Vec<Job>, Option<Groups>),
        answer_bytes: usize,
    ) -> Result<(), StoreError> {
        self.work.spend(jobs.len() / push::JOBS_OF_A_STEP, 0);
        let reply = match push::refusal_of_all(&jobs) {
            Some(refusal) => Reply::error(refusal),
            None if push::is_large(&jobs) => {
                self.reserve_answer(connection, answer_bytes);
                return self.start(
                    store,
                    now,
                    connection,
                    Task::Push(RunningPush::new(jobs, groups)),
                );
            }
            None => self.push_bulk(store, now, jobs, groups)?,
        };
        self.answer(connection, reply);
        Ok(())
    }

    pub(super) fn answer(&mut self, connection: ConnectionId, reply: Reply) {
        let bytes = self.count_reply(connection, &reply);
        self.outputs.push(Output::Reply {
            connection,
            reply,
            reservations: Vec::new(),
            after_sync: true,
            bytes,
        });
    }

    /// Answers a FETCH, which does not wait for a sync.
    pub(super) fn answer_fetch(
        &mut self,
        connection: ConnectionId,
        reply: Reply,
        reservations: Vec<Reservation>,
    ) {
        let bytes = self.count_reply(connection, &reply);
        let after_sync = false;
        self.outputs.push(Output::Reply { connection, reply, reservations, after_sync, bytes });
    }

    /// Ends a connection after its earlier replies. Its later commands are not carried out, and the
    /// connection gets no job.
    pub(super) fn close(&mut self, connection: ConnectionId) {
        if let Some(State::Fetching(ticket)) = self.connections.state(connection) {
            self.waiting.remove(ticket);
        }
        if self.connections.seal(connection) {
            self.outputs.push(Output::Close { connection });
        }
    }

    /// Lets a connection go on with its next command.
    pub(super) fn unblock(&mut self, connection: ConnectionId) {
        self.connections.set_state(connection, State::Idle);
        self.make_runnable(connection);
    }
}

fn names(queues: Vec<Word>) -> Vec<String> {
    queues.into_iter().map(String::from).collect()
}
