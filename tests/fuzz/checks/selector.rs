//! What holds for any text that claims to be a series selector or a duration.

use promql::{parse_duration, parse_selector};

/// # Panics
/// If a parser panics, or what it reads is another thing when it is written out and read again.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match parse_selector(text) {
        Ok(matchers) => {
            assert!(matchers.iter().any(|matcher| !matcher.matches_absent()), "every series would be meant");
            let written: Vec<String> = matchers
                .iter()
                .map(|m| format!("{}{}{}", quoted(m.name()), m.op().as_str(), quoted(m.value())))
                .collect();
            let again = parse_selector(&format!("{{{}}}", written.join(","))).expect("a selector of matchers alone");
            let parts = |m: &schemas::LabelMatcher| (m.name().to_owned(), m.op(), m.value().to_owned());
            assert_eq!(again.iter().map(parts).collect::<Vec<_>>(), matchers.iter().map(parts).collect::<Vec<_>>());
        }
        Err(error) => assert!(error.span.start <= error.span.end && error.span.end <= text.len(), "{error:?}"),
    }
    if let Ok(duration) = parse_duration(text) {
        assert_eq!(parse_duration(&duration.to_string()), Ok(duration));
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
