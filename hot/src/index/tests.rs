//! The behaviour of the index as a whole, over a real database.

mod given;

use std::collections::{BTreeMap, BTreeSet};

use rocksdb::WriteBatch;
use schemas::labels::hash_canonical;
use schemas::{MatchOp, PointBatch, RejectReason, SeriesHash, TimestampMs};

use self::given::{Given, NOW, TODAY, batch, day, labels, matcher, nobody};
use super::*;

#[test]
fn a_series_keeps_its_address_within_a_batch_and_between_batches() {
    let given = Given::an_index();
    let first = given.series(&["up a=1", "up a=2", "up a=1"]);
    assert_eq!(first[0], first[2]);
    assert_ne!(first[0].sid, first[1].sid);
    assert_eq!(first[0].metric, first[1].metric);
    assert_eq!(given.series(&["up a=2", "down a=2"])[0], first[1]);
    assert_eq!(given.index.series_count(), 3);
}

#[test]
fn a_series_is_described_by_its_labels_under_each_of_its_names() {
    let given = Given::an_index();
    let address = given.series(&["up job=api zone=eu"])[0];
    let wanted = labels("up job=api zone=eu");
    let info = given.index.info(address.sid).expect("is there");
    assert_eq!((info.address, &info.labels), (address, &wanted));
    assert_eq!(info.series_id, wanted.hash().series_id());
    assert_eq!(given.index.by_series_id(info.series_id), Some(info));
    assert_eq!((given.index.find(wanted.hash()), given.index.address(address.sid)), (Some(address), Some(address)));
    assert_eq!(given.index.find(labels("up job=api").hash()), None);
    assert_eq!(given.index.metric_id("up"), Some(address.metric));
    assert_eq!(given.index.metric_name(address.metric).as_deref(), Some("up"));
    assert_eq!(given.index.metric_id("api"), None, "a label value is no metric");
    assert_eq!(given.index.info(Sid(99)), None);
}

#[test]
fn a_reload_gives_every_series_the_same_address_and_new_ones_new_numbers() {
    let given = Given::an_index();
    let before = given.series(&["up a=1", "up a=2", "disk path=/ a=1"]);
    given.commit();
    let given = given.reopened();
    assert_eq!(given.index.series_count(), 3);
    let after = given.series(&["up a=1", "up a=2", "disk a=1 path=/", "new a=1"]);
    assert_eq!(after[..3], before[..]);
    assert!(after[3].sid > before[2].sid);
    assert_eq!(given.selected(&[LabelMatcher::equal("a", "1")]).len(), 3);
}

#[test]
fn what_a_failed_write_held_goes_with_the_next() {
    let given = Given::an_index();
    let before = given.series(&["up a=1"]);
    let mut lost = WriteBatch::default();
    let drained = given.index.drain_unpersisted(&mut lost);
    assert!(!lost.is_empty());
    given.index.restore(drained);
    given.series(&["up a=2"]);
    given.commit();
    let mut next = WriteBatch::default();
    given.index.drain_unpersisted(&mut next);
    assert!(next.is_empty());
    assert_eq!(given.reopened().series(&["up a=1"]), before);
}

#[test]
fn a_series_that_was_never_written_is_gone_after_a_crash() {
    let given = Given::an_index();
    given.series(&["up a=1"]);
    given.commit();
    given.series(&["up a=2"]);
    assert_eq!(given.reopened().index.series_count(), 1);
}

#[test]
fn half_a_series_on_disk_is_an_error_that_names_the_record() {
    let given = Given::an_index();
    let sid = given.series(&["up a=1", "up a=2"])[0].sid;
    given.commit();
    let family = given.db.cf_handle(SERIES_FAMILY).expect("open");
    given.db.delete_cf(&family, schemas::series_record::SeriesKey::Labels(sid).encode()).expect("deletes");
    drop(family);
    let error = Index::load(&given.db, SeriesLimits::default()).expect_err("damaged");
    assert!(error.to_string().contains("series"), "{error}");
    assert!(matches!(error, crate::HotError::Damaged { .. }));
}

#[test]
fn too_many_new_series_a_second_refuse_the_batch_and_create_nothing() {
    let given = Given::with_limits(SeriesLimits { new_per_second: 2, ..SeriesLimits::default() });
    given.series(&["up a=1", "up a=2"]);
    let refused = given.resolve(&batch(&["up a=1", "up a=3"]), NOW + 100).expect_err("over the limit");
    assert!(refused.retry_after.as_millis() > 300);
    assert_eq!(given.index.series_count(), 2);
    assert!(given.resolve(&batch(&["up a=1", "up a=2"]), NOW + 100).is_ok(), "known series are always taken");
    let later = given.resolve(&batch(&["up a=1", "up a=3"]), NOW + 1_100).expect("a second later");
    assert_eq!((later.created, given.index.series_count()), (1, 3));
}

