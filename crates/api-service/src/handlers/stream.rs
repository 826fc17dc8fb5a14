//! `POST /jobs/stream`: one job a line in the request, one result a line in the answer, for as long
//! as the client likes. The work on the lines is in `stream/session.rs`.

mod checked;
mod session;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use tokio::sync::mpsc;

use self::session::Session;
use crate::body;
use crate::encoding::Encoding;
use crate::lines::Lines;
use crate::problem::Problem;
use crate::state::SharedState;

/// The most chunks of results that wait for the client.
const RESULTS: usize = 16;

/// A piece of the answer.
enum Answer {
    Lines(Bytes),
    /// The answer is complete. An answer without this piece breaks off, so that its client notices.
    End,
}

/// The handler.
pub(crate) async fn stream(
    Extract(state): Extract<SharedState>,
    request: Request,
) -> Result<Response, Problem> {
    state.lifecycle.check_serving()?;
    let headers = request.headers();
    body::check_headers_of_stream(headers)?;
    let encoding = Encoding::of(headers)?;
    let permit = state.streams.permit()?;
    let pass = request.extensions().get().cloned();
    let lines = Lines::new(
        encoding,
        request.into_body(),
        state.bodies.max_line_bytes,
        state.bodies.budget.clone(),
        &state.threads.handle(),
    );
    let (results, answers) = mpsc::channel(RESULTS);
    let session = Session::new(SharedState::clone(&state), pass, permit);
    // The task ends when its client is gone, and at the latest when the service ends.
    state.streams.start(session.run(lines, results));
    let answers = futures_util::stream::unfold(Some(answers), |answers| async {
        let mut answers = answers?;
        match answers.recv().await {
            Some(Answer::Lines(lines)) => Some((Ok(lines), Some(answers))),
            Some(Answer::End) => None,
            None => Some((Err(std::io::Error::other("the stream has ended early")), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(answers));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}
