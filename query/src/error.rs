//! What can keep a query from being answered, by what the asker can do about it.

use schemas::matcher::BadRegex;
use schemas::time::TimeError;
use thiserror::Error;

/// A query without an answer.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The question itself is wrong; the text says what.
    #[error("{0}")]
    BadRequest(String),
    /// The question is well formed, but has no answer; `errors` names what stands in the way, one item each.
    #[error("{detail}")]
    Impossible { detail: String, errors: Vec<String> },
    /// The answer, or the way to it, is larger than the limits allow; the text says what would be possible.
    #[error("{0}")]
    TooLarge(String),
    /// Not answered within the limit.
    #[error("the query took longer than {limit_ms} ms (limits.query_timeout)")]
    Timeout { limit_ms: u128 },
    /// As many queries are under way as the limits allow.
    #[error("too many queries are under way")]
    Overloaded,
    /// Something below failed.
    #[error("{context}")]
    Internal {
        context: String,
        retryable: bool,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl QueryError {
    /// Whether the same query may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Overloaded => true,
            Self::Internal { retryable, .. } => *retryable,
            Self::BadRequest(_) | Self::Impossible { .. } | Self::TooLarge(_) => false,
        }
    }

    /// A word for counting and logging.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::Impossible { .. } => "impossible",
            Self::TooLarge(_) => "too_large",
            Self::Timeout { .. } => "timeout",
            Self::Overloaded => "overloaded",
            Self::Internal { .. } => "internal",
        }
    }

    /// An answer that does not exist, with nothing to list.
    pub(crate) fn impossible(detail: impl Into<String>) -> Self {
        Self::Impossible { detail: detail.into(), errors: Vec::new() }
    }

    pub(crate) fn internal(context: impl Into<String>) -> Self {
        Self::Internal { context: context.into(), retryable: false, source: None }
    }

    /// The same error once more; of an internal one, the cause becomes part of the text.
    pub(crate) fn said_again(&self) -> Self {
        match self {
            Self::BadRequest(text) => Self::BadRequest(text.clone()),
            Self::Impossible { detail, errors } => Self::Impossible { detail: detail.clone(), errors: errors.clone() },
            Self::TooLarge(text) => Self::TooLarge(text.clone()),
            Self::Timeout { limit_ms } => Self::Timeout { limit_ms: *limit_ms },
            Self::Overloaded => Self::Overloaded,
            Self::Internal { context, retryable, source } => {
                let cause = source.as_ref().map_or_else(String::new, |source| format!(": {source}"));
                Self::Internal { context: format!("{context}{cause}"), retryable: *retryable, source: None }
            }
        }
    }

    pub(crate) fn hot(source: hot::HotError) -> Self {
        let retryable = source.is_retryable();
        Self::Internal { context: "reading the hot tier failed".to_owned(), retryable, source: Some(Box::new(source)) }
    }

    pub(crate) fn cold(source: cold::ColdError) -> Self {
        let retryable = source.is_retryable();
        Self::Internal { context: "reading the cold tier failed".to_owned(), retryable, source: Some(Box::new(source)) }
    }
}

impl From<promql::ParseError> for QueryError {
    fn from(error: promql::ParseError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl From<BadRegex> for QueryError {
    fn from(error: BadRegex) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl From<TimeError> for QueryError {
    fn from(error: TimeError) -> Self {
        Self::BadRequest(error.to_string())
    }
}
