use super::*;

const ESCAPED: Translation = Translation::UnderscoreEscapingWithSuffixes;

fn metric(translation: Translation, name: &str, unit: &str, kind: Kind) -> String {
    translation.metric(name, unit, kind).expect("a name")
}

/// Lines of `tests/golden/push`, which otlptranslator itself wrote, by their fields.
fn golden(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split('\t').collect()).collect()
}

fn strategy(number: &str) -> Translation {
    match number {
        "0" => Translation::UnderscoreEscapingWithSuffixes,
        "1" => Translation::UnderscoreEscapingWithoutSuffixes,
        "2" => Translation::NoUtf8EscapingWithSuffixes,
        _ => Translation::NoTranslation,
    }
}

#[test]
fn names_of_metrics_are_those_of_prometheus() {
    for fields in golden(include_str!("../../../../../tests/golden/push/v1/otlp.metric_names.txt")) {
        let [number, name, unit, kind, expected] = fields[..] else { panic!("{fields:?}") };
        let kind = match kind {
            "gauge" => Kind::Gauge,
            "counter" => Kind::Counter,
            _ => Kind::Other,
        };
        let built = strategy(number).metric(name, unit, kind);
        assert_eq!(built.as_deref().unwrap_or("!"), expected, "{fields:?}");
    }
}

#[test]
fn names_of_labels_are_those_of_prometheus() {
    for fields in golden(include_str!("../../../../../tests/golden/push/v1/otlp.label_names.txt")) {
        let [number, sanitize, preserve, name, expected] = fields[..] else { panic!("{fields:?}") };
        let rules = LabelNames {
            underscore_sanitization: sanitize == "true",
            preserve_multiple_underscores: preserve == "true",
        };
        let built = strategy(number).label(name, rules);
        assert_eq!(built.as_deref().unwrap_or("!"), expected, "{fields:?}");
    }
}

#[test]
fn units_in_words_are_those_of_prometheus() {
    for fields in golden(include_str!("../../../../../tests/golden/push/v1/otlp.units.txt")) {
        assert_eq!(unit_in_words(fields[0]), fields[1], "{fields:?}");
    }
}

/// The results are those of `MetricNamer.Build` of otlptranslator 1.0.0 for the same names.
#[test]
fn units_and_kinds_become_suffixes() {
    use Kind::{Counter, Gauge, Other};
    let cases = [
        ("http.server.request.duration", "s", Other, "http_server_request_duration_seconds"),
        ("http.server.requests", "{request}", Counter, "http_server_requests_total"),
        ("requests_total", "1", Counter, "requests_total"),
        ("total.requests", "", Counter, "requests_total"),
        ("system.memory.utilization", "1", Gauge, "system_memory_utilization_ratio"),
        ("system.disk.io", "By", Counter, "system_disk_io_bytes_total"),
        ("network.throughput", "By/s", Gauge, "network_throughput_bytes_per_second"),
        ("speed_km_per_hour", "km/h", Gauge, "speed_km_per_hour_per_hour"),
        ("hops", "{hop}/d", Gauge, "hops_per_day"),
        ("memory_bytes", "By", Gauge, "memory_bytes"),
        ("temperature", "Cel", Gauge, "temperature_celsius"),
        ("odd.unit", "$€/min", Gauge, "odd_unit_per_min"),
        ("__a__b..c__", "", Gauge, "a_b_c"),
        ("2xx.responses", "", Gauge, "_2xx_responses"),
        ("job:latency:p99", "ms", Gauge, "job:latency:p99_milliseconds"),
        ("größe", "m", Gauge, "gr_e_meters"),
        ("broken.counter", "1", Counter, "broken_counter_total"),
    ];
    for (name, unit, kind, expected) in cases {
        assert_eq!(metric(ESCAPED, name, unit, kind), expected, "{name} in {unit}");
    }
}

#[test]
fn without_suffixes_names_are_only_escaped() {
    let plain = Translation::UnderscoreEscapingWithoutSuffixes;
    assert_eq!(metric(plain, "http.server.requests", "s", Kind::Counter), "http_server_requests");
    assert_eq!(metric(plain, "__a..b", "s", Kind::Other), "__a_b");
    assert_eq!(metric(plain, "2xx", "", Kind::Other), "_2xx");
}

#[test]
fn without_escaping_suffixes_stand_behind_the_name_as_it_is() {
    use Kind::{Counter, Gauge, Other};
    let utf8 = Translation::NoUtf8EscapingWithSuffixes;
    let cases = [
        ("http.server.duration", "s", Other, "http.server.duration_seconds"),
        ("http.requests", "", Counter, "http.requests_total"),
        ("http.requests.total", "", Counter, "http.requests_total"),
        ("disk.io.bytes", "By", Counter, "disk.io.bytes_total"),
        ("cpu.utilization.ratio", "1", Gauge, "cpu.utilization_ratio"),
        ("net", "By/s", Counter, "net_bytes_per_second_total"),
        ("größe", "m", Gauge, "größe_meters"),
    ];
    for (name, unit, kind, expected) in cases {
        assert_eq!(metric(utf8, name, unit, kind), expected, "{name} in {unit}");
    }
    assert_eq!(metric(Translation::NoTranslation, "a.b", "s", Counter), "a.b");
}

#[test]
fn names_of_which_nothing_is_left_are_told() {
    assert!(ESCAPED.metric("...", "", Kind::Gauge).is_err());
    assert!(ESCAPED.metric("", "", Kind::Gauge).is_err());
    assert!(Translation::UnderscoreEscapingWithoutSuffixes.metric("_ä_", "", Kind::Gauge).is_err());
    assert!(Translation::NoTranslation.metric("", "", Kind::Gauge).is_err());
}

#[test]
fn labels_are_escaped_by_the_rules_that_are_chosen() {
    let label = |name, underscore_sanitization, preserve_multiple_underscores| {
        let rules = LabelNames { underscore_sanitization, preserve_multiple_underscores };
        ESCAPED.label(name, rules).expect("a name").into_owned()
    };
    for (name, by_default, collapsed) in [
        ("http.method", "http_method", "http_method"),
        ("a..b", "a__b", "a_b"),
        ("_private", "key_private", "key_private"),
        ("__reserved__x__", "__reserved__x__", "__reserved_x__"),
        ("2nd", "key_2nd", "key_2nd"),
        ("straße", "stra_e", "stra_e"),
    ] {
        assert_eq!(label(name, true, true), by_default);
        assert_eq!(label(name, true, false), collapsed);
    }
    assert_eq!(label("_private", false, true), "_private");
    let rules = LabelNames::default();
    assert_eq!(Translation::NoTranslation.label("http.method", rules).expect("as it is"), "http.method");
    for name in ["", "_", "___"] {
        assert!(Translation::NoTranslation.label(name, rules).is_err(), "{name:?}");
    }
    assert!(ESCAPED.label("..", rules).is_err());
}

#[test]
fn metadata_has_the_unit_in_words() {
    for (unit, words) in [("s", "seconds"), ("By/s", "bytes_per_second"), ("1", ""), ("{x}", ""), ("{x}/h", "per_hour")]
    {
        assert_eq!(unit_in_words(unit), words);
    }
}
