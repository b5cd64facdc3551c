use std::collections::HashMap;
use std::path::Path;

use schemas::DurationMs;

use super::sections::Config;
use super::{Overrides, entries, from_file, from_text, retention_of_json};

fn parse(text: &str) -> Result<Config, super::ConfigError> {
    from_text(text, HashMap::from([("REGION".to_owned(), "eu-west-1".to_owned())]))
}

#[test]
fn no_file_is_all_defaults() {
    let config = from_file(None, &Overrides::default(), HashMap::new()).expect("defaults are valid");
    assert_eq!(config.listen.to_string(), "127.0.0.1:9464");
    assert_eq!(entries::of(&config), entries::of(&parse("# nothing\n").expect("a comment is a configuration")));
}

#[test]
fn the_skeleton_of_the_documentation_is_the_defaults() {
    let text = r#"
data_dir: ./data
listen: 127.0.0.1:9464
object_store: { url: "", options: {} }
durability: normal
seal: { lateness: 10m }
archive: { every: 1h }
retention: { hot.raw: 7d, warm.rollup_1m: 30d, warm.rollup_1h: 30d, cold.raw: 365d, cold.rollup_1m: 730d, cold.rollup_1h: 1825d }
limits: { body: 32MiB, labels_per_series: 64, series_per_metric: 5000000, new_series_per_second: 500000, query_memory: 512MiB, query_timeout: 30s }
"#;
    assert_eq!(entries::changes(&Config::default(), &parse(text).expect("valid")), []);
}

#[test]
fn the_example_file_shows_every_key_with_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/thermocline.yml");
    let example = from_file(Some(&path), &Overrides::default(), HashMap::new()).expect("the example is valid");
    assert_eq!(entries::changes(&Config::default(), &example), [], "the example shows the defaults");
    let text = std::fs::read_to_string(&path).expect("readable");
    for entry in entries::of(&Config::default()) {
        let key = entry.key.split('.').next_back().unwrap_or(&entry.key);
        assert!(text.contains(&format!("{key}:")), "the example lacks {}", entry.key);
    }
}

#[test]
fn every_key_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = std::fs::read_to_string(path).expect("readable");
    for entry in entries::of(&Config::default()) {
        let row = format!("| `{}` | `{}` |", entry.key, entry.shown());
        assert!(text.contains(&row), "docs/configuration.md lacks the row {row}");
    }
}

#[test]
fn an_unknown_key_is_an_error_with_its_line() {
    let error = parse("data_dir: x\nseal:\n  lateness: 10m\n  lateniss: 5m\n").expect_err("a typo");
    assert_eq!(error.line(), Some(4));
    assert!(error.to_string().contains("lateniss"), "{error}");
}

