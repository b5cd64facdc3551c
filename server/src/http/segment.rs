//! A part of the path that stands for a value.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::problem::Problem;

/// The one variable part of a route, percent-decoded. What is no text is a problem, where axum's own extractor would
/// answer in plain words.
#[derive(Debug)]
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::from_request_parts(parts, state).await.map(|Path(text)| Self(text)).map_err(problem)
    }
}

fn problem(rejection: PathRejection) -> Problem {
    match rejection.status() {
        StatusCode::BAD_REQUEST => Problem::bad_request(rejection.body_text()),
        _ => Problem::defect(&rejection.body_text()),
    }
}
