//! Query parameters: every one is known by name, or the request is refused and told which is not.

use std::str::FromStr;

use query::QueryError;
use url::form_urlencoded;

use super::metrics_read::query_problem;
use super::problem::Problem;

/// The parameters of a request, each of an allowed name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

/// A parameter that a path takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Param {
    /// At most once.
    One(&'static str),
    /// As often as wanted.
    Many(&'static str),
}

impl Param {
    fn name(self) -> &'static str {
        match self {
            Self::One(name) | Self::Many(name) => name,
        }
    }
}

impl Params {
    /// Reads a query string against the parameters that the path takes.
    pub(crate) fn parse(query: Option<&str>, allowed: &[Param]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
            let Some(param) = allowed.iter().find(|param| param.name() == name) else {
                let names: Vec<&str> = allowed.iter().map(|param| param.name()).collect();
                return Err(Problem::bad_request(format!(
                    "unknown parameter {name:?}; known are {}",
                    names.join(", ")
                )));
            };
            if matches!(param, Param::One(_)) && pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(Problem::bad_request(format!("parameter {name:?} stands twice")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { pairs })
    }

    /// Reads whatever stands there, for protocols whose clients send parameters of their own.
    pub(crate) fn parse_any(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or("").as_bytes());
        Self { pairs: pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect() }
    }

    /// Whether a name or a value has this character.
    pub(crate) fn any_contains(&self, character: char) -> bool {
        self.pairs.iter().any(|(name, value)| name.contains(character) || value.contains(character))
    }

    /// The value of a parameter; empty counts as not given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, Problem> {
        self.get(name).ok_or_else(|| Problem::bad_request(format!("parameter {name:?} is missing")))
    }

    /// A value that is one of the words of a query.
    pub(crate) fn word<T: FromStr<Err = QueryError>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.get(name).map(str::parse).transpose().map_err(query_problem)
    }

    /// A positive count.
    pub(crate) fn count(&self, name: &str) -> Result<Option<usize>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse() {
            Ok(count) if count > 0 => Ok(Some(count)),
            _ => Err(Problem::bad_request(format!("{name}={text:?} is not a positive whole number"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: [Param; 2] = [Param::One("metric"), Param::Many("match[]")];

    #[test]
    fn an_unknown_parameter_is_named() {
        let problem = Params::parse(Some("metric=a&metrik=b"), &ALLOWED).expect_err("a typo");
        assert_eq!(problem.detail, "unknown parameter \"metrik\"; known are metric, match[]");
    }

    #[test]
    fn a_repeat_is_refused_where_one_value_is_meant() {
        assert!(Params::parse(Some("metric=a&metric=b"), &ALLOWED).is_err());
        let params = Params::parse(Some("match[]=a&match%5B%5D=b"), &ALLOWED).expect("a list");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn words_and_counts_are_checked() {
        let params = Params::parse_any(Some("fill=never&limit=0&agg=p99"));
        let problem = params.word::<query::Fill>("fill").expect_err("no such word");
        assert!(problem.detail.contains("\"never\""), "{}", problem.detail);
        assert_eq!(params.word("agg").expect("known"), Some(query::Agg::Quantile(0.99)));
        assert!(params.count("limit").is_err());
    }
}
