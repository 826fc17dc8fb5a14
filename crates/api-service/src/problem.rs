//! Everything that is not a success, as RFC 9457 has it: `application/problem+json`.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use job_types::FieldError;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::request_id;

/// The closed set of problems: what happened, as a word that stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    TlsNeeded,
    MalformedJson,
    MalformedEncoding,
    IdempotencyNotSupported,
    KeyMissing,
    KeyUnknown,
    ScopeMissing,
    HostNotAllowed,
    OriginNotAllowed,
    NotFound,
    MethodNotAllowed,
    BodyTooSlow,
    BodyTooLarge,
    TooManyJobs,
    UnsupportedMediaType,
    InvalidJob,
    EmptyBatch,
    RefusedByWorkServer,
    /// A fault of a job that all faulty jobs of the request share.
    Field(job_types::Code),
    InternalError,
    WorkServerUnreachable,
    WorkServerRefusing,
    CircuitOpen,
    Overloaded,
    ShuttingDown,
    OutcomeUnknown,
}

impl Code {
    /// The word, the status, and a title for people.
    const fn about(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::TlsNeeded => ("tls_needed", StatusCode::BAD_REQUEST, "This port speaks HTTPS"),
            Self::MalformedJson => {
                ("malformed_json", StatusCode::BAD_REQUEST, "The body is not JSON")
            }
            Self::MalformedEncoding => (
                "malformed_encoding",
                StatusCode::BAD_REQUEST,
                "The body is not encoded as announced",
            ),
            Self::IdempotencyNotSupported => (
                "idempotency_not_supported",
                StatusCode::BAD_REQUEST,
                "Idempotency-Key is not supported",
            ),
            Self::KeyMissing => ("key_missing", StatusCode::UNAUTHORIZED, "A key is needed"),
            Self::KeyUnknown => ("key_unknown", StatusCode::UNAUTHORIZED, "The key is not known"),
            Self::ScopeMissing => {
                ("scope_missing", StatusCode::FORBIDDEN, "The key is not good for this")
            }
            Self::HostNotAllowed => (
                "host_not_allowed",
                StatusCode::FORBIDDEN,
                "This name is not one of this service's",
            ),
            Self::OriginNotAllowed => (
                "origin_not_allowed",
                StatusCode::FORBIDDEN,
                "The request comes from a page of another origin",
            ),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is nothing at this path"),
            Self::MethodNotAllowed => (
                "method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "This path does not take this method",
            ),
            Self::BodyTooSlow => {
                ("body_too_slow", StatusCode::REQUEST_TIMEOUT, "The body came too slowly")
            }
            Self::BodyTooLarge => {
                ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large")
            }
            Self::TooManyJobs => {
                ("too_many_jobs", StatusCode::PAYLOAD_TOO_LARGE, "The batch has too many jobs")
            }
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be announced as JSON",
            ),
            Self::InvalidJob => {
                ("invalid_job", StatusCode::UNPROCESSABLE_ENTITY, "A job is not valid")
            }
            Self::EmptyBatch => {
                ("empty_batch", StatusCode::UNPROCESSABLE_ENTITY, "The batch has no jobs")
            }
            Self::RefusedByWorkServer => (
                "refused_by_work_server",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The work server refused the job",
            ),
            Self::Field(code) => {
                (code.as_str(), StatusCode::UNPROCESSABLE_ENTITY, "A job is not valid")
            }
            Self::InternalError => {
                ("internal_error", StatusCode::INTERNAL_SERVER_ERROR, "A defect of this service")
            }
            Self::WorkServerUnreachable => (
                "work_server_unreachable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The work server can't be reached",
            ),
            Self::WorkServerRefusing => (
                "work_server_refusing",
                StatusCode::SERVICE_UNAVAILABLE,
                "The work server refuses work",
            ),
            Self::CircuitOpen => (
                "circuit_open",
                StatusCode::SERVICE_UNAVAILABLE,
                "The work server failed several times in a row",
            ),
            Self::Overloaded => {
                ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Too much is waiting already")
            }
            Self::ShuttingDown => {
                ("shutting_down", StatusCode::SERVICE_UNAVAILABLE, "This service is shutting down")
            }
            Self::OutcomeUnknown => (
                "outcome_unknown",
                StatusCode::GATEWAY_TIMEOUT,
                "Whether the work server has the job is not known",
            ),
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        self.about().0
    }
}

/// One problem, on its way to the client.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// Members beside the standard ones, such as `job_id`.
    members: Map<String, Value>,
    /// The connection has bytes that nobody will read.
    close: bool,
    /// Somebody asks again and again: not worth a line in the log each time.
    quiet: bool,
    /// When it is worth trying again, where the work is not taken.
    again_in: Duration,
}

/// When it is worth trying again, where nothing better is known.
const AGAIN_IN: Duration = Duration::from_secs(1);

/// The errors of one answer at the most; a batch of 10,000 can have more faults than anybody reads.
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
            close: false,
            quiet: false,
            again_in: AGAIN_IN,
        }
    }

    /// Faults of jobs. They share a code, or the code is that of an invalid job.
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

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    pub(crate) fn with_members(mut self, members: Map<String, Value>) -> Self {
        self.members = members;
        self
    }

    /// The problem of one job among many, as a member of a larger document.
    pub(crate) fn as_member(&self, outcome: &str) -> Value {
        let (code, status, title) = self.code.about();
        let mut member = self.members.clone();
        member.insert("code".into(), code.into());
        member.insert("status".into(), status.as_u16().into());
        member.insert("title".into(), title.into());
        member.insert("detail".into(), self.detail.as_ref().into());
        member.insert("outcome".into(), outcome.into());
        if !self.errors.is_empty() {
            let error = |error: &FieldError| json!({ "pointer": error.pointer, "code": error.code.as_str(), "detail": error.detail });
            member
                .insert("errors".into(), self.errors.iter().take(ERRORS_MAX).map(error).collect());
        }
        Value::Object(member)
    }

    pub(crate) const fn again_in(mut self, time: Duration) -> Self {
        self.again_in = time;
        self
    }

    pub(crate) const fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    pub(crate) const fn closing(mut self) -> Self {
        self.close = true;
        self
    }
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
            tracing::warn!(code, status = status.as_u16(), detail = %self.detail, request_id = %document.request_id, "request failed");
        }
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // Whole seconds, and not at once.
            let seconds = self.again_in.as_secs() + u64::from(self.again_in.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
