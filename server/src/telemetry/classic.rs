//! OpenMetrics text rewritten as Prometheus text 0.0.4, for scrapers that do not ask for the former.
//!
//! The sample lines are the same; the descriptions are not: there a counter's description names the family, here it
//! names the sample (`_total`), `info` and `stateset` are gauges, `unknown` is `untyped`, and units and the end mark
//! are left out.

/// Rewrites a whole exposition.
pub(super) fn from_openmetrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut helps: Vec<(&str, &str)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("# ") {
            None => {
                out.push_str(without_exemplar(line));
                out.push('\n');
            }
            Some(comment) => describe(comment, &mut helps, &mut out),
        }
    }
    out
}

/// `HELP` precedes `TYPE` there, and only the type tells the name here: the text waits for it.
fn describe<'a>(comment: &'a str, helps: &mut Vec<(&'a str, &'a str)>, out: &mut String) {
    let mut words = comment.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("HELP"), Some(family), Some(help)) => helps.push((family, help)),
        (Some("TYPE"), Some(family), Some(kind)) => {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "stateset" => ("", "gauge"),
                "unknown" => ("", "untyped"),
                "gaugehistogram" => ("", "histogram"),
                other => ("", other),
            };
            if let Some((_, help)) = helps.pop().filter(|(described, _)| *described == family) {
                out.push_str(&format!("# HELP {family}{suffix} {help}\n"));
            }
            out.push_str(&format!("# TYPE {family}{suffix} {kind}\n"));
        }
        _ => {}
    }
}

/// An exemplar follows the value behind ` # {`.
fn without_exemplar(line: &str) -> &str {
    line.find(" # {").map_or(line, |at| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_rewritten_and_samples_kept() {
        let open = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                    a_seconds_total 2.5 # {trace=\"x\"} 1\n# HELP b What.\n# TYPE b unknown\nb{l=\"# \"} 1\n# EOF\n";
        let classic = "# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\na_seconds_total 2.5\n\
                       # HELP b What.\n# TYPE b untyped\nb{l=\"# \"} 1\n";
        assert_eq!(from_openmetrics(open), classic);
    }
}
