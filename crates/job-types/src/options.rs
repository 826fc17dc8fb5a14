//! The options that every posted job may have, whatever the job runs.

use std::time::Duration;

use faktory_wire::{
    DEFAULT_RESERVE_FOR, DEFAULT_RETRY, RESERVE_FOR_MAX, RESERVE_FOR_MIN, RawJson, Timestamp,
};
use serde_json::value::RawValue;

use crate::field_error::{Code, FieldError};
use crate::json_check;
use crate::members::Element;
use crate::names::{JobId, QueueName};

/// The names of the options.
pub(crate) const OPTIONS: &[&str] = &[
    "queue",
    "job_id",
    "dedup_for",
    "at",
    "delay_ms",
    "retry",
    "reserve_for",
    "backtrace",
    "custom",
    "compress",
];

/// 9999-12-31T23:59:59.999999Z: the last moment that RFC 3339, and Faktory, can express.
const LATEST: Timestamp = Timestamp::from_micros(253_402_300_799_999_999);

/// True for the name of an option, which no job may use for a member of its own.
pub(crate) fn is_option(name: &str) -> bool {
    OPTIONS.contains(&name)
}

/// The names of the options, as text for error details.
pub(crate) fn names() -> String {
    OPTIONS.join(", ")
}

/// The options of one job.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) queue: QueueName,
    pub(crate) id: Option<JobId>,
    pub(crate) dedup_for: Option<u32>,
    pub(crate) due: Option<Timestamp>,
    pub(crate) retry: i64,
    pub(crate) reserve_for: i64,
    pub(crate) backtrace: Option<i64>,
    pub(crate) custom: Option<RawJson>,
    pub(crate) compress: Option<bool>,
    has_at: bool,
    has_delay: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue: QueueName::default(),
            id: None,
            dedup_for: None,
            due: None,
            retry: DEFAULT_RETRY,
            reserve_for: DEFAULT_RESERVE_FOR,
            backtrace: None,
            custom: None,
            compress: None,
            has_at: false,
            has_delay: false,
        }
    }
}

impl Options {
    /// Reads one option. A delay counts from `now`.
    pub(crate) fn read(
        &mut self,
        name: &str,
        raw: &RawValue,
        now: Timestamp,
    ) -> Result<(), FieldError> {
        match name {
            "queue" => self.queue = QueueName::parse(string(name, raw)?, name)?,
            "job_id" => self.id = Some(JobId::parse(string(name, raw)?, name)?),
            "dedup_for" => {
                let detail = "dedup_for must be a whole number of seconds, 1 or more";
                let seconds = scalar(raw).filter(|seconds: &u32| *seconds > 0);
                self.dedup_for =
                    Some(seconds.ok_or_else(|| FieldError::at(name, Code::InvalidValue, detail))?);
            }
            "at" => {
                self.has_at = true;
                self.due = due(at(name, raw)?, now, name)?;
            }
            "delay_ms" => {
                self.has_delay = true;
                let detail = "delay_ms must be a whole number of milliseconds, 0 or more";
                let delay: u64 =
                    scalar(raw).ok_or_else(|| FieldError::at(name, Code::InvalidValue, detail))?;
                self.due = due(now.plus(Duration::from_millis(delay)), now, name)?;
            }
            "retry" => self.retry = ranged(name, raw, -1, 100)?,
            "reserve_for" => {
                self.reserve_for = ranged(name, raw, RESERVE_FOR_MIN, RESERVE_FOR_MAX)?
            }
            "compress" => {
                let detail = "compress must be true or false";
                self.compress = Some(
                    scalar(raw).ok_or_else(|| FieldError::at(name, Code::InvalidValue, detail))?,
                );
            }
            "backtrace" => self.backtrace = Some(ranged(name, raw, 0, 50)?),
            _ => self.custom = custom(name, raw)?,
        }
        Ok(())
    }

    /// Checks the rules between several options.
    pub(crate) fn check_together(&self) -> Result<(), FieldError> {
        if self.has_at && self.has_delay {
            return Err(FieldError::at(
                "delay_ms",
                Code::InvalidAt,
                "at most one of at and delay_ms is accepted",
            ));
        }
        Ok(())
    }
}

/// The text of a JSON string.
pub(crate) fn string(name: &str, raw: &RawValue) -> Result<String, FieldError> {
    if !raw.get().starts_with('"') {
        return Err(FieldError::at(name, Code::InvalidValue, format!("{name} must be a string")));
    }
    json_check::check(raw.get(), name)?;
    serde_json::from_str(raw.get())
        .map_err(|_| FieldError::at(name, Code::InvalidValue, format!("{name} must be a string")))
}

fn scalar<T: serde::de::DeserializeOwned>(raw: &RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

fn ranged(name: &str, raw: &RawValue, least: i64, most: i64) -> Result<i64, FieldError> {
    scalar(raw).filter(|value| (least..=most).contains(value)).ok_or_else(|| {
        FieldError::at(
            name,
            Code::InvalidValue,
            format!("{name} must be a whole number from {least} to {most}"),
        )
    })
}

fn at(name: &str, raw: &RawValue) -> Result<Timestamp, FieldError> {
    let detail = "at must be an RFC 3339 time with a zone, up to the year 9999, such as \
                  2026-01-02T03:04:05Z";
    Timestamp::parse(&string(name, raw)?).map_err(|_| FieldError::at(name, Code::InvalidAt, detail))
}

/// The time at which a job is due; `None` where that time has passed. Such a job is sent without
/// `at`, so that a server whose clock is behind does not wait.
fn due(time: Timestamp, now: Timestamp, name: &str) -> Result<Option<Timestamp>, FieldError> {
    if time > LATEST {
        return Err(FieldError::at(
            name,
            Code::InvalidAt,
            "the job would be due after the year 9999",
        ));
    }
    Ok((time > now).then_some(time))
}

fn custom(name: &str, raw: &RawValue) -> Result<Option<RawJson>, FieldError> {
    let json = json_check::check(raw.get(), name)?;
    let Ok(Element::Object(members)) = serde_json::from_str::<Element<'_>>(&json) else {
        return Err(FieldError::at(name, Code::InvalidValue, "custom must be an object"));
    };
    if members.iter().any(|(member, _)| member == "wf") {
        return Err(FieldError::at(
            "custom",
            Code::ReservedField,
            "the member wf of custom is Work Factory's own",
        )
        .inside_member("wf"));
    }
    Ok((json != "{}").then(|| RawJson::from_checked(json.into_owned())))
}

impl FieldError {
    fn inside_member(mut self, member: &str) -> Self {
        self.pointer.push('/');
        self.pointer.push_str(member);
        self
    }
}
