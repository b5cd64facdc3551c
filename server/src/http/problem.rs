//! Every error of the API as `application/problem+json` (RFC 9457). The one place that chooses an HTTP status.
//!
//! part's error ─▶ [`Problem`] (`kind` gives type, title and status) ─▶ response
//!
//! `docs/api.md` lists the kinds; `type` is `/problems/<slug>`, and that path answers with the kind's meaning.

use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use runtime::Causes;
use serde_json::{Value, json};

/// The media type of an error.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, by what the client should do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
    NotPossible,
    Internal,
    Overloaded,
    Starting,
    QueryTimeout,
    NotWritable,
    ArchiveUnavailable,
}

impl Kind {
    pub(crate) const ALL: [Self; 14] = [
        Self::BadRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::NotPossible,
        Self::Internal,
        Self::Overloaded,
        Self::Starting,
        Self::QueryTimeout,
        Self::NotWritable,
        Self::ArchiveUnavailable,
    ];

    /// Status, slug of `type`, title, and what it means for the client.
    pub(crate) fn facts(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::BadRequest => {
                (StatusCode::BAD_REQUEST, "bad-request", "Bad request", "The request is wrong; `detail` says what.")
            }
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not-found",
                "No such path",
                "The API has no such path. An unknown series is not an error but an empty answer.",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                "The path exists, but not for this method; `Allow` names those it takes.",
            ),
            Self::NotAcceptable => (
                StatusCode::NOT_ACCEPTABLE,
                "not-acceptable",
                "Not acceptable",
                "None of the media types in `Accept` can be produced; `errors` names those that can.",
            ),
            Self::RequestTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "request-timeout",
                "Request timeout",
                "The request body did not arrive in time.",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "Body too large",
                "The request body, encoded or decoded, is over `limits.body`. Send smaller batches.",
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Unsupported media type",
                "The content type or content encoding is not one that this path reads.",
            ),
            Self::NotPossible => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "not-possible",
                "Not possible",
                "The question is well formed but cannot be answered; `errors` says what would be possible.",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "A defect, or data that cannot be read; the log has the details.",
            ),
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "Overloaded",
                "Nothing of the request was applied. Send it again after `Retry-After`.",
            ),
            Self::Starting => (
                StatusCode::SERVICE_UNAVAILABLE,
                "starting",
                "Starting",
                "The server is not ready yet, or stops; `detail` says what it waits for.",
            ),
            Self::QueryTimeout => (
                StatusCode::SERVICE_UNAVAILABLE,
                "query-timeout",
                "Query timeout",
                "The query took longer than `limits.query_timeout`. Ask for less, or coarser.",
            ),
            Self::NotWritable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "not-writable",
                "Data directory not writable",
                "The data directory takes no writes: its disk is full, or fails; `detail` says what to do. Nothing of the \
                 request was applied; queries are answered.",
            ),
            Self::ArchiveUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "archive-unavailable",
                "Archive unavailable",
                "The object store of the archive cannot be reached, or refuses. What RocksDB holds is answered, points are \
                 taken, and nothing is dropped that is not archived.",
            ),
        }
    }

    /// When it may be worth while to ask again.
    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Overloaded | Self::Starting => Some(Duration::from_secs(1)),
            Self::NotWritable => Some(Duration::from_secs(5)),
            Self::ArchiveUnavailable => Some(Duration::from_secs(30)),
            Self::BadRequest
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotAcceptable
            | Self::RequestTimeout
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::NotPossible
            | Self::Internal
            | Self::QueryTimeout => None,
        }
    }
}

/// What to do when the archive cannot be reached.
pub(crate) const ARCHIVE_ADVICE: &str = "the object store of the archive cannot be reached, or refuses: look at the log for \
                                         the cause, at object_store.url and its options, then ask again";

