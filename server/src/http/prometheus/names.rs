//! What there is: series, names of labels, values of a label.
//!
//! `match[]`, `start`, `end`, `limit` ─▶ `query::Engine` ─▶ a sorted list, and a warning where `limit` has cut it

use axum::body::Body;
use axum::http::Response;
use query::Limited;
use schemas::{LabelMatcher, TimeRange, TimestampMs};

use super::envelope::{self, ApiError, Remarks};
use super::form::Asked;
use super::pieces::{self, PIECE_BYTES};
use super::query::bounded_query;
use super::render::{push_labels, push_list, push_text};
use super::time::{limit, optional_time};
use crate::http::params::Params;
use crate::http::problem::Problem;
use crate::http::segment::Segment;

/// Selectors in one request.
const SELECTORS_MAX: usize = 200;
/// Lists of as many items are written at once.
const LIGHT_ITEMS_MAX: usize = 1_000;
/// What stands before the name of a label that is written in letters, digits and underscores only.
const ESCAPED: &str = "U__";

/// What all three are asked with.
struct Lookup {
    selectors: Vec<Vec<LabelMatcher>>,
    range: Option<TimeRange>,
    limit: Option<usize>,
}

impl Lookup {
    fn read(params: &Params) -> Result<Self, ApiError> {
        let limit = limit(params)?;
        let range = range(optional_time(params, "start")?, optional_time(params, "end")?)?;
        Ok(Self { selectors: selectors(params)?, range, limit })
    }
}

/// Both ends inclusive; none of both is all time.
fn range(start: Option<TimestampMs>, end: Option<TimestampMs>) -> Result<Option<TimeRange>, ApiError> {
    if start.is_none() && end.is_none() {
        return Ok(None);
    }
    let start = start.unwrap_or(TimestampMs::MIN);
    let end = end.map_or(TimestampMs::MAX, |end| TimestampMs(end.0.saturating_add(1)));
    match TimeRange::new(start, end) {
        Ok(range) => Ok(Some(range)),
        Err(_) => Err(ApiError::parameter("end", "end timestamp must not be before start time")),
    }
}

/// The selectors of `match[]`.
pub(super) fn selectors(params: &Params) -> Result<Vec<Vec<LabelMatcher>>, ApiError> {
    let texts: Vec<&str> = params.all("match[]").collect();
    if texts.len() > SELECTORS_MAX {
        return Err(ApiError::parameter("match[]", &format!("at most {SELECTORS_MAX} selectors")));
    }
    let parse = |text: &&str| {
        let selector = promql::parse_selector(bounded_query(text)?);
        selector.map_err(|error| ApiError::parameter("match[]", &error.to_string()))
    };
    texts.iter().map(parse).collect()
}

/// The series that any of the selectors selects.
#[utoipa::path(get, path = "/api/v1/series", tag = "prometheus",
    params(
        ("match[]" = Vec<String>, Query, description = "Selectors; at least one"),
        ("start" = Option<String>, Query, description = "RFC 3339 or Unix seconds; default the beginning"),
        ("end" = Option<String>, Query, description = "As `start`; default the end"),
        ("limit" = Option<usize>, Query, description = "The most series wanted")),
    responses((status = 200, description = "A list of label sets"), (status = 400, description = "A parameter is wrong"),
        (status = 422, description = "Too many series match"), (status = 503, description = "Busy, starting, or out of time")))]
pub(crate) async fn series(asked: Asked) -> Result<Response<Body>, ApiError> {
    if asked.params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let Lookup { selectors, range, limit } = Lookup::read(&asked.params)?;
    let Limited { value, truncated } = Box::pin(asked.parts.engine.series(selectors, range, limit)).await?;
    Ok(list(value, truncated, push_labels))
}

/// Names of labels.
#[utoipa::path(get, path = "/api/v1/labels", tag = "prometheus",
    params(
        ("match[]" = Option<Vec<String>>, Query, description = "Selectors; default all series"),
        ("start" = Option<String>, Query, description = "RFC 3339 or Unix seconds; default the beginning"),
        ("end" = Option<String>, Query, description = "As `start`; default the end"),
        ("limit" = Option<usize>, Query, description = "The most names wanted")),
    responses((status = 200, description = "Sorted names"), (status = 400, description = "A parameter is wrong"),
        (status = 503, description = "Busy, starting, or out of time")))]
pub(crate) async fn labels(asked: Asked) -> Result<Response<Body>, ApiError> {
    let Lookup { selectors, range, limit } = Lookup::read(&asked.params)?;
    let Limited { value, truncated } = Box::pin(asked.parts.engine.label_names(selectors, range, limit)).await?;
    Ok(list(value, truncated, |out, name| push_text(out, name)))
}

