//! Rules for the intake as an operator writes them: in `controls:` of the file, and to `PUT /api/v1/controls`.
//!
//! YAML or JSON ─▶ [`RuleSpec`] ─▶ [`rules`] ─▶ [`ingest::controls::Rules`]

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use ingest::controls::{Action, Rule, Rules};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of a selector. A regular expression may take thousands of times as much once it is compiled.
const SELECTOR_BYTES_MAX: usize = 4 << 10;

/// What a rule does, where that is a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    /// Disables: nothing of it is stored.
    Drop,
    /// Exempts from the rules that follow.
    Keep,
}

/// A rule as it is written: a name, a selector, and one thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSpec {
    pub(crate) name: String,
    /// A selector such as `{__name__=~"debug_.*"}`.
    #[serde(rename = "match")]
    pub(crate) selector: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drop_labels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rename_labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keep_one_in: Option<NonZeroU32>,
}

impl RuleSpec {
    fn rule(&self) -> Result<Rule, String> {
        if self.selector.len() > SELECTOR_BYTES_MAX {
            return Err(format!(
                "match has {} bytes, but at most {SELECTOR_BYTES_MAX} are allowed",
                self.selector.len()
            ));
        }
        let matchers =
            promql::parse_selector(&self.selector).map_err(|error| format!("match {:?}: {error}", self.selector))?;
        Rule::new(self.name.as_str(), matchers, self.action()?).map_err(|error| error.to_string())
    }

    fn action(&self) -> Result<Action, String> {
        let word = self.action.map(|word| match word {
            Word::Drop => Action::Drop,
            Word::Keep => Action::Keep,
        });
        let drop_labels = self.drop_labels.as_ref().map(|names| Action::DropLabels(names.iter().cloned().collect()));
        let rename_labels = self.rename_labels.clone().map(Action::RenameLabels);
        let said = [word, drop_labels, rename_labels, self.keep_one_in.map(Action::KeepOneIn)];
        let mut said: Vec<Action> = said.into_iter().flatten().collect();
        match (said.pop(), said.is_empty()) {
            (Some(action), true) => Ok(action),
            (Some(_) | None, _) => {
                Err("one of action (drop or keep), drop_labels, rename_labels and keep_one_in is to be given"
                    .to_owned())
            }
        }
    }
}

/// What is wrong with one rule of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuleFault {
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) what: String,
}

impl std::fmt::Display for RuleFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rule {:?}: {}", self.name, self.what)
    }
}

