//! From the lines of a stream to jobs that can be pushed. Takes time by the bytes of the lines, and
//! may run on any thread.

use std::collections::HashSet;

use faktory_link::EncodedJob;
use faktory_wire::Timestamp;
use job_types::{Element, Form, NewJob};
use serde_json::json;

use crate::handlers::push::encode;
use crate::lines::Line;
use crate::posting::Posting;
use crate::problem::{Code, Problem};
use crate::state::State;
use crate::{body, compression, dedup};

/// Lines after the check.
#[derive(Default)]
pub(super) struct Checked {
    /// The results of the lines that are not valid.
    pub(super) refused: String,
    pub(super) groups: Vec<CheckedGroup>,
}

/// Valid jobs that may be pushed together.
pub(super) struct CheckedGroup {
    /// The numbers of their lines.
    pub(super) numbers: Vec<u64>,
    pub(super) ids: Vec<String>,
    pub(super) encoded: Vec<EncodedJob>,
}

impl Checked {
    /// Checks lines, and divides the valid jobs into groups.
    pub(super) fn new(state: &State, posting: &Posting, lines: &[Line]) -> Self {
        let now = Timestamp::now();
        let mut refused = String::new();
        let mut groups: Vec<Vec<(u64, NewJob)>> = vec![Vec::with_capacity(lines.len())];
        let mut ids = HashSet::with_capacity(lines.len());
        for line in lines {
            match check(state, line, now) {
                Ok(job) => {
                    // The work server's reply to a push names jobs by id, so each id may occur
                    // only once in a group.
                    if !ids.insert(job.id.as_str().to_owned()) {
                        ids = HashSet::from([job.id.as_str().to_owned()]);
                        groups.push(Vec::new());
                    }
                    if let Some(group) = groups.last_mut() {
                        group.push((line.number(), job));
                    }
                }
                Err(problem) => refuse(&mut refused, line.number(), &problem),
            }
        }
        let groups = groups.into_iter().filter(|group| !group.is_empty());
        let groups = groups.map(|group| CheckedGroup::new(state, posting, group)).collect();
        Self { refused, groups }
    }

    /// What becomes of lines that could not be checked.
    pub(super) fn none(numbers: &[u64], problem: &Problem) -> Self {
        let mut refused = String::new();
        numbers.iter().for_each(|number| refuse(&mut refused, *number, problem));
        Self { refused, ..Self::default() }
    }
}

impl CheckedGroup {
    fn new(state: &State, posting: &Posting, group: Vec<(u64, NewJob)>) -> Self {
        let (numbers, jobs): (Vec<u64>, Vec<NewJob>) = group.into_iter().unzip();
        let ids = jobs.iter().map(|job| job.id.as_str().to_owned()).collect();
        Self { numbers, ids, encoded: encode(state, jobs, posting.terms("")) }
    }
}

/// Writes the result of a line that is not sent.
fn refuse(results: &mut String, number: u64, problem: &Problem) {
    let error = problem.as_member("not_sent");
    results.push_str(&json!({ "line": number, "error": error }).to_string());
    results.push('\n');
}

fn check(state: &State, line: &Line, now: Timestamp) -> Result<NewJob, Problem> {
    match line {
        Line::Text(_, text) => check_text(state, text, now),
        Line::TooLong(_) => Err(state.bodies.line_too_large()),
        Line::NoMemory(_) => {
            Err(Problem::new(Code::Overloaded, "too many large bodies are being read"))
        }
    }
}

fn check_text(state: &State, text: &[u8], now: Timestamp) -> Result<NewJob, Problem> {
    let text = std::str::from_utf8(text)
        .map_err(|_| Problem::new(Code::MalformedJson, "the line is not UTF-8"))?;
    let element: Element<'_> =
        serde_json::from_str(text).map_err(|error| body::malformed(&error))?;
    let job = job_types::validate_job(&state.config.jobs, &element, Form::Members, now)
        .map_err(Problem::of_faults)?;
    compression::check_one(&state.config.api, &job)?;
    dedup::check_one(&state.pusher, &job)?;
    state.queues.admit_one(&job)?;
    Ok(job)
}
