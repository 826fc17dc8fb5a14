#![doc = include_str!("../README.md")]

mod abilities;
mod beat;
mod command;
mod excerpt;
mod failure;
mod hello;
mod info;
mod job;
mod line;
mod many;
mod mutation;
mod names;
mod object_writer;
mod push;
mod push_once;
mod queue_command;
mod raw_json;
mod refusal;
mod reply;
mod report_refusal;
mod requeue;
mod timestamp;
mod word;

pub use abilities::Abilities;
pub use beat::{Beat, WorkerState};
pub use command::{Command, CommandError, SHORT_PAYLOAD_BYTES_MAX};
pub use excerpt::{Bytes, EXCERPT_CHARS_MAX, Excerpt, is_plain};
pub use failure::{
    BACKTRACE_LINE_BYTES_MAX, BACKTRACE_LINES_MAX, ERROR_TYPE_BYTES_MAX, FailReport, Failure,
    MESSAGE_BYTES_MAX,
};
pub use hello::{Greeting, GreetingError, Hello, HelloError, Proof, password_hash};
pub use info::{
    BrokerCounts, CommandsRefused, ConnectionsTurnedAway, FaktoryInfo, Info, InfoWriter,
    ServerInfo, SetSizes, TaskInfo,
};
pub use job::{
    DEFAULT_QUEUE, DEFAULT_RESERVE_FOR, DEFAULT_RETRY, InvalidJob, Job, JobError, PUSH_JOBS_MAX,
    RESERVE_FOR_MAX, RESERVE_FOR_MIN, is_queue_name,
};
pub use line::{LineDecoder, LineTooLong};
pub use many::{ACK_JOBS_MAX, AckLine, DoneJob, FETCH_JOBS_MAX, FetchMany};
pub use mutation::{Filter, MUTATE_IDS_MAX, Mutation, MutationKind, TargetSet};
pub use names::FETCH_NAMES_MAX;
pub use push::{PushResults, encode_pushb};
pub use push_once::{
    GROUP_TEXT_BYTES_MAX, JOB_ID_REUSED, KEY_REUSED, OnceKey, PushGroup, PushOnce, encode_push_once,
};
pub use queue_command::{QUEUE_NAMES_MAX, QueueCommand};
pub use raw_json::{InvalidJson, RawJson};
pub use refusal::Refusal;
pub use reply::{ProtocolError, Reply, ReplyDecoder};
pub use report_refusal::ReportRefusal;
pub use requeue::Requeue;
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use word::{NotAWord, Word};
