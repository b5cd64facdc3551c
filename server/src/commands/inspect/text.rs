//! What `inspect` found, for people.

use std::fmt::Write;

use serde_json::Value;

/// Sections with aligned columns.
pub(super) fn render(found: &Value) -> String {
    let (local, map) = (&found["local"], &found["tiers"]);
    let mut out = format!("{}\n\n", word(&found["dir"]));
    for (name, value) in [
        ("series", &local["series"]),
        ("active epoch", &local["active_epoch"]),
        ("checkpoint (epoch)", &local["checkpoint"]),
        ("points in the head", &local["head_points"]),
        ("bytes of log", &local["log_bytes"]),
        ("tier map version", &map["version"]),
        ("raw points kept from", &map["intake_floor"]),
        ("sealed hours", &Value::from(hours(&map["sealed"]))),
        ("waiting for archive", &Value::from(hours(&map["waiting_for_archive"]))),
        ("quarantined hours", &Value::from(list(&map["quarantined"]).len())),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<22}{}", word(value));
    }
    let mut section = |title: &str, head: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            let _ = write!(out, "\n{title}\n{}", table(head, &rows));
        }
    };
    let columns = |value: &Value, names: &[&str]| -> Vec<Vec<String>> {
        list(value).iter().map(|row| names.iter().map(|name| word(&row[*name])).collect()).collect()
    };
    let families = ["name", "keys", "bytes", "files"];
    section("Column families (keys are estimates)", &families, columns(&local["families"], &families));
    let runs = list(&local["runs"])
        .iter()
        .map(|run| vec![word(&run["epoch"]), word(&run["points"]), hours(&run["hours"]).to_string()]);
    section("Runs", &["epoch", "points", "hours"], runs.collect());
    let owners = ["class", "form", "resolution", "local_from", "cold_from"];
    section("Owners", &owners, columns(&map["owners"], &owners));
    let archive = ["table", "version", "files_on_disk", "bytes_on_disk"];
    section("Archive", &archive, columns(&found["archive"], &archive));
    let quarantine = ["hour", "reason"];
    section("Quarantine", &quarantine, columns(&map["quarantined"], &quarantine));
    out
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Hours in a list of ranges.
fn hours(ranges: &Value) -> u64 {
    list(ranges).iter().filter_map(|range| range["hours"].as_u64()).sum()
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Columns as wide as their widest cell; numbers to the right.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([head[column].len()]).max();
    let numeric = |column: usize| rows.iter().all(|row| row[column].bytes().all(|b| b.is_ascii_digit() || b == b'-'));
    let mut out = String::new();
    let heads = head.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for row in std::iter::once(&heads).chain(rows) {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column).unwrap_or(0);
            if numeric(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        out.push_str("  ");
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let rows = vec![vec!["run".to_owned(), "7".to_owned()], vec!["raw_20778".to_owned(), "12345".to_owned()]];
        assert_eq!(table(&["name", "keys"], &rows), "  name        keys\n  run            7\n  raw_20778  12345\n");
    }
}
