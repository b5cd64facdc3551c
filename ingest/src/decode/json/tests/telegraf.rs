//! Telegraf's metrics, which have fields in place of a value.

use super::*;

#[test]
fn what_telegraf_writes_is_read() {
    let cpu = r#"{"fields":{"usage_idle":99.1,"n_cpus":8,"value":-1,"on":true,"off":false,"model":"x"},"name":"cpu","tags":{"host":"a"},"timestamp":1742221800}"#;
    let names = ["cpu_usage_idle", "cpu_n_cpus", "cpu", "cpu_on", "cpu_off"];
    let expected: Points = names
        .iter()
        .zip([99.1, 8.0, -1.0, 1.0, 0.0])
        .map(|(name, value)| (format!(r#"{name}{{host="a"}}"#), NOW_MS, value))
        .collect();
    let (points, decoded) = read(cpu);
    assert_eq!((&points, decoded.points_seen, decoded.dropped.strings), (&expected, 5, 1));

    let swap = r#"{"fields":{"used":0},"name":"swap","tags":{},"timestamp":1742221800000}"#;
    let (points, decoded) = read(&format!(r#"{{"metrics":[{cpu},{swap}]}}"#));
    assert_eq!(points[..5], expected);
    assert_eq!((&points[5], decoded.points_seen), (&("swap_used{}".to_owned(), NOW_MS, 0.0), 6));
}

#[test]
fn telegraf_s_times_are_read_in_each_of_its_units() {
    for time in ["1742221800", "1742221800000", "1742221800000999", "1742221800000999999"] {
        let (points, _) = read(&format!(r#"{{"fields":{{"value":1}},"name":"m","tags":{{}},"timestamp":{time}}}"#));
        assert_eq!(points, [("m{}".to_owned(), NOW_MS, 1.0)], "{time}");
    }
}

#[test]
fn bad_fields_are_refused_by_index_and_good_ones_kept() {
    let body = r#"[
        {"name":"m","fields":{"a":1,"b":null,"s":"text","c":[1],"d":1e999,"e":5}},
        {"name":"m","fields":{"a":1,"b":2},"timestamp":"yesterday"},
        {"name":"m","fields":{"a":1,"b":2},"tags":{"__tenant__":"x"}},
        {"fields":{"a":1}},
        {"name":"m","fields":[1]},
        {"name":"m","fields":{"s":"text"},"timestamp":"yesterday"},
        {"name":"m","fields":{}},
        {"name":"m","fields":null},
        {"name":"m","value":9,"fields":{"a":1}}
    ]"#;
    let (points, decoded) = read(body);
    assert_eq!(values(&points), [1.0, 5.0, 9.0]);
    let expected = [
        (1, "invalid_value"),
        (2, "invalid_value"),
        (3, "invalid_value"),
        (5, "invalid_timestamp"),
        (7, "invalid_labels"),
        (9, "invalid_labels"),
        (10, "malformed"),
        (11, "invalid_value"),
    ];
    assert_eq!(codes(&decoded), expected);
    assert_eq!((decoded.points_seen, decoded.dropped.strings), (13, 2));
    assert_eq!((0..3).map(|at| decoded.origins.index_of(at)).collect::<Vec<_>>(), [0, 4, 12]);
}
