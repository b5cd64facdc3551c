use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use runtime::ManualClock;
use schemas::labels::Labels;
use schemas::{LabelMatcher, MatchOp, RejectReason, TimestampMs};

use super::*;
use crate::controls::{Action, Rule, Rules};

const NOW_MS: i64 = 1_742_221_800_000;

/// Takes every point, except of the metrics it is told to refuse, and remembers what it was given.
#[derive(Default)]
struct Memory {
    appended: Mutex<Vec<(String, f64)>>,
    refused_metric: Option<&'static str>,
    refused_value: Option<f64>,
    error: Option<SinkError>,
    busy: AtomicBool,
}

impl Sink for Memory {
    fn intake_window(&self) -> TimeRange {
        TimeRange::new(TimestampMs(NOW_MS - 1_000), TimestampMs(NOW_MS + 1_000)).expect("ordered")
    }

    fn append(&self, batch: &PointBatch) -> Result<Appended, SinkError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        if self.busy.load(Ordering::Relaxed) {
            return Err(SinkError::Busy { why: "busy".to_owned(), retry_after: Duration::from_secs(1) });
        }
        let mut appended = Appended::default();
        let metric =
            |series: u32| Labels::from_canonical(batch.series(series).1).expect("canonical").metric().to_owned();
        for series in 0..u32::try_from(batch.series_len()).expect("small") {
            if Some(metric(series).as_str()) == self.refused_metric {
                appended.rejected_series.push((series, RejectReason::NewSeriesPerDay { limit: 0 }));
            }
        }
        for (i, (series, value)) in (0..).zip(batch.series_of().iter().zip(batch.values())) {
            if Some(metric(*series).as_str()) == self.refused_metric {
                continue;
            }
            if Some(*value) == self.refused_value {
                appended.rejected_points.push((i, RejectReason::InvalidValue("refused".to_owned())));
                continue;
            }
            self.appended.lock().push((metric(*series), *value));
            appended.accepted += 1;
        }
        Ok(appended)
    }
}

fn intake(sink: Memory) -> (Intake, Arc<Memory>) {
    let sink = Arc::new(sink);
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let limits = Limits { body_bytes_max: 1_000, ..Limits::default() };
    (Intake::new(Arc::<Memory>::clone(&sink), clock, limits, IngestMetrics::default()), sink)
}

const LINES: Format = Format::LineProtocol(Precision::Millisecond);

fn ingest(intake: &Intake, body: &str) -> Result<IngestOutcome, IntakeError> {
    intake.ingest(LINES, ContentEncoding::Identity, body.as_bytes())
}

fn told(outcome: &IngestOutcome) -> Vec<(u64, u64, &'static str)> {
    outcome.rejections.first().iter().map(|r| (r.index, r.points, r.reason.code())).collect()
}

#[test]
fn good_points_are_appended_and_counted() {
    let (intake, sink) = intake(Memory::default());
    let outcome = ingest(&intake, "a v=1\nb v=2").expect("taken");
    assert_eq!((outcome.accepted, outcome.rejected()), (2, 0));
    assert_eq!(*sink.appended.lock(), [("a_v".to_owned(), 1.0), ("b_v".to_owned(), 2.0)]);
    assert!(outcome.batch_id.starts_with("b-") && outcome.batch_id.len() == 10, "{}", outcome.batch_id);
    assert_ne!(ingest(&intake, "a v=1").expect("taken").batch_id, outcome.batch_id);
}

#[test]
fn what_the_sink_refuses_is_told_by_the_line_it_came_from() {
    let (intake, sink) = intake(Memory { refused_metric: Some("b_v"), refused_value: Some(7.0), ..Memory::default() });
    let outcome = ingest(&intake, "a v=1\nbad\nb v=2\n\na v=7,w=8\na v=3").expect("taken");
    assert_eq!((outcome.accepted, outcome.rejected()), (3, 3));
    assert_eq!(told(&outcome), [(2, 1, "malformed"), (3, 1, "new_series_per_day"), (5, 1, "invalid_value")]);
    assert_eq!(sink.appended.lock().len(), 3);
}