#[test]
fn a_metric_at_its_limit_rejects_only_its_own_new_series() {
    let given = Given::with_limits(SeriesLimits { series_per_metric: 2, ..SeriesLimits::default() });
    let out = given.resolve(&batch(&["up a=1", "up a=2", "up a=3", "down a=1", "up a=3"]), NOW).expect("resolves");
    let reason = RejectReason::SeriesPerMetric { metric: "up".to_owned(), limit: 2 };
    assert_eq!(out.rejected, vec![(2, reason.clone()), (4, reason)]);
    assert_eq!(out.addresses.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, true, false]);
    assert_eq!(out.created, 3);
}

#[test]
fn the_day_has_a_limit_that_a_restart_remembers() {
    let limits = SeriesLimits { new_per_day: 2, ..SeriesLimits::default() };
    let given = Given::with_limits(limits);
    given.series(&["up a=1", "up a=2"]);
    given.commit();
    let given = given.reopened();
    let out = given.resolve(&batch(&["up a=1", "up a=3"]), NOW).expect("resolves");
    assert_eq!(out.rejected, vec![(1, RejectReason::NewSeriesPerDay { limit: 2 })]);
    let tomorrow = given.resolve(&batch(&["up a=3"]), NOW + 86_400_000).expect("resolves");
    assert_eq!(tomorrow.created, 1);
}

#[test]
fn a_second_series_with_the_same_id_is_rejected_with_the_name_of_the_first() {
    let given = Given::an_index();
    let all: Vec<Labels> = ["up a=1", "up a=2", "up a=3"].iter().map(|text| labels(text)).collect();
    // The ids of all three agree, their hashes do not.
    let forged = |i: u32| (SeriesHash(7 << 65 | u128::from(i)), all[i as usize].as_bytes());
    let mut out = Resolved::default();
    given.index.resolve_series(2, forged, NOW, &mut out).expect("within limits");
    assert_eq!(out.addresses[1], None);
    let [(1, RejectReason::HashCollision { series })] = &out.rejected[..] else { panic!("{:?}", out.rejected) };
    assert!(series.contains("a=\"1\""), "{series}");

    given.index.resolve_series(1, |_| forged(2), NOW, &mut out).expect("within limits");
    let [(0, RejectReason::HashCollision { series })] = &out.rejected[..] else { panic!("{:?}", out.rejected) };
    assert_eq!(series, "up{a=\"1\"}");
    assert_eq!(given.index.series_count(), 1);
}

#[test]
fn no_matcher_is_refused_and_too_many_series_are_counted() {
    let given = Given::an_index();
    given.series(&["up a=1", "up a=2", "up a=3"]);
    assert_eq!(given.index.select(&[], None, 10), Err(SelectError::NoMatcher));
    let up = [LabelMatcher::equal("__name__", "up")];
    assert_eq!(given.index.select(&up, None, 2), Err(SelectError::TooManySeries { matched: 3, limit: 2 }));
    assert_eq!(given.index.select(&up, None, 3).expect("three").len(), 3);
}

#[test]
fn every_matcher_selects_what_asking_each_series_selects() {
    let given = Given::an_index();
    let values = ["", "a", "ab", "abc", "b", "x|y", "é", "a\nb"];
    let mut all = Vec::new();
    for (i, value) in values.iter().enumerate() {
        for host in 0..50 {
            let pairs =
                [("__name__", if i % 2 == 0 { "up" } else { "down" }), ("l", *value), ("host", &format!("h{host}"))];
            all.push(Labels::new(pairs).expect("valid"));
        }
    }
    let mut batch = PointBatch::new();
    for labels in &all {
        batch.add_canonical(labels.as_bytes());
    }
    given.resolve(&batch, NOW).expect("within limits");

    let patterns = [
        "", "a", "a.*", "a.+", ".*", ".+", "a|b", "a|", "|", "(a|b)c?", "ab?", "ab*c?", "x\\|y", "nothing", "a.b", "é",
        "(?i)AB", "[^a].*", "ab{0}.*",
    ];
    for op in [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex] {
        for pattern in patterns {
            for name in ["l", "absent"] {
                for beside in [None, Some(matcher("host", MatchOp::Regex, "h[0-4]")), Some(matcher("host", op, "h7"))] {
                    let mut matchers = vec![matcher(name, op, pattern)];
                    matchers.extend(beside);
                    let wanted: BTreeSet<String> = all
                        .iter()
                        .filter(|labels| matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or(""))))
                        .map(ToString::to_string)
                        .collect();
                    let found = given.selected(&matchers);
                    assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), wanted, "{matchers:?}");
                    assert_eq!(found.len(), wanted.len(), "{matchers:?}");
                }
            }
        }
    }
}

