//! The envelope of every answer: `status`, `data` or `errorType` and `error`, `warnings`, `infos`.
//!
//! data (written by its renderer) + [`Remarks`] ─▶ `{"status":"success","data":…,"warnings":[…],"infos":[…]}`
//! a [`Problem`], or a failed query ─▶ [`ApiError`] ─▶ `{"status":"error","errorType":…,"error":…}`
//!
//! The statuses are those of Prometheus. Not here: what data look like.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use promql::notes::{Level, Note, Notes};
use query::QueryError;

use super::render::{self, push_text};
use crate::http::metrics_read::query_problem;
use crate::http::problem::{Kind, Problem};

/// Warnings, and infos, that an answer tells; the others are counted.
const REMARKS_MAX: usize = 10;

/// What kind of error it is, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorType {
    BadData,
    Execution,
    Timeout,
    Internal,
    Unavailable,
    NotFound,
    NotAcceptable,
}

impl ErrorType {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::BadRequest
            | Kind::MethodNotAllowed
            | Kind::RequestTimeout
            | Kind::TooLarge
            | Kind::UnsupportedMediaType => Self::BadData,
            Kind::NotPossible => Self::Execution,
            Kind::QueryTimeout => Self::Timeout,
            Kind::Internal => Self::Internal,
            Kind::Overloaded | Kind::Starting | Kind::NotWritable | Kind::ArchiveUnavailable => Self::Unavailable,
            Kind::NotFound => Self::NotFound,
            Kind::NotAcceptable => Self::NotAcceptable,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not_found",
            Self::NotAcceptable => "not_acceptable",
        }
    }
}

/// An error answer.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    kind: ErrorType,
    status: StatusCode,
    pub(super) message: String,
    retry_after: Option<HeaderValue>,
}

