//! Label matchers with Prometheus' meaning: regular expressions are Go's (`dialect`) and anchored, `.` matches
//! newlines, and a label that is absent matches as the empty string.

mod dialect;

use std::fmt;

use regex::Regex;
use thiserror::Error;

/// The bytes that a compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 4 << 20;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl MatchOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// A regular expression that cannot be compiled.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("error parsing regexp: {reason}")]
pub struct BadRegex {
    pub pattern: String,
    pub reason: String,
}

/// One condition on one label.
#[derive(Clone)]
pub struct LabelMatcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<Regex>,
}

impl LabelMatcher {
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self, BadRegex> {
        let (name, value) = (name.into(), value.into());
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(compile(&value)?),
        };
        Ok(Self { name, op, value, regex })
    }

    /// `name="value"`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// `name!="value"`.
    pub fn not_equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::NotEqual, value: value.into(), regex: None }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The text compared with: a value or a pattern.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label value satisfies the matcher; absent labels are asked as `""`.
    pub fn matches(&self, value: &str) -> bool {
        let hit = match &self.regex {
            Some(regex) => regex.is_match(value),
            None => self.value == value,
        };
        match self.op {
            MatchOp::Equal | MatchOp::Regex => hit,
            MatchOp::NotEqual | MatchOp::NotRegex => !hit,
        }
    }

    /// Whether a series without the label satisfies the matcher.
    pub fn matches_absent(&self) -> bool {
        self.matches("")
    }

    /// The values that a pattern such as `a|b|c` names, when it is nothing but literals.
    pub fn literals(&self) -> Option<Vec<&str>> {
        let plain = |text: &str| !text.contains(|c: char| r"\.+*?()[]{}^$".contains(c));
        match self.op {
            MatchOp::Equal => Some(vec![&self.value]),
            MatchOp::Regex if plain(&self.value) => Some(self.value.split('|').collect()),
            MatchOp::Regex | MatchOp::NotEqual | MatchOp::NotRegex => None,
        }
    }
}

/// Compiles a pattern of Go's syntax, which must match a whole text.
pub fn compile(pattern: &str) -> Result<Regex, BadRegex> {
    let bad = |reason: String| BadRegex { pattern: pattern.to_owned(), reason };
    // Its parentheses are balanced, so that it cannot reach out of the group.
    let translated = dialect::translate(pattern).map_err(bad)?;
    regex::RegexBuilder::new(&format!("^(?s:{translated})$"))
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|e| bad(last_line(&e)))
}

fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or("does not compile").trim_start_matches("error: ").to_owned()
}

impl PartialEq for LabelMatcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for LabelMatcher {}

impl fmt::Display for LabelMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

impl fmt::Debug for LabelMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(op: MatchOp, value: &str) -> LabelMatcher {
        LabelMatcher::new("l", op, value).expect("compiles")
    }

    #[test]
    fn regular_expressions_are_anchored_and_dot_matches_newline() {
        assert!(matcher(MatchOp::Regex, "a.c").matches("a\nc"));
        assert!(!matcher(MatchOp::Regex, "b").matches("abc"));
        assert!(!matcher(MatchOp::Regex, "a|b").matches("ab"));
        assert!(matcher(MatchOp::NotRegex, "a.*").matches("b"));
    }

    #[test]
    fn absent_labels_match_as_empty() {
        assert!(matcher(MatchOp::NotEqual, "a").matches_absent());
        assert!(matcher(MatchOp::Regex, ".*").matches_absent());
        assert!(!matcher(MatchOp::Regex, ".+").matches_absent());
    }

    #[test]
    fn a_pattern_cannot_leave_its_group() {
        assert!(LabelMatcher::new("l", MatchOp::Regex, "a)|(b").is_err());
        let error = LabelMatcher::new("l", MatchOp::Regex, "(").expect_err("unbalanced");
        assert!(error.to_string().contains("missing closing ): `(`"), "{error}");
    }

    #[test]
    fn alternatives_of_literals_are_known() {
        assert_eq!(matcher(MatchOp::Regex, "a|b").literals(), Some(vec!["a", "b"]));
        assert_eq!(matcher(MatchOp::Regex, "a.*").literals(), None);
    }
}