#[test]
fn what_rules_leave_out_is_told_and_the_rest_keeps_its_line() {
    let (intake, sink) = intake(Memory { refused_metric: Some("b_v"), refused_value: Some(7.0), ..Memory::default() });
    let name = LabelMatcher::new("__name__", MatchOp::Regex, "debug_.*").expect("compiles");
    let rule = Rule::new("no-debug", vec![name], Action::Drop).expect("valid");
    let controls = Controls::default();
    controls.set(Rules::new(vec![rule]).expect("one"));
    let intake = intake.controlled_by(controls.clone());
    let outcome = ingest(&intake, "debug v=1\nbad\nb v=2\ndebug v=7\na v=7,w=8\ndebug v=1\na v=3").expect("taken");
    assert_eq!((outcome.accepted, outcome.rejected(), outcome.disabled), (2, 3, 3));
    assert_eq!(told(&outcome), [(2, 1, "malformed"), (3, 1, "new_series_per_day"), (5, 1, "invalid_value")]);
    assert_eq!(sink.appended.lock().len(), 2);
    let only = ingest(&intake, "debug v=1").expect("taken");
    assert_eq!((only.accepted, only.rejected(), only.disabled), (0, 0, 1));
    assert_eq!(controls.status()[0].points, [("drop", 4)]);
}

#[test]
fn a_request_that_the_sink_refuses_is_not_counted_by_rule() {
    let busy = SinkError::Busy { why: "busy".to_owned(), retry_after: Duration::ZERO };
    let (intake, _) = intake(Memory { error: Some(busy), ..Memory::default() });
    let name = LabelMatcher::equal("__name__", "a_v");
    let controls = Controls::default();
    controls.set(Rules::new(vec![Rule::new("no-a", vec![name], Action::Drop).expect("valid")]).expect("one"));
    ingest(&intake.controlled_by(controls.clone()), "a v=1\nb v=1").expect_err("busy");
    assert_eq!(controls.status()[0].points, [("drop", 0)]);
}

#[test]
fn a_sink_that_takes_nothing_makes_the_request_fail_as_a_whole_for_now() {
    let retry_after = Duration::from_secs(2);
    let (busy, full) = ("busy".to_owned(), "disk full".to_owned());
    for why in [SinkError::Busy { why: busy, retry_after }, SinkError::Unwritable { why: full, retry_after }] {
        let (intake, _) = intake(Memory { error: Some(why.clone()), ..Memory::default() });
        let error = ingest(&intake, "a v=1").expect_err("taken by nobody");
        assert_eq!(error, IntakeError::Sink(why));
        assert!(error.is_retryable());
    }
}

#[test]
fn a_request_without_a_good_point_does_not_reach_the_sink() {
    let asked = SinkError::Unwritable { why: "must not be asked".to_owned(), retry_after: Duration::ZERO };
    let (intake, sink) = intake(Memory { error: Some(asked), ..Memory::default() });
    let outcome = ingest(&intake, "bad\nworse").expect("told");
    assert_eq!((outcome.accepted, outcome.rejected()), (0, 2));
    assert!(sink.appended.lock().is_empty());
}

#[test]
fn a_failed_request_leaves_nothing_for_the_next_one() {
    let (intake, sink) = intake(Memory::default());
    let broken = r#"[{"metric_name":"a","value":1},{]"#;
    let json = Format::Json(json::Framing::Any);
    let error = intake.ingest(json, ContentEncoding::Identity, broken.as_bytes()).expect_err("broken");
    assert!(!error.is_retryable());
    ingest(&intake, "b v=2").expect("taken");
    assert_eq!(*sink.appended.lock(), [("b_v".to_owned(), 2.0)]);
}

