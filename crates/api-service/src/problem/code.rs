//! The closed set of problem codes, each with its HTTP status and its title for people.

use axum::http::StatusCode;

/// Makes [`Code`] from one line for each code.
macro_rules! codes {
    ($($variant:ident $status:ident $word:literal $title:literal;)*) => {
        /// What happened, as a word that stays the same from release to release.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Code {
            $($variant,)*
            /// A fault of a job that all faulty jobs of the request share.
            Field(job_types::Code),
        }

        impl Code {
            /// The word, the status, and the title.
            pub(super) const fn about(self) -> (&'static str, StatusCode, &'static str) {
                match self {
                    $(Self::$variant => ($word, StatusCode::$status, $title),)*
                    Self::Field(code) => {
                        (code.as_str(), StatusCode::UNPROCESSABLE_ENTITY, "A job is not valid")
                    }
                }
            }

            pub(crate) const fn as_str(self) -> &'static str {
                self.about().0
            }
        }
    };
}

codes! {
    TlsNeeded BAD_REQUEST "tls_needed" "This port speaks HTTPS";
    InvalidHost BAD_REQUEST "invalid_host" "The request does not name one host";
    MalformedJson BAD_REQUEST "malformed_json" "The body is not JSON";
    MalformedEncoding BAD_REQUEST "malformed_encoding" "The body is not encoded as announced";
    IdempotencyNotSupported BAD_REQUEST "idempotency_not_supported"
        "Idempotency-Key is not supported";
    InvalidIdempotencyKey BAD_REQUEST "invalid_idempotency_key" "Idempotency-Key is not valid";
    KeyMissing UNAUTHORIZED "key_missing" "A key is needed";
    KeyUnknown UNAUTHORIZED "key_unknown" "The key is not known";
    ScopeMissing FORBIDDEN "scope_missing" "The key is not good for this";
    HostNotAllowed FORBIDDEN "host_not_allowed" "This name is not one of this service's";
    OriginNotAllowed FORBIDDEN "origin_not_allowed"
        "The request comes from a page of another origin";
    ProxyNotTrusted FORBIDDEN "proxy_not_trusted"
        "The request comes through a proxy that is not trusted";
    ProxyTellsNoName FORBIDDEN "proxy_tells_no_name"
        "The proxy does not tell the name that the client used";
    NotFound NOT_FOUND "not_found" "There is nothing at this path";
    MethodNotAllowed METHOD_NOT_ALLOWED "method_not_allowed" "This path does not take this method";
    JobIdReused CONFLICT "job_id_reused" "Another job had this job_id";
    BodyTooSlow REQUEST_TIMEOUT "body_too_slow" "The body came too slowly";
    BodyTooLarge PAYLOAD_TOO_LARGE "body_too_large" "The body is too large";
    TooManyJobs PAYLOAD_TOO_LARGE "too_many_jobs" "The batch has too many jobs";
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported_media_type"
        "The body must be announced as JSON";
    InvalidJob UNPROCESSABLE_ENTITY "invalid_job" "A job is not valid";
    EmptyBatch UNPROCESSABLE_ENTITY "empty_batch" "The batch has no jobs";
    IdempotencyKeyReused UNPROCESSABLE_ENTITY "idempotency_key_reused"
        "Another body had this Idempotency-Key";
    RefusedByWorkServer UNPROCESSABLE_ENTITY "refused_by_work_server"
        "The work server refused the job";
    InternalError INTERNAL_SERVER_ERROR "internal_error" "A defect of this service";
    WorkServerUnreachable SERVICE_UNAVAILABLE "work_server_unreachable"
        "The work server can't be reached";
    WorkServerRefusing SERVICE_UNAVAILABLE "work_server_refusing" "The work server refuses work";
    CircuitOpen SERVICE_UNAVAILABLE "circuit_open" "The work server failed several times in a row";
    Overloaded SERVICE_UNAVAILABLE "overloaded" "Too much is waiting already";
    TooManyConnections SERVICE_UNAVAILABLE "too_many_connections" "There are too many connections";
    ShuttingDown SERVICE_UNAVAILABLE "shutting_down" "This service is shutting down";
    OutcomeUnknown GATEWAY_TIMEOUT "outcome_unknown"
        "Whether the work server has the job is not known";
}
