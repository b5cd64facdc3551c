//! What a request asks for: the parameters of its URL and of its form, and the parts that answer.
//!
//! gate ─▶ form (bounded, UTF-8) ─▶ [`Asked`];  parameters of the form come before those of the URL
//!
//! A parameter that a path does not know is ignored, as clients of this API expect.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequest;
use axum::http::{Method, Request};

use super::envelope::ApiError;
use crate::http::app::App;
use crate::http::gate::Parts;
use crate::http::media::{self, CURL_DEFAULT};
use crate::http::params::Params;
use crate::http::problem::{Kind, Problem};

/// A request that can be answered.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(super) app: Arc<App>,
    pub(super) parts: Arc<Parts>,
    pub(super) params: Params,
}

impl FromRequest<Arc<App>> for Asked {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, app: &Arc<App>) -> Result<Self, ApiError> {
        let parts = app.gate.parts().map_err(|why| Problem::new(Kind::Starting, why))?;
        let (head, body) = request.into_parts();
        let mut text = String::new();
        if head.method == Method::POST {
            media::require(&head.headers, &[CURL_DEFAULT])?;
            let body = app.bodies.read(&head.headers, body).await?;
            let form = std::str::from_utf8(&body.bytes).map_err(|_| not_text("the form"))?;
            text.push_str(form);
            text.push('&');
        }
        text.push_str(head.uri.query().unwrap_or(""));
        Ok(Self { app: Arc::clone(app), parts, params: params(&text)? })
    }
}

/// Parameters that are text, once their escapes are undone.
fn params(text: &str) -> Result<Params, ApiError> {
    let params = Params::parse_any(Some(text));
    // What is not UTF-8 has become a replacement character, which somebody may also have sent.
    let sent = text.contains(char::REPLACEMENT_CHARACTER) || text.to_ascii_uppercase().contains("%EF%BF%BD");
    if !sent && params.any_contains(char::REPLACEMENT_CHARACTER) {
        return Err(not_text("a parameter"));
    }
    Ok(params)
}

fn not_text(what: &str) -> ApiError {
    ApiError::bad_data(format!("error parsing form values: {what} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_that_are_no_text_are_refused() {
        assert!(params("query=up%7B%7D&time=4").is_ok());
        assert!(params("query=%EF%BF%BD").is_ok(), "the replacement character itself is text");
        for wrong in ["query=%ff", "match[]=%c3%28", "%fe=1"] {
            assert!(params(wrong).is_err(), "{wrong}");
        }
    }
}