/// What a failure of a part means for who asked: a part that is away for a while, or else a defect.
fn kind_of(failure: &(dyn Error + 'static)) -> Kind {
    if cold::is_store_away(failure) {
        return Kind::ArchiveUnavailable;
    }
    let hot = |cause: &(dyn Error + 'static)| {
        let boxed = || cause.downcast_ref::<Box<hot::HotError>>().map(|error| &**error);
        cause.downcast_ref::<hot::HotError>().or_else(boxed).is_some_and(hot::HotError::is_disk_full)
    };
    let mut causes = std::iter::successors(Some(failure), |error| (**error).source());
    if causes.any(hot) { Kind::NotWritable } else { Kind::Internal }
}

/// An error answer.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
    /// Single things that were wrong, or what would be possible.
    errors: Vec<Value>,
    /// Members beyond RFC 9457's.
    extra: Vec<(&'static str, Value)>,
    retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let retry_after = kind.retry_after();
        Self { kind, detail: detail.into(), errors: Vec::new(), extra: Vec::new(), retry_after }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// A part failed: 503 where it is away for a while, else 500. The cause goes to the log, not to the client.
    pub(crate) fn failed(failure: &(dyn Error + 'static)) -> Self {
        match kind_of(failure) {
            Kind::ArchiveUnavailable => {
                tracing::warn!(cause = %Causes(failure), "the archive is not available");
                Self::new(Kind::ArchiveUnavailable, ARCHIVE_ADVICE)
            }
            Kind::NotWritable => {
                tracing::warn!(cause = %Causes(failure), "the disk of the data directory is full");
                Self::new(Kind::NotWritable, hot::Unwritable::DiskFull.to_string())
            }
            _ => Self::internal(failure),
        }
    }

    /// A defect. The cause goes to the log, not to the client.
    pub(crate) fn internal(cause: &dyn Error) -> Self {
        Self::defect(&Causes(cause))
    }

    /// As [`Self::internal`], where the cause is only a text.
    pub(crate) fn defect(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(Kind::Internal, "the server could not do this; its log says why")
    }

    #[must_use]
    pub(crate) fn with_errors(mut self, errors: impl IntoIterator<Item = Value>) -> Self {
        self.errors.extend(errors);
        self
    }

    #[must_use]
    pub(crate) fn with_member(mut self, name: &'static str, value: Value) -> Self {
        self.extra.push((name, value));
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.kind.facts().0
    }

    /// The JSON document.
    pub(crate) fn to_json(&self) -> Value {
        let (status, slug, title, _) = self.kind.facts();
        let mut body = json!({
            "type": format!("/problems/{slug}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail,
            "errors": self.errors,
        });
        if let Value::Object(members) = &mut body {
            members.extend(self.extra.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        }
        body
    }

    /// The `Retry-After` header: whole seconds, rounded up.
    pub(crate) fn retry_after_header(&self) -> Option<HeaderValue> {
        self.retry_after.map(|wait| {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            HeaderValue::from(seconds.max(1))
        })
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_json().to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(wait) = self.retry_after_header() {
            headers.insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_all_members_of_the_rfc() {
        let problem = Problem::bad_request("unknown parameter \"metrik\"").with_errors([json!("did you mean metric?")]);
        let expected = json!({
            "type": "/problems/bad-request", "title": "Bad request", "status": 400,
            "detail": "unknown parameter \"metrik\"", "errors": ["did you mean metric?"],
        });
        assert_eq!(problem.to_json(), expected);
    }

    #[test]
    fn pressure_says_when_to_come_again_in_whole_seconds() {
        let problem = Problem::new(Kind::Overloaded, "busy").retry_after(Duration::from_millis(1_200));
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn a_part_that_is_away_is_no_defect() {
        let away = || {
            let source = object_store::Error::Generic { store: "S3", source: "connection refused".into() };
            cold::ColdError::Store { doing: "cannot list".to_owned(), source }
        };
        let planning = compactor::CompactorError::from(away());
        let asking = query::QueryError::Internal {
            context: "reading the cold tier failed".to_owned(),
            retryable: true,
            source: Some(Box::new(away())),
        };
        for failure in [&planning as &(dyn Error + 'static), &asking] {
            let response = Problem::failed(failure).into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{failure:?}");
            assert!(response.headers().contains_key(header::RETRY_AFTER));
        }
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let full = hot::HotError::Io { context: "cannot write a table file", source: full };
        assert_eq!(Problem::failed(&compactor::CompactorError::from(full)).kind, Kind::NotWritable);
        let broken = std::io::Error::from(std::io::ErrorKind::InvalidData);
        let broken = hot::HotError::Io { context: "cannot list", source: broken };
        assert_eq!(Problem::failed(&compactor::CompactorError::from(broken)).kind, Kind::Internal);
    }

    #[test]
    fn every_kind_has_a_slug_of_its_own() {
        let mut slugs: Vec<&str> = Kind::ALL.iter().map(|kind| kind.facts().1).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }
}