/// Values of a label.
#[utoipa::path(get, path = "/api/v1/label/{name}/values", tag = "prometheus",
    params(
        ("name" = String, Path, description = "Label name; `U__` in front escapes what is no letter, digit or underscore"),
        ("match[]" = Option<Vec<String>>, Query, description = "Selectors; default all series"),
        ("start" = Option<String>, Query, description = "RFC 3339 or Unix seconds; default the beginning"),
        ("end" = Option<String>, Query, description = "As `start`; default the end"),
        ("limit" = Option<usize>, Query, description = "The most values wanted")),
    responses((status = 200, description = "Sorted values"), (status = 400, description = "A parameter is wrong"),
        (status = 503, description = "Busy, starting, or out of time")))]
pub(crate) async fn label_values(segment: Result<Segment, Problem>, asked: Asked) -> Result<Response<Body>, ApiError> {
    let Segment(written) = segment.map_err(|_| ApiError::bad_data("invalid label name: not UTF-8"))?;
    let name = unescaped(&written).unwrap_or(written);
    if name.is_empty() {
        return Err(ApiError::bad_data("invalid label name: \"\""));
    }
    let Lookup { selectors, range, limit } = Lookup::read(&asked.params)?;
    let found = Box::pin(asked.parts.engine.label_values(&name, selectors, range, limit)).await?;
    Ok(list(found.value, found.truncated, |out, value| push_text(out, value)))
}

/// An answer that is a list, in pieces where it is long.
fn list<T: Send + 'static>(items: Vec<T>, truncated: bool, push: fn(&mut Vec<u8>, &T)) -> Response<Body> {
    let remarks = Remarks::default().truncated(truncated);
    if items.len() <= LIGHT_ITEMS_MAX {
        return envelope::success(&remarks, |out| push_list(out, &items, push));
    }
    let mut items = items.into_iter();
    let mut out = Vec::new();
    envelope::push_head(&mut out);
    out.push(b'[');
    let (mut first, mut over) = (true, false);
    let pieces = std::iter::from_fn(move || {
        if over {
            return None;
        }
        while out.len() < PIECE_BYTES {
            let Some(item) = items.next() else {
                out.push(b']');
                envelope::push_tail(&mut out, &remarks);
                over = true;
                break;
            };
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            push(&mut out, &item);
        }
        Some(std::mem::take(&mut out))
    });
    envelope::json(pieces::body(pieces))
}

/// The name that an escaped one stands for: `__` is an underscore and `_2e_` the character of that code. `None` where
/// it is not escaped, or not rightly.
fn unescaped(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix(ESCAPED)?;
    let mut out = String::with_capacity(rest.len());
    while let Some((plain, escape)) = rest.split_once('_') {
        out.push_str(plain);
        let (code, behind) = escape.split_once('_')?;
        let character = match code {
            "" => '_',
            code if code.len() <= 6 && code.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u32::from_str_radix(code, 16).ok().and_then(char::from_u32)?
            }
            _ => return None,
        };
        out.push(character);
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read_as_prometheus_writes_them() {
        for (written, name) in [
            ("U__http_2e_status", Some("http.status")),
            ("U___5f_a", Some("_a")),
            ("U__a__b", Some("a_b")),
            ("U___e9_t_e9_", Some("été")),
            ("U___1F600_", Some("😀")),
            ("U__", Some("")),
            ("http_status", None),
            ("U__a_", None),
            ("U__a_2", None),
            ("U__a_xyz_", None),
            ("U__a_d800_", None),
            ("U__a_0000061_", None),
        ] {
            assert_eq!(unescaped(written).as_deref(), name, "{written}");
        }
    }

    #[test]
    fn both_ends_of_a_range_belong_to_it() {
        let of = |start: Option<i64>, end: Option<i64>| {
            range(start.map(TimestampMs), end.map(TimestampMs)).map(|range| range.map(|r| (r.start().0, r.end().0)))
        };
        assert_eq!(of(None, None).expect("all time"), None);
        assert_eq!(of(Some(5), Some(5)).expect("one time"), Some((5, 6)));
        assert_eq!(of(Some(5), None).expect("from then"), Some((5, TimestampMs::MAX.0)));
        assert!(of(Some(5), Some(3)).is_err());
    }

    #[test]
    fn selectors_are_checked_one_by_one() {
        let ask = |text: &str| selectors(&Params::parse_any(Some(text)));
        assert_eq!(ask("match[]=up&match%5B%5D=%7Bjob%3D%22a%22%7D").expect("two").len(), 2);
        assert_eq!(ask("").expect("none").len(), 0);
        let wrong = ask("match[]=up&match[]=%7B%7D").expect_err("nothing in braces");
        assert!(wrong.message.starts_with("invalid parameter \"match[]\": 1:1: parse error:"), "{}", wrong.message);
        assert!(ask(&"match[]=up&".repeat(SELECTORS_MAX + 1)).is_err());
    }
}
