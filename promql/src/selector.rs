//! Series selectors: `cpu_usage{env="production",host=~"a.*"}`, `{"http.requests", code!="200"}`.
//!
//! text → `vector_selector` of the grammar (`parser`) → checks → `Vec<LabelMatcher>`, the name first

use schemas::LabelMatcher;
use schemas::labels::METRIC_NAME;

use crate::error::ParseError;
use crate::parser::{ParseOptions, Parser};

/// Parses a series selector. At least one matcher must refuse the empty string, as in Prometheus.
pub fn parse_selector(text: &str) -> Result<Vec<LabelMatcher>, ParseError> {
    let selector = Parser::new(text, ParseOptions::default()).lone_selector()?;
    let mut out = Vec::with_capacity(selector.matchers.len() + 1);
    out.extend(selector.name.map(|name| LabelMatcher::equal(METRIC_NAME, name)));
    out.extend(selector.matchers);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Vec<String> {
        parse_selector(text).expect(text).iter().map(ToString::to_string).collect()
    }

    fn refused(text: &str) -> String {
        parse_selector(text).expect_err(text).to_string()
    }

    #[test]
    fn a_selector_is_a_name_and_matchers() {
        assert_eq!(printed("up"), [r#"__name__="up""#]);
        assert_eq!(printed("job:rate:5m"), [r#"__name__="job:rate:5m""#]);
        assert_eq!(
            printed(r#"cpu_usage{env="production",host=~"a.*"}"#),
            [r#"__name__="cpu_usage""#, r#"env="production""#, r#"host=~"a.*""#]
        );
        assert_eq!(
            printed("{ a != 'x' , b =~ `y|z\\d`, }"),
            [r#"a!="x""#, r#"b=~"y|z\\d""#],
            "spaces, both other quotes and a last comma"
        );
    }

    #[test]
    fn names_may_be_quoted_and_words_of_the_language_may_name_metrics() {
        assert_eq!(
            printed(r#"{"http.requests", "status.code"="200"}"#),
            [r#"__name__="http.requests""#, r#"status.code="200""#]
        );
        assert_eq!(printed(r#"{"up"}"#), [r#"__name__="up""#]);
        assert_eq!(printed("sum"), [r#"__name__="sum""#]);
        assert_eq!(printed("up # comment\n{a='1'}"), [r#"__name__="up""#, r#"a="1""#]);
    }

    #[test]
    fn errors_are_in_prometheus_words_with_their_place() {
        let cases = [
            ("", "unknown position: parse error: unexpected end of input"),
            ("up{", "1:4: parse error: unexpected end of input inside braces"),
            ("{a}", "1:3: parse error: unexpected \"}\" in label matching, expected label matching operator"),
            ("{a=}", "1:4: parse error: unexpected \"}\" in label matching, expected string"),
            ("{a=b}", "1:4: parse error: unexpected identifier \"b\" in label matching, expected string"),
            ("{,}", "1:2: parse error: unexpected \",\" in label matching, expected identifier or \"}\""),
            (
                "{a='b' c='d'}",
                "1:8: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"",
            ),
            ("{a>='b'}", "1:3: parse error: unexpected character inside braces: '>'"),
            ("{a!b}", "1:3: parse error: unexpected character after '!' inside braces: 'b'"),
            ("{a='b}", "1:4: parse error: unterminated quoted string"),
            ("{a=`b}", "1:4: parse error: unterminated raw string"),
            ("up[5m]", "1:3: parse error: unexpected \"[\""),
            ("up}", "1:3: parse error: unexpected character: '}'"),
            ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
            ("{\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
            ("{a=~'.*'}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
            ("up{__name__='x'}", "1:1: parse error: metric name must not be set twice: \"up\" or \"x\""),
            ("up{'x'}", "1:1: parse error: metric name must not be set twice: \"up\" or \"x\""),
            ("bool", "1:1: parse error: unexpected <bool>"),
        ];
        for (text, expected) in cases {
            assert_eq!(refused(text), expected, "{text}");
        }
        assert_eq!(refused("{a=~'('}"), "1:2: parse error: error parsing regexp: missing closing ): `(`");
    }

    #[test]
    fn no_text_panics() {
        let pieces = ["{", "}", "a", "=", "!", "~", "\"", "'", "`", "\\", ",", "é", "\n", "#", ":", "0", " ", "😀"];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    for d in pieces {
                        drop(parse_selector(&[a, b, c, d, a].concat()));
                    }
                }
            }
        }
    }
}
