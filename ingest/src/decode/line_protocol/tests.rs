use proptest::prelude::*;

use super::*;
use crate::decode::testing::{NOW_MS, Point, codes, decode_with, told};
use crate::limits::Limits;

fn read_as(precision: Precision, body: &[u8]) -> (Vec<Point>, Decoded) {
    decode_with(&Limits::default(), |scope, batch| decode(body, precision, scope, batch)).expect("few points")
}

fn read(body: &str) -> (Vec<Point>, Decoded) {
    read_as(Precision::Millisecond, body.as_bytes())
}

fn series(body: &str) -> Vec<String> {
    read(body).0.into_iter().map(|(series, _, _)| series).collect()
}

fn reason(line: &str) -> String {
    let (points, decoded) = read(line);
    assert_eq!(points, [], "{line}");
    told(&decoded).pop().expect("refused").1
}

#[test]
fn a_field_is_a_metric_and_value_is_the_measurement_itself() {
    let (points, decoded) = read(&format!("cpu,host=a,core=0 usage=12.5,value=3i {NOW_MS}"));
    let expected = [
        (r#"cpu_usage{core="0",host="a"}"#.to_owned(), NOW_MS, 12.5),
        (r#"cpu{core="0",host="a"}"#.to_owned(), NOW_MS, 3.0),
    ];
    assert_eq!(points, expected);
    assert_eq!(decoded.points_seen, 2);
}

#[test]
fn numbers_booleans_and_strings_have_their_meaning() {
    let (points, decoded) = read(
        r#"m a=1,b=-1.5e3,c=.5,d=9007199254740992i,e=18446744073709551615u,f=t,g=F,h=TRUE,i=false,j="text",k="a,b=c d\"",l=-7i"#,
    );
    let values: Vec<f64> = points.iter().map(|(_, _, value)| *value).collect();
    assert_eq!(
        values,
        [1.0, -1500.0, 0.5, 9_007_199_254_740_992.0, 18_446_744_073_709_551_615.0, 1.0, 0.0, 1.0, 0.0, -7.0]
    );
    assert_eq!((decoded.dropped.strings, decoded.rejections.points()), (2, 0));
}

#[test]
fn a_line_of_strings_alone_is_good_and_holds_no_point() {
    let (points, decoded) = read("log,host=a message=\"hello\nworld\"\nm v=1");
    assert_eq!(points.iter().map(|p| p.0.as_str()).collect::<Vec<_>>(), ["m_v{}"]);
    assert_eq!((decoded.points_seen, decoded.dropped.strings), (1, 1));
}

#[test]
fn escapes_are_undone_and_other_backslashes_stay() {
    assert_eq!(
        series(r"my\ m\,x,t\ ag=a\ b\=c\,d,path=C:\dir f\ 1=1"),
        [r#"my m,x_f 1{path="C:\\dir",t ag="a b=c,d"}"#]
    );
    assert_eq!(series(r"m,a=b\\ v=1"), Vec::<String>::new(), "the second backslash escapes the space");
}

#[test]
fn comments_blank_lines_and_carriage_returns_are_skipped() {
    let (points, decoded) = read("# a \"comment\n\r\n  m v=1\r\n\n#\nm v=bad");
    assert_eq!(points.len(), 1);
    assert_eq!(codes(&decoded), [(6, "invalid_value")]);
}

#[test]
fn times_are_read_in_the_precision_asked_for() {
    for (precision, text, ms) in [
        (Precision::Nanosecond, "1742221800123456789", 1_742_221_800_123),
        (Precision::Microsecond, "1742221800123456", 1_742_221_800_123),
        (Precision::Millisecond, "1742221800123", 1_742_221_800_123),
        (Precision::Second, "1742221800", NOW_MS),
        (Precision::Minute, "29037030", NOW_MS),
        (Precision::Hour, "483950", NOW_MS - 1_800_000),
        (Precision::Auto, "1742221800", NOW_MS),
        (Precision::Auto, "1742221800123", 1_742_221_800_123),
        (Precision::Auto, "1742221800123456", 1_742_221_800_123),
        (Precision::Auto, "1742221800123456789", 1_742_221_800_123),
    ] {
        let (points, _) = read_as(precision, format!("m v=1 {text}").as_bytes());
        assert_eq!(points, [("m_v{}".to_owned(), ms, 1.0)], "{precision:?}");
    }
    assert_eq!(read("m v=1").0[0].1, NOW_MS, "no time is now");
    assert_eq!(Precision::parse("ns"), Some(Precision::Nanosecond));
    assert_eq!(Precision::parse("fortnight"), None);
}

#[test]
fn bad_lines_are_refused_by_number_and_good_ones_kept() {
    let (points, decoded) = read("m v=1\nm\nm v=2\nm,a v=1\nm v=3");
    assert_eq!(points.iter().map(|p| p.2).collect::<Vec<f64>>(), [1.0, 2.0, 3.0]);
    assert_eq!(told(&decoded), [(2, "missing fields".to_owned()), (4, "missing tag value".to_owned())]);
}

#[test]
fn each_fault_of_a_line_has_its_text() {
    assert_eq!(reason(",a=b v=1"), "missing measurement");
    assert_eq!(reason("m,=b v=1"), "missing tag key");
    assert_eq!(reason("m,a= v=1"), "missing tag value");
    assert_eq!(reason("m,a=b=c v=1"), "an equals sign in a tag value must be escaped");
    assert_eq!(reason("m,a=b,a=c v=1"), r#"label "a" stands twice"#);
    assert_eq!(reason("m,__name__=b v=1"), r#"label "__name__" is reserved for the metric name"#);
    assert_eq!(reason("m,__tenant__=b v=1"), r#"label "__tenant__" is reserved"#);
    assert_eq!(reason("m =1"), "missing field key");
    assert_eq!(reason("m v"), "missing field value");
    assert_eq!(reason("m v="), "missing field value");
    assert_eq!(reason("m v=1,"), "missing field key");
    assert_eq!(reason("m v=\"open"), "a string field is not closed");
    assert_eq!(reason("m v=\"s\"x"), "a field must be followed by a comma, a space or the end of the line");
    for number in ["NaN", "inf", "-Inf", "1e999", "0x10", "1.2.3", "99999999999999999999i", "-1u", "truee"] {
        assert_eq!(reason(&format!("m v={number}")), format!("invalid value: {number:?} is not a number"));
    }
    assert_eq!(reason("m v=1 12x"), r#"invalid timestamp: "12x""#);
    assert_eq!(reason("m v=1 1 2"), r#"invalid timestamp: "1 2""#);
}

#[test]
fn a_time_outside_the_window_refuses_all_points_of_its_line() {
    let (points, decoded) = read("m a=1,b=2 0\nm a=1 99999999999999\nm a=1 -5");
    assert_eq!(points, []);
    assert_eq!(codes(&decoded), [(1, "too_old"), (2, "too_far_in_future"), (3, "invalid_timestamp")]);
    assert_eq!(decoded.rejections.points(), 4);
    let (_, decoded) = read_as(Precision::Hour, b"m a=1 9223372036854775807");
    assert_eq!(codes(&decoded), [(1, "invalid_timestamp")]);
}

#[test]
fn an_open_quote_costs_its_line_only() {
    let (points, decoded) = read("m v=1\nm s=\"open,v=2\nm v=3\nm v=4");
    assert_eq!(points.iter().map(|p| p.2).collect::<Vec<f64>>(), [1.0, 3.0, 4.0]);
    assert_eq!(told(&decoded), [(2, "a string field is not closed".to_owned())]);
}

#[test]
fn lines_after_a_string_of_many_lines_keep_their_numbers() {
    let (_, decoded) = read("m s=\"1\n2\n3\",v=1\nm v=bad");
    assert_eq!(codes(&decoded), [(4, "invalid_value")]);
}

#[test]
fn a_line_that_is_not_utf8_is_refused_alone() {
    let (points, decoded) = read_as(Precision::Second, b"m v=1\nm,a=\xff v=2\nm v=3");
    assert_eq!(points.iter().map(|p| p.2).collect::<Vec<f64>>(), [1.0, 3.0]);
    assert_eq!(codes(&decoded), [(2, "malformed")]);
}

#[test]
fn a_line_of_too_many_tags_or_fields_is_refused() {
    let tags: String = (0..1_001).map(|i| format!(",t{i}=v")).collect();
    assert_eq!(reason(&format!("m{tags} v=1")), "more than 1000 labels");
    let fields: Vec<&str> = vec!["v=1"; 100_001];
    assert_eq!(reason(&format!("m {}", fields.join(","))), "more than 100000 fields");
}

#[test]
fn quotes_in_tags_are_ordinary_characters() {
    assert_eq!(series("m,a=\"x v=1\nm,b=y v=2"), [r#"m_v{a="\"x"}"#, r#"m_v{b="y"}"#]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_as(Precision::Auto, &bytes);
    }

    #[test]
    fn text_made_of_the_grammar_never_panics(text in "[mtf,= \"\\\\\n0-9.#i-]{0,60}") {
        let _ = read(&text);
    }

    #[test]
    fn every_line_round_trips(
        measurement in "[a-zA-Z, =ü]{1,8}",
        tags in proptest::collection::btree_map("[a-z, =]{1,6}", "[a-z, =é]{1,6}", 0..5),
        fields in proptest::collection::vec(("[a-z, =]{1,6}", -1e15..1e15_f64), 1..5),
    ) {
        let escape = |text: &str| text.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ");
        // A leading space or `#` would be another thing than a measurement.
        let measurement = format!("m{measurement}");
        let mut line = escape(&measurement).replace("\\=", "=");
        for (name, value) in &tags {
            line.push_str(&format!(",{}={}", escape(name), escape(value)));
        }
        let written: Vec<String> = fields.iter().map(|(name, value)| format!("{}={value}", escape(name))).collect();
        line.push_str(&format!(" {} {NOW_MS}", written.join(",")));

        let expected: Vec<(String, i64, f64)> = fields
            .iter()
            .map(|(field, value)| {
                let metric = if field == "value" { measurement.clone() } else { format!("{measurement}_{field}") };
                let pairs = tags.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain([("__name__", metric.as_str())]);
                (schemas::Labels::new(pairs).expect("valid").to_string(), NOW_MS, *value)
            })
            .collect();
        prop_assert_eq!(read(&line).0, expected, "{}", line);
    }
}
