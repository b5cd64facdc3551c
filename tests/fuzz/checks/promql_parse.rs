//! What holds for any text that claims to be an expression.

use promql::{ParseOptions, format, parse_expr};

/// # Panics
/// If the parser panics, an error's place is outside the text, or what is printed prints as another text.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let all = ParseOptions::ALL;
    match parse_expr(text, all) {
        Ok(expr) => {
            assert!(expr.span.end <= text.len());
            let printed = expr.to_string();
            let again = parse_expr(&printed, all).expect(&printed);
            assert_eq!(again.to_string(), printed, "{text}");
            let lines = format(&expr);
            let again = parse_expr(&lines, all).expect(&lines);
            assert_eq!((again.to_string(), format(&again)), (printed, lines), "{text}");
        }
        Err(error) => assert!(error.span.start <= error.span.end && error.span.end <= text.len(), "{error:?}"),
    }
    // Without the switches less is accepted, and nothing means another thing.
    if let Ok(expr) = parse_expr(text, ParseOptions::default()) {
        assert_eq!(parse_expr(text, all).expect(text).to_string(), expr.to_string());
    }
}
