//! The rules of the API: from what was posted to jobs that are fit for the work server.

use std::collections::{HashMap, HashSet};

use faktory_wire::{RawJson, Timestamp};
use serde_json::value::RawValue;

use crate::definition::{Definition, MemberValues};
use crate::field_error::{Code, FieldError};
use crate::members::{Element, MEMBERS_MAX, Members};
use crate::names::{JobId, JobType};
use crate::new_job::NewJob;
use crate::options::{self, Options};
use crate::{json_check, registry};

/// Faults of one batch after which no more are looked for.
const FAULTS_MAX: usize = 1000;

/// How a job says what it runs.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// By its members: `operation`, or `jobtype` and `args`.
    Members,
    /// From outside, by the path: only the operation's own members and options may follow.
    Operation(&'static Definition),
}

/// Applies every rule to one job. `now` is what delays count from.
///
/// # Errors
/// With every fault found, pointers relative to the job.
pub fn validate_job(
    element: &Element<'_>,
    form: Form,
    now: Timestamp,
) -> Result<NewJob, Vec<FieldError>> {
    validate(element, form, now).map(|(job, _)| job)
}

/// Where an id comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdIs {
    /// The caller's own.
    Given,
    Made,
}

fn validate(
    element: &Element<'_>,
    form: Form,
    now: Timestamp,
) -> Result<(NewJob, IdIs), Vec<FieldError>> {
    let members = match element {
        Element::Object(members) => members,
        Element::Other(kind) => {
            return Err(vec![FieldError::new(
                "",
                Code::NotAnObject,
                format!("a job must be an object, not {kind}"),
            )]);
        }
    };
    if members.too_many {
        let detail = format!("a job has at most {MEMBERS_MAX} members");
        return Err(vec![FieldError::new("", Code::UnknownField, detail)]);
    }
    let mut posted = Posted::sort(members, now);
    let what = posted.what_to_run(form);
    if let Err(error) = posted.options.check_together() {
        posted.errors.push(error);
    }
    match what {
        Some((job_type, args)) if posted.errors.is_empty() => {
            let Options { queue, id, due, retry, reserve_for, backtrace, custom, compress, .. } =
                posted.options;
            let (id, id_is) =
                id.map_or_else(|| (JobId::generate(now), IdIs::Made), |id| (id, IdIs::Given));
            Ok((
                NewJob {
                    id,
                    job_type,
                    args,
                    queue,
                    at: due,
                    retry,
                    reserve_for,
                    backtrace,
                    custom,
                    compress,
                },
                id_is,
            ))
        }
        _ => Err(posted.errors),
    }
}

/// Applies every rule to each job of a batch, and that no id stands in it twice.
///
/// # Errors
/// With every fault found, pointers starting with `prefix` and the job's index (`/jobs/3/queue`).
pub fn validate_batch(
    elements: &[Element<'_>],
    prefix: &str,
    now: Timestamp,
) -> Result<Vec<NewJob>, Vec<FieldError>> {
    let mut jobs = Vec::with_capacity(elements.len());
    let mut errors = Vec::new();
    // The indices in the batch of jobs with ids of their caller's, and where they stand among the
    // valid ones.
    let mut given: Vec<(usize, usize)> = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        match validate(element, Form::Members, now) {
            Ok((job, id_is)) => {
                if id_is == IdIs::Given {
                    given.push((index, jobs.len()));
                }
                jobs.push(job);
            }
            Err(faults) => errors
                .extend(faults.into_iter().map(|fault| fault.inside(&format!("{prefix}/{index}")))),
        }
        if errors.len() >= FAULTS_MAX {
            // Nobody reads more, and each costs memory.
            return Err(errors);
        }
    }
    let mut first_with: HashMap<&str, usize> = HashMap::with_capacity(given.len());
    for (index, job) in given.iter().filter_map(|(index, at)| Some((index, jobs.get(*at)?))) {
        if let Some(first) = first_with.insert(job.id.as_str(), *index) {
            let detail = format!("job {first} of this batch has the same job_id; ids must differ");
            errors.push(
                FieldError::at("job_id", Code::DuplicateJobId, detail)
                    .inside(&format!("{prefix}/{index}")),
            );
        }
    }
    if errors.is_empty() { Ok(jobs) } else { Err(errors) }
}

/// A name as it was sent, not too long.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

/// The members of a job, sorted by what they are for.
struct Posted<'a> {
    options: Options,
    operation: Option<&'a RawValue>,
    job_type: Option<&'a RawValue>,
    args: Option<&'a RawValue>,
    /// What is neither an option nor says what to run: an operation's own members.
    own: Vec<(&'a str, &'a RawValue)>,
    errors: Vec<FieldError>,
}

