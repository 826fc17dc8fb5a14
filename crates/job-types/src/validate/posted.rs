//! A posted job, its members sorted by their purpose.

use std::collections::HashSet;

use faktory_wire::{RawJson, Timestamp};
use serde_json::value::RawValue;

use super::Form;
use crate::definition::{Definition, MemberValues};
use crate::field_error::{Code, FieldError};
use crate::json_check;
use crate::members::Members;
use crate::names::JobType;
use crate::options::{self, Options};
use crate::registry::Registry;

/// The members of a posted job, sorted by their purpose, and the faults found so far.
pub(super) struct Posted<'a> {
    pub(super) options: Options,
    operation: Option<&'a RawValue>,
    job_type: Option<&'a RawValue>,
    args: Option<&'a RawValue>,
    /// The members that are neither options nor say what to run: an operation's own members.
    own: Vec<(&'a str, &'a RawValue)>,
    pub(super) errors: Vec<FieldError>,
}

impl<'a> Posted<'a> {
    /// Sorts the members of a job, and reads the options among them.
    pub(super) fn sort(members: &'a Members<'a>, now: Timestamp) -> Self {
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
                let detail = "appears twice in the same object";
                posted.errors.push(FieldError::at(name, Code::DuplicateField, detail));
            } else if raw.get() == "null" {
                let detail = "null is not accepted; leave the member out";
                posted.errors.push(FieldError::at(name, Code::NullField, detail));
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

    /// The job type and args to run; `None` where there is a fault, which `errors` then holds.
    pub(super) fn what_to_run(
        &mut self,
        registry: &Registry,
        form: Form,
    ) -> Option<(JobType, RawJson)> {
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
                match registry.find(&name) {
                    Some(definition) => self.typed(definition),
                    None => {
                        let known = registry.operations();
                        let detail =
                            format!("unknown operation; the known operations are: {known}");
                        self.fault(FieldError::at("operation", Code::UnknownOperation, detail))
                    }
                }
            }
            (Form::Members, None, Some(job_type)) => self.raw(job_type),
            (Form::Members, operation, _) => self.ambiguous(operation.is_some()),
        }
    }

    fn fault<T>(&mut self, error: FieldError) -> Option<T> {
        self.errors.push(error);
        None
    }

    /// True where a fault of this member has been found already.
    fn has_fault(&self, member_pointer: &str) -> bool {
        self.errors.iter().any(|error| error.pointer == member_pointer)
    }

    /// The fault of a job with both of `operation` and `jobtype`, or with neither.
    fn ambiguous<T>(&mut self, has_both: bool) -> Option<T> {
        // Where one of the two is null or repeated, that has been reported, and is the reason.
        if self.has_fault("/operation") || self.has_fault("/jobtype") {
            return None;
        }
        let found = if has_both { "both" } else { "neither" };
        let detail = format!(
            "exactly one of operation and jobtype is needed, {found} found (POST \
             /jobs/{{operation}} needs neither)"
        );
        self.fault(FieldError::new("", Code::AmbiguousJob, detail))
    }

    /// The args of a typed job.
    fn typed(&mut self, definition: Definition) -> Option<(JobType, RawJson)> {
        // A member that is null or repeated is among the faults already; that it is missing too is
        // no news.
        let reported: HashSet<String> =
            self.errors.iter().map(|error| error.pointer.clone()).collect();
        let mut values = MemberValues { values: std::mem::take(&mut self.own), errors: Vec::new() };
        let args = definition.args_of(&mut values);
        let fresh = values.errors.into_iter().filter(|error| !reported.contains(&error.pointer));
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

    /// The args of a raw job.
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
            None if self.has_fault("/args") => None,
            None => {
                let detail = "args is missing; it must be an array";
                self.fault(FieldError::at("args", Code::MissingField, detail))
            }
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

/// A name as the client sent it, cut where it is too long.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}