#[test]
fn compressed_bodies_are_bounded_by_what_they_hold() {
    let (intake, _) = intake(Memory::default());
    let packed = snap::raw::Encoder::new().compress_vec(&[b'#'; 1_001]).expect("small");
    let error = intake.ingest(LINES, ContentEncoding::Snappy, &packed).expect_err("too large");
    assert_eq!(error, IntakeError::Body(BodyError::TooLarge { limit: 1_000 }));
}

#[test]
fn metrics_tell_what_happened_by_protocol_and_reason() {
    let (intake, _) = intake(Memory { refused_metric: Some("b_v"), ..Memory::default() });
    let mut registry = runtime::metrics::registry::Registry::with_prefix("thermocline");
    intake.metrics.register(&mut registry);
    ingest(&intake, "a v=1,s=\"x\"\nb v=1\nbad").expect("taken");
    intake.ingest(LINES, ContentEncoding::Gzip, b"not gzip").expect_err("damaged");
    let mut text = String::new();
    runtime::metrics::encoding::text::encode(&mut text, &registry).expect("memory");
    for line in [
        r#"thermocline_ingested_samples_total{protocol="line_protocol"} 1"#,
        r#"thermocline_rejected_samples_total{protocol="line_protocol",reason="malformed"} 1"#,
        r#"thermocline_rejected_samples_total{protocol="line_protocol",reason="new_series_per_day"} 1"#,
        r#"thermocline_dropped_samples_total{protocol="line_protocol",kind="string"} 1"#,
        r#"thermocline_ingest_requests_total{protocol="line_protocol",outcome="partial"} 1"#,
        r#"thermocline_ingest_requests_total{protocol="line_protocol",outcome="refused"} 1"#,
        r#"thermocline_ingest_decode_seconds_count{protocol="line_protocol"} 1"#,
        r#"thermocline_ingest_body_bytes_total{protocol="line_protocol"} 21"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_difference_counts_once_however_often_it_is_sent() {
    let (intake, sink) = intake(Memory::default());
    let send = |time_ms: i64, value: i64| {
        let body = format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"sent","sum":{{"isMonotonic":true,
            "aggregationTemporality":1,"dataPoints":[{{"timeUnixNano":"{time_ms}000000","asInt":{value}}}]}}}}]}}]}}]}}"#
        );
        intake.ingest(Format::Otlp(otlp::Encoding::Json), ContentEncoding::Identity, body.as_bytes())
    };
    assert_eq!(send(NOW_MS - 2, 5).expect("taken").accepted, 1);
    sink.busy.store(true, Ordering::Relaxed);
    assert!(send(NOW_MS - 1, 3).expect_err("busy").is_retryable());
    sink.busy.store(false, Ordering::Relaxed);
    // Sent again, and once more because the answer was lost.
    assert_eq!(send(NOW_MS - 1, 3).expect("taken").accepted, 1);
    assert_eq!(send(NOW_MS - 1, 3).expect("taken").accepted, 1);
    assert_eq!(*sink.appended.lock(), [5.0, 8.0, 8.0].map(|value| ("sent_total".to_owned(), value)));
}

#[test]
fn native_histograms_are_counted_apart_wherever_they_end() {
    // `io.prometheus.write.v2.Request`: of the series `h` and `g` a histogram each, without observations.
    let histogram = b"\x1a\x0b\x08\x00\x30\x00\x78\xc0\xe4\x8b\xa4\xda2";
    let series = |name: u8| [b"\x2a\x11\x0a\x02\x01", &[name][..], histogram].concat();
    let request = [&b"\x22\x00\x22\x08__name__\x22\x01h\x22\x01g"[..], &series(2), &series(3)].concat();
    let (intake, _) = intake(Memory { refused_metric: Some("g"), ..Memory::default() });
    let outcome = intake.ingest(Format::RemoteWriteV2, ContentEncoding::Identity, &request).expect("taken");
    assert_eq!((outcome.accepted, outcome.histograms, told(&outcome)), (1, 1, vec![(1, 1, "new_series_per_day")]));
}
