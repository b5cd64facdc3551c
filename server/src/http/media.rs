//! Content types of requests and `Accept` of answers.

use axum::http::{HeaderMap, HeaderName, header};

use super::problem::{Kind, Problem};

/// What `curl -d` and `--data-binary` say when nobody tells them the media type: it means nothing.
pub(crate) const CURL_DEFAULT: &str = "application/x-www-form-urlencoded";

/// The media type of a request body without its parameters, in lower case; `None` when none is given.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = text(headers, &header::CONTENT_TYPE)?;
    Some(value.split(';').next().unwrap_or("").trim().to_ascii_lowercase())
}

/// Refuses a body whose content type is none of `known`; one that is not given is taken as meant.
pub(crate) fn require(headers: &HeaderMap, known: &[&str]) -> Result<Option<String>, Problem> {
    match content_type(headers) {
        Some(given) if !known.contains(&given.as_str()) => {
            let detail = format!("content type {given:?} is not one of {}", known.join(", "));
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
        given => Ok(given),
    }
}

/// The first of `offers` (best first) that `Accept` prefers; the first when nothing is asked for.
pub(crate) fn accept<'a>(headers: &HeaderMap, offers: &[&'a str]) -> Result<&'a str, Problem> {
    let Some(wanted) = text(headers, &header::ACCEPT) else { return Ok(offers[0]) };
    let ranges: Vec<(&str, f32)> = wanted.split(',').filter_map(media_range).collect();
    let quality = |offer: &str| {
        let fitting = ranges.iter().filter_map(|(range, q)| specificity(range, offer).map(|s| (s, *q)));
        fitting.max_by_key(|(specificity, _)| *specificity).map_or(0.0, |(_, q)| q)
    };
    let best = offers.iter().copied().enumerate().filter(|(_, offer)| quality(offer) > 0.0);
    // Of equals the earlier offer wins.
    let best = best.max_by(|(i, a), (j, b)| quality(a).total_cmp(&quality(b)).then(j.cmp(i)));
    best.map(|(_, offer)| offer).ok_or_else(|| {
        Problem::new(Kind::NotAcceptable, format!("Accept: {wanted} fits none of the types this path can produce"))
            .with_errors(offers.iter().map(|offer| (*offer).into()))
    })
}

fn media_range(text: &str) -> Option<(&str, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| range.contains('/'))?;
    let q =
        parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q="))).map_or(Some(1.0), |q| q.parse().ok());
    Some((range, q.filter(|q: &f32| q.is_finite())?))
}

fn specificity(range: &str, offer: &str) -> Option<u8> {
    if range.eq_ignore_ascii_case(offer) {
        return Some(2);
    }
    let kind = offer.split('/').next().unwrap_or("");
    match range.split_once('/')? {
        ("*", "*") => Some(0),
        (k, "*") if k.eq_ignore_ascii_case(kind) => Some(1),
        _ => None,
    }
}

/// A header as text, where it is text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const OFFERS: [&str; 3] = ["application/json", "text/csv", "application/x-ndjson"];

    fn ask(accept_header: &'static str) -> Result<&'static str, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept_header));
        accept(&headers, &OFFERS)
    }

    #[test]
    fn the_preferred_type_wins_and_the_default_is_the_first() {
        assert_eq!(accept(&HeaderMap::new(), &OFFERS).expect("anything"), "application/json");
        assert_eq!(ask("*/*").expect("anything"), "application/json");
        assert_eq!(ask("text/*, application/json;q=0.5").expect("csv"), "text/csv");
        assert_eq!(ask("text/html, */*;q=0.1").expect("the default"), "application/json");
        assert_eq!(ask("application/json;q=0, */*").expect("not json"), "text/csv");
    }

    #[test]
    fn what_cannot_be_produced_is_refused_with_what_can() {
        let problem = ask("text/html").expect_err("no html");
        assert_eq!(problem.kind, Kind::NotAcceptable);
        assert_eq!(problem.to_json()["errors"], serde_json::json!(OFFERS));
    }

    #[test]
    fn a_content_type_is_compared_without_parameters() {
        let mut headers = HeaderMap::new();
        assert_eq!(require(&headers, &["text/plain"]).expect("none given"), None);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("Text/Plain; charset=utf-8"));
        assert_eq!(require(&headers, &["text/plain"]).expect("fits").as_deref(), Some("text/plain"));
        assert!(require(&headers, &["application/json"]).is_err());
    }
}