impl ApiError {
    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        Problem::bad_request(message).into()
    }

    /// A parameter is wrong.
    pub(super) fn parameter(name: &str, why: &str) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {why}"))
    }

    /// For the paths whose errors are plain text.
    pub(super) fn into_text(self) -> Response<Body> {
        let mut response = (self.status, format!("{}\n", self.message)).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self {
            kind: ErrorType::of(problem.kind),
            status: problem.status(),
            retry_after: problem.retry_after_header(),
            message: problem.detail,
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Impossible { detail, errors } if !errors.is_empty() => {
                Problem::new(Kind::NotPossible, format!("{detail}: {}", errors.join("; "))).into()
            }
            other => query_problem(other).into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let mut body = br#"{"status":"error","errorType":""#.to_vec();
        body.extend_from_slice(self.kind.as_str().as_bytes());
        body.extend_from_slice(br#"","error":"#);
        push_text(&mut body, &self.message);
        body.push(b'}');
        let mut response = json(Body::from(body));
        *response.status_mut() = self.status;
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

/// What is said beside an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Remarks {
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Remarks {
    /// The notes of a query, with their places in its text.
    pub(super) fn of(notes: &Notes, query: &str) -> Self {
        let of = |level: Level| notes.iter().filter(move |note| note.level == level).map(|note| placed(note, query));
        Self { warnings: bounded(of(Level::Warning), "warning"), infos: bounded(of(Level::Info), "info") }
    }

    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// Says that `limit` has cut the answer, if it has.
    pub(super) fn truncated(mut self, truncated: bool) -> Self {
        if truncated {
            self.warn("results truncated due to limit");
        }
        self
    }
}

/// A note and, in parentheses, line and byte of where it speaks of.
fn placed(note: &Note, query: &str) -> String {
    let Some(span) = note.span else { return note.text.clone() };
    let before = &query.as_bytes()[..span.start.min(query.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = before.split(|byte| *byte == b'\n').count();
    format!("{} ({line}:{})", note.text, before.len() - line_start + 1)
}

fn bounded(mut texts: impl Iterator<Item = String>, kind: &str) -> Vec<String> {
    let mut first: Vec<String> = texts.by_ref().take(REMARKS_MAX).collect();
    let left = texts.count();
    if left > 0 {
        first.push(format!("{left} more {kind} annotations omitted"));
    }
    first
}

/// What stands before the data of an answer.
pub(super) fn push_head(out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"status":"success","data":"#);
}

/// What stands behind them.
pub(super) fn push_tail(out: &mut Vec<u8>, remarks: &Remarks) {
    for (name, texts) in [("warnings", &remarks.warnings), ("infos", &remarks.infos)] {
        if !texts.is_empty() {
            out.push(b',');
            push_text(out, name);
            out.push(b':');
            render::push_list(out, texts, |out, text| push_text(out, text));
        }
    }
    out.push(b'}');
}

/// An answer with data that are written at once.
pub(super) fn success(remarks: &Remarks, data: impl FnOnce(&mut Vec<u8>)) -> Response<Body> {
    let mut body = Vec::new();
    push_head(&mut body);
    data(&mut body);
    push_tail(&mut body, remarks);
    json(Body::from(body))
}

/// An answer with a small document.
pub(super) fn document(data: &serde_json::Value) -> Response<Body> {
    success(&Remarks::default(), |out| out.extend_from_slice(data.to_string().as_bytes()))
}

/// Names the media type of a body.
pub(super) fn json(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use promql::Span;

    use super::*;

    #[test]
    fn kinds_of_errors_have_the_statuses_of_prometheus() {
        let cases = [
            (QueryError::BadRequest("x".to_owned()), 400, "bad_data"),
            (QueryError::TooLarge("x".to_owned()), 422, "execution"),
            (QueryError::Timeout { limit_ms: 1 }, 503, "timeout"),
            (QueryError::Overloaded, 503, "unavailable"),
            (QueryError::Internal { context: "x".to_owned(), retryable: false, source: None }, 500, "internal"),
        ];
        for (error, status, kind) in cases {
            let error = ApiError::from(error);
            assert_eq!((error.status.as_u16(), error.kind.as_str()), (status, kind));
        }
        let starting = ApiError::from(Problem::new(Kind::Starting, "waiting")).into_response();
        assert_eq!(
            (starting.status().as_u16(), &starting.headers()[header::RETRY_AFTER]),
            (503, &"1".parse().unwrap())
        );
    }

    #[test]
    fn what_is_impossible_says_what_would_be_possible() {
        let errors = vec!["1m".to_owned(), "1h".to_owned()];
        let error = ApiError::from(QueryError::Impossible { detail: "raw is gone".to_owned(), errors });
        assert_eq!(error.message, "raw is gone: 1m; 1h");
    }

    #[test]
    fn notes_are_told_with_their_places_ten_of_a_kind() {
        let mut notes = Notes::default();
        let note = |level, text: String, at| Note { level, text, span: Some(Span::new(at, at + 1)) };
        notes.add(note(Level::Info, "PromQL info: a".to_owned(), 0));
        notes.add(note(Level::Info, "PromQL info: b".to_owned(), 6));
        for i in 10..23 {
            notes.add(note(Level::Warning, format!("PromQL warning: {i}"), 1));
        }
        let remarks = Remarks::of(&notes, "rate(\nx)").truncated(true);
        assert_eq!(remarks.infos, ["PromQL info: a (1:1)", "PromQL info: b (2:1)"]);
        assert_eq!(remarks.warnings.len(), 12);
        assert_eq!(remarks.warnings[10..], ["3 more warning annotations omitted", "results truncated due to limit"]);
    }

    #[test]
    fn an_envelope_has_remarks_only_where_there_are_some() {
        let body = |remarks: &Remarks| {
            let mut out = Vec::new();
            push_head(&mut out);
            out.extend_from_slice(b"[]");
            push_tail(&mut out, remarks);
            String::from_utf8(out).expect("UTF-8")
        };
        assert_eq!(body(&Remarks::default()), r#"{"status":"success","data":[]}"#);
        let mut said = Remarks::default();
        said.warn("a \"b\"");
        assert_eq!(body(&said), r#"{"status":"success","data":[],"warnings":["a \"b\""]}"#);
    }
}
