//! The answers to requests that no route takes.

use axum::http::Method;

use crate::problem::{Code, Problem};

/// No route has this path.
pub(crate) async fn not_found() -> Problem {
    let known = "known paths: POST /jobs, POST /jobs/{operation}, POST /jobs/batch, POST \
                 /jobs/stream, GET /health, GET /ready, GET /metrics";
    Problem::new(Code::NotFound, known)
}

/// The route of this path takes another method.
pub(crate) async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!(
        "{method} is not accepted here, see the header Allow; jobs are posted (POST /jobs, \
         /jobs/{{operation}}, /jobs/batch, /jobs/stream)"
    );
    Problem::new(Code::MethodNotAllowed, detail)
}

/// The client speaks plain HTTP to a port that speaks HTTPS.
pub(crate) async fn tls_needed() -> Problem {
    let detail = "this port speaks HTTPS: its URL begins with https://, not http://";
    Problem::new(Code::TlsNeeded, detail).closing()
}

/// Every place belongs to another client.
pub(crate) async fn too_many_connections() -> Problem {
    let detail = "every connection that this API can hold belongs to a client with a key, or to \
                  one that has sent a request: try again, or raise the limit of open files";
    // Anybody can cause it, thousands of times a second: the loop that accepts connections tells
    // how many there were.
    Problem::new(Code::TooManyConnections, detail).closing().quiet()
}