impl<'a> Posted<'a> {
    fn sort(members: &'a Members<'a>, now: Timestamp) -> Self {
        let mut posted = Posted {
            options: Options::default(),
            operation: None,
            job_type: None,
            args: None,
            own: Vec::new(),
            errors: Vec::new(),
        };
        for (name, raw, is_repeated) in members.iter_noting_repeated() {
            if is_repeated {
                posted.errors.push(FieldError::at(
                    name,
                    Code::DuplicateField,
                    "stands twice in the same object",
                ));
            } else if raw.get() == "null" {
                posted.errors.push(FieldError::at(
                    name,
                    Code::NullField,
                    "null is not accepted; leave the member out",
                ));
            } else if options::is_option(name) {
                if let Err(error) = posted.options.read(name, raw, now) {
                    posted.errors.push(error);
                }
            } else {
                match name {
                    "operation" => posted.operation = Some(raw),
                    "jobtype" => posted.job_type = Some(raw),
                    "args" => posted.args = Some(raw),
                    _ => posted.own.push((name, raw)),
                }
            }
        }
        posted
    }

    fn fault<T>(&mut self, error: FieldError) -> Option<T> {
        self.errors.push(error);
        None
    }

    fn what_to_run(&mut self, form: Form) -> Option<(JobType, RawJson)> {
        match (form, self.operation, self.job_type) {
            (Form::Operation(definition), ..) => {
                for (name, raw) in
                    [("operation", self.operation), ("jobtype", self.job_type), ("args", self.args)]
                {
                    self.own.extend(raw.map(|raw| (name, raw)));
                }
                self.typed(definition)
            }
            (Form::Members, Some(operation), None) => {
                let name = match options::string("operation", operation) {
                    Ok(name) => name,
                    Err(error) => return self.fault(error),
                };
                self.own.extend(self.args.map(|raw| ("args", raw)));
                match registry::find(&name) {
                    Some(definition) => self.typed(definition),
                    None => {
                        let detail =
                            format!("unknown operation; known are: {}", registry::operations());
                        self.fault(FieldError::at("operation", Code::UnknownOperation, detail))
                    }
                }
            }
            (Form::Members, None, Some(job_type)) => self.raw(job_type),
            (Form::Members, operation, _) => {
                let found = if operation.is_some() { "both" } else { "neither" };
                // A fault of these two may already be noted (null, repeated); then it has been
                // said.
                if self
                    .errors
                    .iter()
                    .any(|error| matches!(error.pointer.as_str(), "/operation" | "/jobtype"))
                {
                    return None;
                }
                let detail = format!(
                    "exactly one of operation and jobtype is needed, {found} found (POST \
                     /jobs/{{operation}} needs neither)"
                );
                self.fault(FieldError::new("", Code::AmbiguousJob, detail))
            }
        }
    }

    fn typed(&mut self, definition: &'static Definition) -> Option<(JobType, RawJson)> {
        // A member that is null or repeated has been complained of already; that it is missing too
        // is no news.
        let complained: HashSet<String> =
            self.errors.iter().map(|error| error.pointer.clone()).collect();
        let mut values = MemberValues { values: std::mem::take(&mut self.own), errors: Vec::new() };
        let args = definition.args_of(&mut values);
        let fresh = values.errors.into_iter().filter(|error| !complained.contains(&error.pointer));
        self.errors.extend(fresh);
        for (name, _) in values.values {
            let members: Vec<&str> =
                definition.members().iter().map(|member| member.name).collect();
            let (operation, members, options) =
                (definition.operation(), members.join(", "), options::names());
            let detail = format!(
                "{} is not a member; {operation} takes {members}, and the options {options}",
                shown(name)
            );
            self.errors.push(FieldError::at(name, Code::UnknownField, detail));
        }
        Some((JobType::of_operation(definition.operation()), args?))
    }