#[test]
fn a_wrong_value_is_an_error_with_its_line() {
    for (text, line, word) in [
        ("limits:\n  body: 64Mi\n", 2, "64Mi"),
        ("seal:\n  lateness: soon\n", 2, "soon"),
        ("\nlisten: nowhere\n", 2, "socket"),
        ("durability: maybe\n", 1, "maybe"),
        ("data_dir: a\ndata_dir: b\n", 2, "data_dir"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.line(), Some(line), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn cold_data_must_not_go_before_its_hot_copy() {
    let error = parse("retention:\n  hot.raw: 30d\n  cold.raw: 10d\n").expect_err("too short");
    assert_eq!(error.line(), Some(3));
    assert!(error.to_string().contains("cold.raw (10d) must not be shorter than hot.raw (30d)"), "{error}");
    assert!(parse("retention: { hot.raw: 10m }").is_err());
}

#[test]
fn environment_variables_stand_for_values() {
    let config = parse("object_store:\n  options:\n    region: ${REGION}\n").expect("valid");
    assert_eq!(config.object_store.options["region"], "eu-west-1");
    let error = parse("data_dir: x\nnode: ${NO_SUCH_NAME}\n").expect_err("not set");
    assert_eq!(error.line(), Some(2));
    assert!(error.to_string().contains("NO_SUCH_NAME"), "{error}");
}

#[test]
fn flags_win_over_the_file() {
    let overrides = Overrides { listen: Some("127.0.0.1:0".parse().expect("an address")), ..Overrides::default() };
    let config = from_file(None, &overrides, HashMap::new()).expect("valid");
    assert_eq!(config.listen.port(), 0);
}

#[test]
fn an_archive_that_cannot_be_opened_is_an_error_with_its_line() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("thermocline.yml");
    let read = |text: &str, overrides: &Overrides| {
        std::fs::write(&file, text).expect("written");
        from_file(Some(&file), overrides, HashMap::new()).map_err(|e| (e.line(), e.to_string()))
    };
    let wrong = [
        ("data_dir: x\nobject_store:\n  url: ftp://x/y\n", Some(3), "\"ftp\" is none of a path, file, s3, gs, az"),
        ("object_store: { url: 's3://b', options: { endpiont: x } }\n", Some(1), "unknown option \"endpiont\""),
        ("object_store: { url: 's3://b', options: { endpoint: 'http://x' } }\n", Some(1), "set allow_http"),
        ("object_store: { options: { region: x } }\n", None, "a local directory takes no options"),
    ];
    for (text, line, what) in wrong {
        let (found, told) = read(text, &Overrides::default()).expect_err(text);
        assert!(found == line && told.contains(what) && told.contains("thermocline.yml"), "{told}");
    }
    // Options may stand in the file for a store that a flag names; a flag that is wrong is no fault of the file.
    let flag = |url: &str| Overrides { object_store: Some(url.to_owned()), ..Overrides::default() };
    let options = "object_store: { options: { region: x } }\n";
    assert_eq!(read(options, &flag("s3://b/p")).expect("valid").object_store.url.value, "s3://b/p");
    let (line, told) = read(options, &flag("ftp://x")).expect_err("no such scheme");
    assert!(!told.contains("thermocline.yml"), "{told}");
    assert_eq!(line, None);
}

#[test]
fn a_reload_applies_retention_and_names_what_needs_a_restart() {
    let old = parse("object_store: { options: { secret_access_key: a } }").expect("valid");
    let new =
        parse("retention: { hot.raw: 3d }\nobject_store: { options: { secret_access_key: b } }\nlisten: '[::1]:1'")
            .expect("valid");
    let changes = entries::changes(&old, &new);
    let told: Vec<(&str, &str, bool)> = changes.iter().map(|c| (c.key.as_str(), c.to.as_str(), c.applied)).collect();
    assert_eq!(
        told,
        [
            ("listen", "[::1]:1", false),
            ("retention.hot.raw", "3d", true),
            ("object_store.options.secret_access_key", "<secret>", false)
        ]
    );
    assert_eq!(new.retention.durations().hot_raw, DurationMs::days(3));
}

#[test]
fn rules_are_checked_with_their_line_and_a_reload_applies_them() {
    let good = "controls:\n  - { name: a, match: 'up{job=\"x\"}', action: keep }\n  - name: b\n    match: '{pod!=\"\"}'\n    drop_labels: [pod]\n";
    let config = parse(good).expect("valid");
    let changes = entries::changes(&Config::default(), &config);
    let told: Vec<(&str, &str, bool)> = changes.iter().map(|c| (c.key.as_str(), c.to.as_str(), c.applied)).collect();
    let rules = r#"[{"name":"a","match":"up{job=\"x\"}","action":"keep"},{"name":"b","match":"{pod!=\"\"}","drop_labels":["pod"]}]"#;
    assert_eq!(told, [("controls", rules, true)]);
    for (text, line, what) in [
        (
            "controls:\n  - { name: a, match: up, action: keep }\n  - { name: a, match: up, action: drop }\n",
            3,
            "controls: rule \"a\": another rule has this name",
        ),
        (
            "controls:\n  - { name: a, match: up, action: keep }\n  - { name: b, match: 'up{' , action: drop }\n",
            3,
            "controls: rule \"b\": match \"up{\"",
        ),
        ("controls:\n  - name: a\n    match: up\n    keep_one_of: 3\n", 4, "keep_one_of"),
        ("controls:\n  - name: a\n    match: up\n    keep_one_in: 0\n", 4, "expected a nonzero u32"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.line() == Some(line) && error.to_string().contains(what), "{text}{error}");
    }
}

#[test]
fn an_error_never_shows_a_secret_from_the_environment() {
    let environment = HashMap::from([("KEY".to_owned(), "hunter2".to_owned())]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("thermocline.yml");
    for text in [
        "limits:\n  body: ${KEY}\n",
        "log: { level: '${KEY}=x=y' }\n",
        "log:\n  level: ${KEY}\n",
        "object_store:\n  url: ftp://${KEY}\n",
    ] {
        std::fs::write(&file, text).expect("written");
        let error = from_file(Some(&file), &Overrides::default(), environment.clone()).expect_err(text);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn a_plan_takes_some_durations_and_keeps_the_rest() {
    let current = schemas::Retention::default();
    let planned = retention_of_json(br#"{"hot.raw": "3d"}"#, current).expect("valid");
    assert_eq!((planned.hot_raw, planned.cold_raw), (DurationMs::days(3), current.cold_raw));
    assert_eq!(retention_of_json(b"", current), Ok(current));
    for wrong in [&br#"{"hot.row": "3d"}"#[..], br#"{"hot.raw": 3}"#, br#"{"hot.raw": "400d"}"#, b"{"] {
        assert!(retention_of_json(wrong, current).is_err(), "{}", String::from_utf8_lossy(wrong));
    }
}

#[test]
fn errors_are_golden() {
    let texts = [
        "unknown_key: 1\n",
        "seal:\n  lateniss: 10m\n",
        "limits: { body: 64Mi }\n",
        "archive: { every: often }\n",
        "listen: nowhere\n",
        "durability: maybe\n",
        "retention:\n  hot.raw: 30d\n  cold.raw: 10d\n",
        "retention: { hot.raw: 5m }\n",
        "limits: { queries: 0 }\n",
        "limits: { body: 0 }\n",
        "limits: { new_series_per_second: 0 }\n",
        "log:\n  level: a=b=c\n",
        "log: { level: loud }\n",
        "node: Not_A_Name\n",
        "data_dir: ${NO_SUCH_NAME}\n",
        "seal: [\n",
        "- a\n- list\n",
    ];
    let told: Vec<String> = texts
        .iter()
        .map(|text| {
            let error = parse(text).expect_err(text).in_file(Path::new("thermocline.yml"));
            format!("{text}→ {error}\n")
        })
        .collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/config"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("errors", told.join("\n")));
}