/// Checks a list; every rule that is wrong is told, by its place.
pub(crate) fn rules<'s>(specs: impl IntoIterator<Item = &'s RuleSpec>) -> Result<Rules, Vec<RuleFault>> {
    let (mut good, mut faults, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (index, spec) in specs.into_iter().enumerate() {
        names.push(spec.name.as_str());
        match spec.rule() {
            Ok(rule) => good.push(rule),
            Err(what) => faults.push(RuleFault { index, name: spec.name.clone(), what }),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Rules::new(good).map_err(|error| {
        let name = names.get(error.index).copied().unwrap_or_default().to_owned();
        vec![RuleFault { index: error.index, name, what: error.source.to_string() }]
    })
}

/// Reads a list as JSON. A rule that cannot be read is told by its place, as one that is wrong.
pub(crate) fn from_json(body: &[u8]) -> Result<Vec<RuleSpec>, Vec<RuleFault>> {
    let whole = |error: serde_json::Error| {
        vec![RuleFault { index: 0, name: String::new(), what: format!("a list of rules is wanted: {error}") }]
    };
    let values: Vec<Value> = serde_json::from_slice(body).map_err(whole)?;
    let (mut specs, mut faults) = (Vec::new(), Vec::new());
    for (index, value) in values.into_iter().enumerate() {
        let name = value["name"].as_str().unwrap_or_default().to_owned();
        match serde_json::from_value(value) {
            Ok(spec) => specs.push(spec),
            Err(error) => faults.push(RuleFault { index, name, what: error.to_string() }),
        }
    }
    if faults.is_empty() { Ok(specs) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Rules, Vec<RuleFault>> {
        rules(&from_json(json.as_bytes())?)
    }

    fn told(json: &str) -> String {
        let faults = read(json).expect_err(json);
        faults.iter().map(|fault| format!("{} {fault}", fault.index)).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn every_kind_of_rule_is_read_and_written_alike() {
        let json = r#"[{"name":"api","match":"up{job=\"api\"}","action":"keep"},{"name":"no-debug","match":"{__name__=~\"debug_.*\"}","action":"drop"},{"name":"pods","match":"{pod!=\"\"}","drop_labels":["pod","uid"]},{"name":"host","match":"{host!=\"\"}","rename_labels":{"host":"instance"}},{"name":"less","match":"{env=\"dev\"}","keep_one_in":10}]"#;
        let specs = from_json(json.as_bytes()).expect("valid");
        assert_eq!(serde_json::to_string(&specs).expect("text"), json);
        assert_eq!(rules(&specs).expect("valid").len(), 5);
        assert!(read("[]").expect("none").is_empty());
    }

    #[test]
    fn every_rule_that_is_wrong_is_named_with_what_is_wrong() {
        for (json, what) in [
            (r#"{"name":"x"}"#, "0 rule \"\": a list of rules is wanted"),
            (
                r#"[{"name":"x","match":"up","action":"keep"},{"name":"y","match":"up","acton":"drop"}]"#,
                "1 rule \"y\": unknown field `acton`",
            ),
            (r#"[{"name":"x","match":"up","action":"drip"}]"#, "0 rule \"x\": unknown variant `drip`"),
            (r#"[{"name":"x","match":"up{","action":"drop"}]"#, "0 rule \"x\": match \"up{\": "),
            (r#"[{"name":"x","match":"{}","action":"drop"}]"#, "must contain at least one non-empty matcher"),
            (r#"[{"name":"x","match":"{a=~\"(\"}","action":"drop"}]"#, "error parsing regexp: missing closing ): `(`"),
            (r#"[{"name":"x","match":"up"}]"#, "0 rule \"x\": one of action (drop or keep)"),
            (
                r#"[{"name":"x","match":"up","action":"drop","keep_one_in":2}]"#,
                "0 rule \"x\": one of action (drop or keep)",
            ),
            (r#"[{"name":"x","match":"up","keep_one_in":0}]"#, "0 rule \"x\": invalid value: integer `0`"),
            (r#"[{"name":"X","match":"up","action":"drop"}]"#, "0 rule \"X\": a name is 1 to 63 of"),
            (r#"[{"name":"x","match":"up","drop_labels":["__name__"]}]"#, "can be neither dropped nor renamed"),
            (
                r#"[{"name":"x","match":"up","rename_labels":{"a":"c","b":"c"}}]"#,
                "\"a\" and \"b\" are both renamed to \"c\"",
            ),
            (
                r#"[{"name":"x","match":"up","action":"drop"},{"name":"x","match":"up","action":"keep"}]"#,
                "1 rule \"x\": another rule has this name",
            ),
        ] {
            let told = told(json);
            assert!(told.contains(what), "{told} lacks {what}");
        }
        let both = told(
            r#"[{"name":"x","match":"up"},{"name":"ok","match":"up","action":"drop"},{"name":"y","match":"","action":"drop"}]"#,
        );
        assert!(both.starts_with("0 rule \"x\"") && both.contains("; 2 rule \"y\""), "{both}");
    }

    #[test]
    fn a_selector_has_an_end() {
        let long = format!(r#"[{{"name":"x","match":"{{a=\"{}\"}}","action":"drop"}}]"#, "x".repeat(5_000));
        assert!(told(&long).contains("match has 5006 bytes, but at most 4096 are allowed"), "{}", told(&long));
    }
}