    fn raw(&mut self, job_type: &RawValue) -> Option<(JobType, RawJson)> {
        for (name, _) in std::mem::take(&mut self.own) {
            let detail = format!(
                "{} is not a member; a job with jobtype takes args, and the options {}",
                shown(name),
                options::names()
            );
            self.errors.push(FieldError::at(name, Code::UnknownField, detail));
        }
        let job_type =
            options::string("jobtype", job_type).and_then(|text| JobType::parse(text, "jobtype"));
        let job_type = job_type.map_err(|error| self.errors.push(error)).ok();
        let args = match self.args {
            None if self.errors.iter().any(|error| error.pointer == "/args") => None,
            None => self.fault(FieldError::at(
                "args",
                Code::MissingField,
                "args is missing; it must be an array",
            )),
            Some(raw) if !raw.get().starts_with('[') => {
                self.fault(FieldError::at("args", Code::InvalidValue, "args must be an array"))
            }
            Some(raw) => {
                json_check::check(raw.get(), "args").map_err(|error| self.errors.push(error)).ok()
            }
        };
        Some((job_type?, RawJson::from_checked(args?.into_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_767_323_045_000_000); // 2026-01-02T03:04:05Z

    fn validate(json: &str) -> Result<NewJob, Vec<FieldError>> {
        let element: Element<'_> = serde_json::from_str(json).unwrap();
        validate_job(&element, Form::Members, NOW)
    }

    fn faults(json: &str) -> Vec<(String, &'static str)> {
        validate(json)
            .unwrap_err()
            .into_iter()
            .map(|fault| (fault.pointer, fault.code.as_str()))
            .collect()
    }

    fn fault(json: &str) -> (String, &'static str) {
        let mut all = faults(json);
        assert_eq!(all.len(), 1, "{json}: {all:?}");
        all.remove(0)
    }

    #[test]
    fn every_fault_of_a_job_is_found() {
        let mut found =
            faults(r#"{"operation":"add","a":"x","c":1,"queue":"","retry":101,"delay_ms":-1}"#);
        found.sort();
        let expected = [
            ("/a", "invalid_value"),
            ("/b", "missing_field"),
            ("/c", "unknown_field"),
            ("/delay_ms", "invalid_value"),
            ("/queue", "invalid_queue"),
            ("/retry", "invalid_value"),
        ];
        assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    }

    #[test]
    fn one_fault_is_told_once() {
        for (json, pointer, code) in [
            ("[]", "", "not_an_object"),
            (r#"{"a":1}"#, "", "ambiguous_job"),
            (r#"{"operation":"add","jobtype":"x","args":[],"a":1,"b":2}"#, "", "ambiguous_job"),
            (r#"{"operation":null,"a":1,"b":2}"#, "/operation", "null_field"),
            (r#"{"operation":"add","a":1,"a":2,"b":2}"#, "/a", "duplicate_field"),
            (r#"{"operation":"add","a":null,"b":2}"#, "/a", "null_field"),
            (r#"{"operation":"add","a":1,"b":2,"args":[]}"#, "/args", "unknown_field"),
            (r#"{"operation":"pow","a":1}"#, "/operation", "unknown_operation"),
            (r#"{"operation":"add","a":9007199254740993,"b":2}"#, "/a", "number_not_exact"),
            (r#"{"operation":"add","a":1e999,"b":2}"#, "/a", "number_not_exact"),
            (r#"{"jobtype":"x"}"#, "/args", "missing_field"),
            (r#"{"jobtype":"x","args":null}"#, "/args", "null_field"),
            (r#"{"jobtype":"x","args":{}}"#, "/args", "invalid_value"),
            (r#"{"jobtype":"","args":[]}"#, "/jobtype", "invalid_value"),
            (r#"{"jobtype":"a\nb","args":[]}"#, "/jobtype", "invalid_value"),
            (r#"{"jobtype":"\ud800","args":[]}"#, "/jobtype", "lone_surrogate"),
            (
                r#"{"jobtype":"x","args":[],"at":"2030-01-01T00:00:00Z","delay_ms":5}"#,
                "/delay_ms",
                "invalid_at",
            ),
            (r#"{"jobtype":"x","args":[],"at":"2030-01-01 00:00"}"#, "/at", "invalid_at"),
            (
                r#"{"jobtype":"x","args":[],"delay_ms":18446744073709551615}"#,
                "/delay_ms",
                "invalid_at",
            ),
            (r#"{"jobtype":"x","args":[],"custom":{"wf":{}}}"#, "/custom/wf", "reserved_field"),
            (r#"{"jobtype":"x","args":[],"custom":[]}"#, "/custom", "invalid_value"),
            (r#"{"jobtype":"x","args":[],"job_id":"short"}"#, "/job_id", "invalid_job_id"),
            (r#"{"jobtype":"x","args":[],"a/b~c":1}"#, "/a~1b~0c", "unknown_field"),
        ] {
            assert_eq!(fault(json), (pointer.to_owned(), code), "{json}");
        }
    }

    #[test]
    fn a_time_that_has_passed_is_at_once() {
        for at_once in [r#""at":"2020-01-01T00:00:00Z""#, r#""delay_ms":0"#] {
            assert_eq!(
                validate(&format!(r#"{{"jobtype":"x","args":[],{at_once}}}"#)).unwrap().at,
                None
            );
        }
        let later = validate(r#"{"jobtype":"x","args":[],"delay_ms":1500}"#).unwrap();
        assert_eq!(later.at.unwrap().to_string(), "2026-01-02T03:04:06.500000Z");
    }

    #[test]
    fn the_same_id_twice_in_a_batch_is_refused() {
        let job = r#"{"operation":"add","a":1,"b":2,"job_id":"0123456789abcdef"}"#;
        let elements: Vec<Element<'_>> =
            vec![serde_json::from_str(job).unwrap(), serde_json::from_str(job).unwrap()];
        let faults = validate_batch(&elements, "/jobs", NOW).unwrap_err();
        assert_eq!(
            (faults[0].pointer.as_str(), faults[0].code),
            ("/jobs/1/job_id", Code::DuplicateJobId)
        );
    }
}