#[test]
fn a_range_selects_series_with_points_on_its_days() {
    let given = Given::an_index();
    let [a, b]: [SeriesAddress; 2] = given.series(&["up a=1", "up a=2"]).try_into().expect("two");
    given.index.mark_active(Day(10), [a.sid].into_iter());
    given.index.mark_active(Day(12), [a.sid, b.sid].into_iter());
    let up = [LabelMatcher::equal("__name__", "up")];
    let selected = |range| given.selected_in(&up, Some(range));
    assert_eq!(selected(day(10)), vec![r#"up{a="1"}"#]);
    assert!(selected(day(11)).is_empty());
    let both = TimeRange::new(day(11).start(), TimestampMs(day(12).start().0 + 1)).expect("ordered");
    assert_eq!(selected(both).len(), 2);
    let until = TimeRange::new(day(11).start(), day(12).start()).expect("ordered");
    assert!(selected(until).is_empty(), "the end of a range is outside of it");
    let empty = TimeRange::new(day(12).start(), day(12).start()).expect("ordered");
    assert!(selected(empty).is_empty());
    assert_eq!(given.index.activity.extent(), Some((Day(10), Day(12))));

    given.commit();
    let given = given.reopened();
    assert_eq!(given.selected_in(&up, Some(day(10))), vec![r#"up{a="1"}"#]);
}

#[test]
fn label_names_and_values_are_those_of_matching_series() {
    let given = Given::an_index();
    let sids = given.series(&["up job=api zone=eu", "up job=web", "disk path=/ job=db"]);
    let up = [LabelMatcher::equal("__name__", "up")];
    assert_eq!(given.index.label_names(&[], None), ["__name__", "job", "path", "zone"]);
    assert_eq!(given.index.label_names(&up, None), ["__name__", "job", "zone"]);
    assert_eq!(given.index.label_values("job", &[], None, 10), ["api", "db", "web"]);
    assert_eq!(given.index.label_values("job", &[], None, 2), ["api", "db"]);
    assert_eq!(given.index.label_values("job", &up, None, 10), ["api", "web"]);
    assert_eq!(given.index.label_values("job", &up, None, 1), ["api"]);
    assert!(given.index.label_values("absent", &up, None, 10).is_empty());
    given.index.mark_active(Day(10), [sids[2].sid].into_iter());
    assert_eq!(given.index.label_values("job", &[], Some(day(10)), 10), ["db"]);
    assert_eq!(given.index.label_names(&[], Some(day(10))), ["__name__", "job", "path"]);
}

#[test]
fn cardinality_names_the_largest_of_each_kind() {
    let given = Given::an_index();
    given.series(&["up job=api zone=eu", "up job=web zone=eu", "up job=db zone=us", "disk job=db"]);
    let row = |name: &str, count| (name.to_owned(), count);
    let found = given.index.cardinality(2);
    assert_eq!(found.series_by_metric, [row("up", 3), row("disk", 1)]);
    assert_eq!(found.values_by_label, [row("job", 3), row("zone", 2)]);
    assert_eq!(found.bytes_by_label, [row("job", 8), row("__name__", 6)]);
    assert_eq!(found.series_by_pair[0], row("__name__=up", 3));
    assert_eq!(given.index.cardinality(0).series_by_pair, []);
}

#[test]
fn label_values_agree_whichever_way_they_are_found() {
    let given = Given::an_index();
    let texts: Vec<String> = (0..200).map(|i| format!("m{} v={}", i % 2, i % 40)).collect();
    given.series(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let even = [LabelMatcher::equal("__name__", "m0")];
    let wanted: BTreeSet<String> = (0..40).filter(|v| v % 2 == 0).map(|v: u32| v.to_string()).collect();
    // Twenty series stand against forty values; the second question has more series than values.
    assert_eq!(given.index.label_values("v", &even, None, 99), wanted.into_iter().collect::<Vec<_>>());
    assert_eq!(given.index.label_values("v", &[matcher("v", MatchOp::Regex, ".+")], None, 99).len(), 40);
}

#[test]
fn a_series_goes_with_its_last_active_day_and_comes_back_with_a_new_number() {
    let given = Given::an_index();
    let before = given.series(&["up pod=old", "up pod=new"]);
    given.index.mark_active(Day(10), before.iter().map(|address| address.sid));
    given.index.mark_active(Day(20), [before[1].sid].into_iter());
    given.commit();
    let generation = given.index.generation();
    let mut write = WriteBatch::default();
    assert_eq!(given.index.forget_inactive(Day(11), &nobody, &mut write), 1);
    given.db.write(write).expect("writes");
    assert_ne!(given.index.generation(), generation);
    assert_eq!(given.index.info(before[0].sid), None);
    assert_eq!(given.selected(&[LabelMatcher::equal("__name__", "up")]), vec![r#"up{pod="new"}"#]);
    assert_eq!(given.index.label_values("pod", &[], None, 9), ["new"]);

    // It comes back before the removal was written: both go in one write, and the series is there.
    let after = given.series(&["up pod=old"]);
    assert!(after[0].sid > before[1].sid);
    given.commit();
    let given = given.reopened();
    assert_eq!(given.series(&["up pod=old", "up pod=new"]), vec![after[0], before[1]]);
    assert_eq!(given.index.activity.extent(), Some((Day(20), Day(20))));
}

#[test]
fn removing_the_highest_series_never_frees_its_number() {
    let given = Given::an_index();
    let before = given.series(&["up a=1", "gone b=2"]);
    given.index.mark_active(Day(20), [before[0].sid].into_iter());
    assert_eq!(given.index.forget_inactive(Day(11), &nobody, &mut WriteBatch::default()), 1);
    given.commit();
    let given = given.reopened();
    assert_eq!(given.index.series_count(), 1);
    let after = given.series(&["gone b=2"]);
    assert!(after[0].sid > before[1].sid);
    assert!(after[0].metric > before[1].metric, "metric numbers are never reused either");
    assert_eq!(given.index.metric_name(before[1].metric), None);
}

#[test]
fn a_series_that_a_batch_is_bringing_points_for_is_not_forgotten() {
    let given = Given::an_index();
    let before = given.series(&["up a=1"]);
    let in_flight = given.resolve(&batch(&["up a=1"]), NOW).expect("resolves");
    assert_eq!(given.index.forget_inactive(TODAY, &nobody, &mut WriteBatch::default()), 0);
    assert_eq!(given.index.forget_inactive(TODAY, &nobody, &mut WriteBatch::default()), 0, "however long it takes");
    drop(in_flight);
    assert_eq!(given.index.forget_inactive(TODAY, &|sid| sid == before[0].sid, &mut WriteBatch::default()), 0);
    given.index.mark_active(TODAY, [before[0].sid].into_iter());
    assert_eq!(given.index.forget_inactive(TODAY, &nobody, &mut WriteBatch::default()), 0);
    let tomorrow = Day(TODAY.0 + 1);
    assert_eq!(given.index.forget_inactive(tomorrow, &nobody, &mut WriteBatch::default()), 1);
}

#[test]
fn forgetting_everything_leaves_nothing_in_memory_or_on_disk() {
    let given = Given::an_index();
    let texts: Vec<String> = (0..5_000).map(|i| format!("m{} host=h{i} zone=z{}", i % 7, i % 3)).collect();
    given.series(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    given.commit();
    assert_eq!(given.index.forget_inactive(TODAY, &nobody, &mut WriteBatch::default()), 5_000);
    let stats = given.index.stats();
    assert_eq!((stats.series, stats.symbols, stats.label_names, stats.label_values), (0, 0, 0, 0));
    given.commit();
    let family = given.db.cf_handle(SERIES_FAMILY).expect("open");
    let left = given.db.iterator_cf(&family, rocksdb::IteratorMode::Start).count();
    assert_eq!(left, 1, "only the counters stay");
}

#[test]
fn metadata_is_merged_by_field_kept_and_dropped_with_its_metric() {
    let given = Given::an_index();
    let said = |unit: Option<&str>, help: Option<&str>| MetricMetadata {
        unit: unit.map(str::to_owned),
        kind: None,
        help: help.map(str::to_owned),
    };
    let describe = |metric: &str, said| given.index.describe(&BTreeMap::from([(metric.to_owned(), said)]));
    describe("up", said(Some("bytes"), None));
    assert_eq!(given.index.metadata("up"), None, "a metric without series is passed over");
    given.series(&["up a=1"]);
    describe("up", said(Some("bytes"), None));
    describe("up", said(None, Some(&"é".repeat(600))));
    let known = given.index.metadata("up").expect("described");
    assert_eq!((known.unit.as_deref(), known.help.map(|help| help.len())), (Some("bytes"), Some(1_024)));
    given.commit();
    let given = given.reopened();
    assert_eq!(given.index.metadata("up").and_then(|known| known.unit).as_deref(), Some("bytes"));
    given.index.forget_inactive(TODAY, &nobody, &mut WriteBatch::default());
    given.series(&["up a=1"]);
    given.commit();
    assert_eq!(given.reopened().index.metadata("up"), None);
}

#[test]
fn metrics_with_native_histograms_are_called_so_unless_a_sender_says_otherwise() {
    let given = Given::an_index();
    given.series(&["recorded a=1", "told a=1", "floats a=1"]);
    let said = |kind: &str| MetricMetadata { kind: Some(kind.to_owned()), ..MetricMetadata::default() };
    given.index.describe(&BTreeMap::from([("told".to_owned(), said("gaugehistogram"))]));
    let metrics = ["recorded", "told"].map(|metric| given.index.metric_id(metric).expect("has a series"));
    given.index.describe_histograms(&metrics.into());
    let kind = |index: &Index, metric: &str| index.metadata(metric).and_then(|known| known.kind);
    given.commit();
    let given = given.reopened();
    assert_eq!(kind(&given.index, "recorded").as_deref(), Some("histogram"));
    assert_eq!(kind(&given.index, "told").as_deref(), Some("gaugehistogram"));
    assert_eq!(kind(&given.index, "floats"), None);
    given.index.describe(&BTreeMap::from([("recorded".to_owned(), said("gaugehistogram"))]));
    assert_eq!(kind(&given.index, "recorded").as_deref(), Some("gaugehistogram"), "whoever sends it knows better");
}

#[test]
fn batches_that_create_the_same_series_at_once_agree_on_every_address() {
    let given = Given::an_index();
    let texts: Vec<String> = (0..2_000).map(|i| format!("m host=h{i} zone=z{}", i % 3)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let answers: Vec<Vec<Option<SeriesAddress>>> = std::thread::scope(|scope| {
        let run = |reversed: bool| {
            let (given, mut texts) = (&given, texts.clone());
            scope.spawn(move || {
                if reversed {
                    texts.reverse();
                }
                let mut addresses = given.resolve(&batch(&texts), NOW).expect("within limits").addresses;
                if reversed {
                    addresses.reverse();
                }
                addresses
            })
        };
        let threads: Vec<_> = [false, true, false, true].map(run).into_iter().collect();
        threads.into_iter().map(|thread| thread.join().expect("resolves")).collect()
    });
    assert!(answers.iter().all(|addresses| *addresses == answers[0]));
    assert_eq!(given.index.series_count(), 2_000);
    let sids: BTreeSet<Sid> = answers[0].iter().flatten().map(|address| address.sid).collect();
    assert_eq!(sids.len(), 2_000);
}

#[test]
fn whoever_finds_a_series_finds_its_records_in_the_next_write() {
    let given = Given::an_index();
    let texts: Vec<String> = (0..3_000).map(|i| format!("m host=h{i}")).collect();
    let canonical: Vec<Labels> = texts.iter().map(|text| labels(text)).collect();
    std::thread::scope(|scope| {
        let creator = scope.spawn(|| given.series(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
        let mut written = 0;
        while !creator.is_finished() || written < canonical.len() {
            let found: Vec<&Labels> = canonical
                .iter()
                .filter(|labels| given.index.by_series_id(hash_canonical(labels.as_bytes()).series_id()).is_some())
                .collect();
            given.commit();
            written = found.len();
            let family = given.db.cf_handle(SERIES_FAMILY).expect("open");
            for labels in found {
                let key = schemas::series_record::SeriesKey::Identity(labels.hash()).encode();
                assert!(given.db.get_pinned_cf(&family, key).expect("reads").is_some());
            }
        }
    });
}

#[test]
fn ten_labels_take_at_most_four_hundred_bytes_a_series() {
    let given = Given::an_index();
    let mut batch = PointBatch::new();
    let series = 100_000_u64;
    for i in 0..series {
        let texts: Vec<(String, String)> =
            (0..8).map(|l| (format!("label_{l}"), format!("value_{}", i % (l + 2)))).collect();
        let (host, metric) = (format!("host_{}", i / 100), format!("metric_{}", i % 100));
        let mut pairs: Vec<(&str, &str)> = texts.iter().map(|(name, value)| (&**name, &**value)).collect();
        pairs.extend([("host", &*host), ("metric_of_host", &*metric), ("__name__", &*metric)]);
        batch.add_series(&mut pairs).expect("valid");
    }
    given.resolve(&batch, NOW).expect("within limits");
    let stats = given.index.stats();
    assert_eq!(stats.series, series);
    assert!(stats.memory_bytes < 400 * 100_000, "{} B a series", stats.memory_bytes / 100_000);
}
