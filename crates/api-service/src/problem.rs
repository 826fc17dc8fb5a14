//! The answer to every request that fails: a problem document (RFC 9457),
//! `application/problem+json`. The codes are in `problem/code.rs`.

mod code;

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use faktory_wire::Excerpt;
use job_types::FieldError;
use serde::Serialize;
use serde_json::{Map, Value, json};

pub(crate) use self::code::Code;
use crate::request_id;

/// A problem document in the making.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// Members beside the standard ones, such as `job_id`.
    members: Map<String, Value>,
    /// What happens to the connection after the answer.
    connection: Connection,
    /// Whether the log stays silent about the problem, because clients ask again and again.
    quiet: bool,
    /// The pause before another attempt makes sense, for the header `Retry-After`.
    again_in: Duration,
}

/// What happens to the connection after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    /// The connection serves further requests, unless the drain layer misses the end of the body.
    Kept,
    /// The connection is closed.
    Closed,
    /// The connection is closed, and the rest of the request's body stays unread.
    ClosedAtOnce,
}

/// A mark on answers: the rest of the request's body must not be waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaveBodyUnread;

/// The pause before another attempt, where no better value is known.
const AGAIN_IN: Duration = Duration::from_secs(1);

/// The most errors in one answer: a batch of 10,000 can have more faults than anybody reads.
const ERRORS_MAX: usize = 1000;

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    request_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorDocument<'a>>,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    pointer: &'a str,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            connection: Connection::Kept,
            quiet: false,
            again_in: AGAIN_IN,
        }
    }

    /// Faults of jobs. The problem has the code of the faults where all have the same, otherwise
    /// the code of an invalid job.
    pub(crate) fn of_faults(errors: Vec<FieldError>) -> Self {
        let code = match errors.split_first() {
            Some((first, rest)) if rest.iter().all(|error| error.code == first.code) => {
                Code::Field(first.code)
            }
            _ => Code::InvalidJob,
        };
        let detail = match errors.as_slice() {
            [only] => only.detail.clone(),
            [first, ..] => {
                format!("{} faults, listed in errors; the first: {}", errors.len(), first.detail)
            }
            [] => String::new(),
        };
        Self { errors, ..Self::new(code, detail) }
    }

    /// The code.
    #[cfg(test)]
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// Adds a member beside the standard ones.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    pub(crate) fn with_members(mut self, members: Map<String, Value>) -> Self {
        self.members = members;
        self
    }

    /// The problem as a member of a larger document, about one job among many.
    pub(crate) fn as_member(&self, outcome: &str) -> Value {
        let (code, status, title) = self.code.about();
        let mut member = self.members.clone();
        member.insert("code".into(), code.into());
        member.insert("status".into(), status.as_u16().into());
        member.insert("title".into(), title.into());
        member.insert("detail".into(), self.detail.as_ref().into());
        member.insert("outcome".into(), outcome.into());
        if !self.errors.is_empty() {
            let errors: Value = self.errors.iter().take(ERRORS_MAX).map(error_member).collect();
            member.insert("errors".into(), errors);
        }
        Value::Object(member)
    }

    /// Sets the pause before another attempt makes sense.
    pub(crate) const fn again_in(mut self, time: Duration) -> Self {
        self.again_in = time;
        self
    }

    /// Keeps the problem out of the log.
    pub(crate) const fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Closes the connection after the answer.
    pub(crate) const fn closing(mut self) -> Self {
        self.connection = Connection::Closed;
        self
    }

    /// Closes the connection after the answer, without waiting for the rest of the request's body:
    /// the body has failed, or the time is up.
    pub(crate) const fn closing_at_once(mut self) -> Self {
        self.connection = Connection::ClosedAtOnce;
        self
    }
}

fn error_member(error: &FieldError) -> Value {
    json!({
        "pointer": error.pointer,
        "code": error.code.as_str(),
        "detail": error.detail,
    })
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, status, title) = self.code.about();
        let errors = self.errors.iter().take(ERRORS_MAX);
        let document = Document {
            r#type: format!("urn:work-factory:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: &self.detail,
            request_id: request_id::current(),
            errors: errors
                .map(|error| ErrorDocument {
                    pointer: &error.pointer,
                    code: error.code.as_str(),
                    detail: &error.detail,
                })
                .collect(),
            members: &self.members,
        };
        if status.is_server_error() && !self.quiet {
            let (detail, request_id) = (&self.detail, Excerpt(&document.request_id));
            tracing::warn!(code, status = status.as_u16(), %detail, %request_id, "request failed");
        }
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // Whole seconds, rounded up, and never 0.
            let seconds = self.again_in.as_secs() + u64::from(self.again_in.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        if self.connection != Connection::Kept {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.connection == Connection::ClosedAtOnce {
            response.extensions_mut().insert(LeaveBodyUnread);
        }
        response
    }
}
