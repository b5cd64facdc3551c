use std::collections::BTreeMap;
use std::num::NonZeroU32;

use proptest::prelude::*;
use schemas::batch::MetricMetadata;
use schemas::points::stale;
use schemas::{LabelMatcher, MatchOp};

use super::*;

const T0: i64 = 1_742_221_800_000;

fn matcher(name: &str, op: MatchOp, value: &str) -> LabelMatcher {
    LabelMatcher::new(name, op, value).expect("compiles")
}

fn metric(pattern: &str) -> Vec<LabelMatcher> {
    vec![matcher("__name__", MatchOp::Regex, pattern)]
}

fn rule(name: &str, matchers: Vec<LabelMatcher>, action: Action) -> Rule {
    Rule::new(name, matchers, action).expect("valid")
}

fn drop_labels(names: &[&str]) -> Action {
    Action::DropLabels(names.iter().map(|name| (*name).to_owned()).collect())
}

fn rename(pairs: &[(&str, &str)]) -> Action {
    Action::RenameLabels(pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect())
}

fn one_in(n: u32) -> Action {
    Action::KeepOneIn(NonZeroU32::new(n).expect("some"))
}

fn under(rules: Vec<Rule>) -> Controls {
    let controls = Controls::default();
    controls.set(Rules::new(rules).expect("names differ"));
    controls
}

/// Metric, labels beside its name, and points.
type Given<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(i64, f64)]);

/// A batch with a series an item.
fn batch(series: &[Given<'_>]) -> PointBatch {
    let mut batch = PointBatch::new();
    for (metric, labels, points) in series {
        let mut pairs: Vec<(&str, &str)> = labels.to_vec();
        pairs.push(("__name__", metric));
        let index = batch.add_series(&mut pairs).expect("valid");
        points.iter().for_each(|(timestamp, value)| batch.push(index, *timestamp, *value));
    }
    batch
}

/// Points as the sink sees them: series, time, value.
fn rows(batch: &PointBatch) -> Vec<(String, i64, u64)> {
    let columns = batch.series_of().iter().zip(batch.timestamps()).zip(batch.values());
    let series = |index: u32| {
        let (hash, canonical) = batch.series(index);
        let labels = Labels::from_canonical(canonical).expect("canonical");
        assert_eq!(labels.hash(), hash, "a series' hash is that of its labels");
        labels.to_string()
    };
    columns.map(|((index, timestamp), value)| (series(*index), *timestamp, value.to_bits())).collect()
}

fn names(batch: &PointBatch) -> Vec<String> {
    rows(batch).into_iter().map(|(series, ..)| series).collect()
}

#[test]
fn without_rules_nothing_is_touched() {
    let mut points = batch(&[("a", &[], &[(1, 1.0)]), ("b", &[("l", "1")], &[(1, 2.0), (2, 3.0)])]);
    let before = rows(&points);
    let controlled = Controls::default().apply(&mut points);
    assert_eq!((rows(&points), controlled.left_out(), controlled.by_rule()), (before, 0, Vec::new()));
    assert_eq!(controlled.index_before(2), 2);
}

#[test]
fn a_disabled_metric_leaves_neither_points_nor_series_and_the_others_know_where_they_came_from() {
    let controls = under(vec![rule("no-debug", metric("debug_.*"), Action::Drop)]);
    let mut points = batch(&[
        ("debug_a", &[], &[(1, 1.0)]),
        ("up", &[], &[(1, 2.0)]),
        ("debug_b", &[], &[(1, 3.0), (2, 4.0)]),
        ("up", &[("l", "1")], &[(1, 5.0), (2, 6.0)]),
    ]);
    let controlled = controls.apply(&mut points);
    assert_eq!(names(&points), ["up{}", "up{l=\"1\"}", "up{l=\"1\"}"]);
    assert_eq!(points.series_len(), 2);
    assert_eq!((controlled.left_out(), controlled.by_rule()), (3, vec![("no-debug", "drop", 3)]));
    assert_eq!([0, 1, 2].map(|point| controlled.index_before(point)), [1, 4, 5]);
}

#[test]
fn an_earlier_keep_exempts_from_everything_after() {
    let job = matcher("job", MatchOp::Equal, "api");
    let rules = vec![
        rule("api", vec![job], Action::Keep),
        rule("no-debug", metric("debug_.*"), Action::Drop),
        rule("less", metric(".+"), drop_labels(&["job"])),
    ];
    let mut points = batch(&[
        ("debug_a", &[("job", "api")], &[(1, 1.0)]),
        ("debug_a", &[("job", "db")], &[(1, 1.0)]),
        ("up", &[("job", "db")], &[(1, 1.0)]),
    ]);
    let controlled = under(rules).apply(&mut points);
    assert_eq!(names(&points), ["debug_a{job=\"api\"}", "up{}"]);
    assert_eq!(controlled.by_rule(), [("api", "keep", 1), ("no-debug", "drop", 1), ("less", "drop_labels", 1)]);
}

#[test]
fn a_rule_sees_the_labels_that_the_rules_before_it_left() {
    let rules = vec![
        rule("names", metric("up"), rename(&[("host", "instance"), ("dc", "zone")])),
        rule("by-new-name", vec![matcher("instance", MatchOp::Equal, "a")], drop_labels(&["zone", "rack"])),
        rule("by-old-name", vec![matcher("host", MatchOp::NotEqual, "")], Action::Drop),
    ];
    let mut points = batch(&[
        ("up", &[("dc", "1"), ("host", "a"), ("rack", "7")], &[(1, 1.0)]),
        ("up", &[("dc", "1"), ("host", "b")], &[(1, 2.0)]),
        ("down", &[("host", "a")], &[(1, 3.0)]),
    ]);
    let controlled = under(rules).apply(&mut points);
    assert_eq!(names(&points), ["up{instance=\"a\"}", "up{instance=\"b\",zone=\"1\"}"]);
    let counted = [("names", "rename_labels", 2), ("by-new-name", "drop_labels", 1), ("by-old-name", "drop", 1)];
    assert_eq!(controlled.by_rule(), counted);
}

#[test]
fn series_that_become_one_keep_their_points_in_the_order_of_arrival() {
    let controls = under(vec![rule("pods", metric("up"), drop_labels(&["pod"]))]);
    let mut points = batch(&[("up", &[("pod", "a")], &[(1, 1.0)]), ("up", &[("pod", "b")], &[(1, 2.0), (2, 3.0)])]);
    let controlled = controls.apply(&mut points);
    let row = |timestamp, value: f64| ("up{}".to_owned(), timestamp, value.to_bits());
    assert_eq!(rows(&points), [row(1, 1.0), row(1, 2.0), row(2, 3.0)]);
    assert_eq!(controlled.left_out(), 0);
}

#[test]
fn two_labels_may_swap_and_a_rename_onto_another_label_is_refused_for_that_series_alone() {
    let controls = under(vec![
        rule("swap", metric("swap"), rename(&[("a", "b"), ("b", "a")])),
        rule("host", metric("up"), rename(&[("host", "instance")])),
    ]);
    let mut points = batch(&[
        ("swap", &[("a", "1"), ("b", "2")], &[(1, 1.0)]),
        ("up", &[("host", "x"), ("instance", "y")], &[(1, 1.0), (2, 1.0)]),
        ("up", &[("host", "x")], &[(1, 1.0)]),
    ]);
    let controlled = controls.apply(&mut points);
    let both = "up{host=\"x\",instance=\"y\"}";
    assert_eq!(names(&points), ["swap{a=\"2\",b=\"1\"}", both, both, "up{instance=\"x\"}"]);
    let counted = [("swap", "rename_labels", 1), ("host", "rename_labels", 1), ("host", "rename_refused", 2)];
    assert_eq!(controlled.by_rule(), counted);
    let told = controls.status().remove(1).rename_refused.expect("one was refused");
    assert_eq!(told, format!("{both}: label \"instance\" stands twice"));
}

#[test]
fn labels_do_not_outgrow_their_limit_by_a_rename() {
    let long = "n".repeat(1_024);
    let controls = under(vec![rule("long", metric("up"), rename(&[("a", &long)]))]);
    let value = "v".repeat(2_040);
    let labels: Vec<(&str, &str)> =
        ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| (name, value.as_str())).to_vec();
    let mut points = batch(&[("up", &labels, &[(1, 1.0)])]);
    let before = rows(&points);
    let controlled = controls.apply(&mut points);
    assert_eq!((rows(&points), controlled.by_rule()), (before, vec![("long", "rename_refused", 1)]));
}

/// The times that stay of `0..count` steps of 15 s.
fn kept(controls: &Controls, labels: &[(&str, &str)], count: i64) -> Vec<i64> {
    let given: Vec<(i64, f64)> = (0..count).map(|n| (T0 + n * 15_000, 1.0)).collect();
    let mut points = batch(&[("up", labels, &given)]);
    let controlled = controls.apply(&mut points);
    assert_eq!(controlled.left_out() + points.len() as u64, given.len() as u64);
    points.timestamps().iter().map(|timestamp| (timestamp - T0) / 15_000).collect()
}

#[test]
fn one_in_so_many_are_the_same_points_whenever_and_wherever_they_come() {
    let controls = under(vec![rule("less", metric("up"), one_in(10))]);
    let first = kept(&controls, &[("l", "1")], 10_000);
    assert!((900..=1_100).contains(&first.len()), "{}", first.len());
    assert_eq!(kept(&controls, &[("l", "1")], 10_000), first, "again");
    let elsewhere =
        under(vec![rule("other", metric(".*"), drop_labels(&["x"])), rule("less", metric("u."), one_in(10))]);
    assert_eq!(kept(&elsewhere, &[("l", "1")], 10_000), first, "under other rules of the same effect");
    assert_ne!(kept(&controls, &[("l", "2")], 10_000), first, "series do not thin out in step");
    // The choice is for ever: a node that reads the same messages years later makes the same.
    assert_eq!(first[..6], GOLDEN);
}

const GOLDEN: [i64; 6] = [15, 18, 36, 48, 54, 83];

#[test]
fn rules_that_keep_one_in_so_many_multiply() {
    let twice = under(vec![rule("a", metric("up"), one_in(4)), rule("b", metric("up"), one_in(4))]);
    let once = under(vec![rule("a", metric("up"), one_in(4))]);
    let (twice, once) = (kept(&twice, &[], 32_000), kept(&once, &[], 32_000));
    assert!((1_800..=2_200).contains(&twice.len()), "{}", twice.len());
    assert!(twice.iter().all(|point| once.contains(point)));
}

#[test]
fn a_series_that_ends_says_so_however_few_of_its_points_stay() {
    let controls = under(vec![rule("less", metric("up"), one_in(1_000_000))]);
    let mut points = batch(&[("up", &[], &[(T0, 1.0), (T0 + 1, stale())])]);
    let controlled = controls.apply(&mut points);
    assert_eq!(rows(&points), [("up{}".to_owned(), T0 + 1, stale().to_bits())]);
    assert_eq!(controlled.by_rule(), [("less", "leave_out", 1), ("less", "keep_one", 1)]);
}

#[test]
fn what_is_said_of_a_disabled_metric_is_not_stored_either() {
    let api = matcher("job", MatchOp::Equal, "api");
    let controls = under(vec![
        rule("api", vec![matcher("__name__", MatchOp::Equal, "debug_b"), api.clone()], Action::Keep),
        rule("no-debug", metric("debug_.*"), Action::Drop),
        rule("some", vec![matcher("__name__", MatchOp::Equal, "up"), api], Action::Drop),
    ]);
    for _ in 0..2 {
        let mut said = PointBatch::new();
        for metric in ["debug_a", "debug_b", "up"] {
            said.describe(metric, MetricMetadata { unit: Some("s".to_owned()), ..MetricMetadata::default() });
        }
        let controlled = controls.apply(&mut said);
        assert_eq!(said.metadata().keys().collect::<Vec<_>>(), ["debug_b", "up"]);
        assert_eq!(controlled.left_out(), 0);
    }
}

#[test]
fn points_are_counted_by_rule_once_they_are_in_and_as_long_as_the_rule_stands() {
    let controls = Controls::default();
    let mut registry = Registry::with_prefix("thermocline");
    controls.register(&mut registry);
    let drop = rule("no-debug", metric("debug_.*"), Action::Drop);
    let set = |rules: Vec<Rule>| controls.set(Rules::new(rules).expect("names differ"));
    set(vec![drop.clone(), rule("less", metric("up"), one_in(1))]);
    let send = || controls.apply(&mut batch(&[("debug_a", &[], &[(1, 1.0), (2, 1.0)]), ("up", &[], &[(1, 1.0)])]));
    let refused_by_the_sink = send();
    drop_of(refused_by_the_sink);
    send().count();
    let text = || {
        let mut text = String::new();
        runtime::metrics::encoding::text::encode(&mut text, &registry).expect("memory");
        text
    };
    let line = |rule: &str, action: &str, points: u64| {
        format!("thermocline_ingest_controlled_points_total{{rule=\"{rule}\",action=\"{action}\"}} {points}\n")
    };
    for line in [line("no-debug", "drop", 2), line("less", "leave_out", 0), line("less", "keep_one", 1)] {
        assert!(text().contains(&line), "{line} is missing in\n{}", text());
    }
    set(vec![rule("new", metric("up"), Action::Keep), drop.clone()]);
    send().count();
    assert!(text().contains(&line("no-debug", "drop", 4)), "it goes on: {}", text());
    assert!(!text().contains("less"), "it is gone: {}", text());
    let status: Vec<_> = controls.status().into_iter().map(|s| (s.rule.name().to_owned(), s.points)).collect();
    assert_eq!(status, [("new".to_owned(), vec![("keep", 1)]), ("no-debug".to_owned(), vec![("drop", 4)])]);
    set(Vec::new());
    assert_eq!(controls.status(), []);
}

/// A request that the sink could not take.
fn drop_of(controlled: Controlled) {
    assert_eq!(controlled.left_out(), 2);
}

#[test]
fn other_rules_hold_from_the_next_batch_on_for_every_handle() {
    let controls = Controls::default();
    let handle = controls.clone();
    let send = || {
        let mut points = batch(&[("up", &[], &[(1, 1.0)])]);
        (handle.apply(&mut points).left_out(), points.len())
    };
    assert_eq!(send(), (0, 1));
    controls.set(Rules::new(vec![rule("none", metric(".+"), Action::Drop)]).expect("one"));
    assert_eq!(send(), (1, 0));
    controls.set(Rules::default());
    assert_eq!(send(), (0, 1));
}

/// The rules for one point, the naive way: labels as a map, no cache, no canonical bytes.
fn naive(
    rules: &[Rule],
    labels: &BTreeMap<String, String>,
    timestamp: i64,
) -> (Option<BTreeMap<String, String>>, Counts) {
    let (mut labels, mut counts, mut one_in) = (labels.clone(), Counts::new(), 0);
    for rule in rules {
        let pairs: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if !rule.matches(&pairs) {
            continue;
        }
        let mut count = |action| *counts.entry((rule.name().to_owned(), action)).or_insert(0) += 1;
        match rule.action() {
            Action::Drop => {
                count("drop");
                return (None, counts);
            }
            Action::Keep => {
                count("keep");
                break;
            }
            Action::DropLabels(names) => {
                if names.iter().filter(|name| labels.remove(*name).is_some()).count() > 0 {
                    count("drop_labels");
                }
            }
            Action::RenameLabels(renames) => {
                let old: Vec<&String> = renames.keys().filter(|from| labels.contains_key(*from)).collect();
                let taken = |from: &&String| labels.contains_key(&renames[*from]) && !old.contains(&&renames[*from]);
                if old.iter().any(taken) {
                    count("rename_refused");
                } else if !old.is_empty() {
                    count("rename_labels");
                    let moved: Vec<_> =
                        old.iter().map(|from| (renames[*from].clone(), labels[*from].clone())).collect();
                    old.iter().for_each(|from| drop(labels.remove(*from)));
                    labels.extend(moved);
                }
            }
            Action::KeepOneIn(n) => {
                let hash = Labels::new(labels.iter()).expect("valid").hash();
                let seed =
                    crate::mix::splitmix64(u64::try_from(hash.0 & u128::from(u64::MAX)).expect("64 bits"), one_in);
                one_in += 1;
                if !crate::mix::splitmix64(seed, timestamp.cast_unsigned()).is_multiple_of(u64::from(n.get())) {
                    count("leave_out");
                    return (None, counts);
                }
                count("keep_one");
            }
        }
    }
    (Some(labels), counts)
}

type Counts = BTreeMap<(String, &'static str), u64>;

fn any_matchers() -> impl Strategy<Value = Vec<LabelMatcher>> {
    let op = prop_oneof![Just(MatchOp::Equal), Just(MatchOp::NotEqual), Just(MatchOp::Regex), Just(MatchOp::NotRegex)];
    let name = proptest::sample::select(vec!["__name__", "a", "b", "c"]);
    let value = proptest::sample::select(vec!["", "x", "y", "m", "m.*", "x|y", ".+"]);
    let one = (name, op, value).prop_map(|(name, op, value)| matcher(name, op, value));
    proptest::collection::vec(one, 0..3)
}

fn any_action() -> impl Strategy<Value = Action> {
    let label = || proptest::sample::select(vec!["a", "b", "c", "d"]);
    prop_oneof![
        1 => Just(Action::Drop),
        1 => Just(Action::Keep),
        2 => proptest::collection::btree_set(label().prop_map(str::to_owned), 1..3).prop_map(Action::DropLabels),
        3 => (label(), label(), label(), label()).prop_map(|(a, b, c, d)| rename(&[(a, b), (c, d)])),
        2 => (1_u32..4).prop_map(one_in),
    ]
}

fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    let rules = proptest::collection::vec((any_matchers(), any_action()), 0..6);
    rules.prop_map(|rules| {
        let named = rules.into_iter().enumerate();
        // Renames that must collide are refused: the others make the list.
        named.filter_map(|(n, (matchers, action))| Rule::new(format!("r{n}"), matchers, action).ok()).collect()
    })
}

fn any_points() -> impl Strategy<Value = Vec<(BTreeMap<String, String>, i64)>> {
    let labels = proptest::collection::btree_map("[a-d]", "[xy]", 0..4);
    let series = (labels, "m|my|x").prop_map(|(mut labels, metric)| {
        labels.insert("__name__".to_owned(), metric);
        labels
    });
    proptest::collection::vec((series, 0_i64..50), 0..40)
}

proptest! {
    /// Whatever the rules, the cache and its size: points, counts and origins are those of the naive model.
    #[test]
    fn a_batch_is_controlled_as_the_naive_model_says(
        rules in any_rules(),
        batches in proptest::collection::vec(any_points(), 1..5),
        series_cached in 1_usize..20,
    ) {
        let controls = Controls::with_room(Room { sets: 1, series: series_cached, bytes: 1_000 });
        controls.set(Rules::new(rules.clone()).expect("names differ"));
        for (given, time) in batches.iter().zip(0_i64..) {
            let mut points = PointBatch::new();
            for (point, (labels, timestamp)) in (0_u32..).zip(given) {
                let mut pairs: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                let series = points.add_series(&mut pairs).expect("valid");
                points.push(series, T0 + time + timestamp, f64::from(point));
            }
            let (mut expected, mut counts, mut left_out) = (Vec::new(), Counts::new(), 0);
            for (point, (labels, timestamp)) in (0_u32..).zip(given) {
                let (stored, counted) = naive(&rules, labels, T0 + time + timestamp);
                match stored {
                    Some(labels) => {
                        let series = Labels::new(labels.iter()).expect("valid").to_string();
                        expected.push((series, T0 + time + timestamp, f64::from(point).to_bits()));
                    }
                    None => left_out += 1,
                }
                counted.into_iter().for_each(|(key, points)| *counts.entry(key).or_insert(0) += points);
            }
            let controlled = controls.apply(&mut points);
            prop_assert_eq!(rows(&points), expected);
            prop_assert_eq!(controlled.left_out(), left_out);
            let by_rule: Counts =
                controlled.by_rule().into_iter().map(|(rule, action, points)| ((rule.to_owned(), action), points)).collect();
            prop_assert_eq!(by_rule, counts);
            // Every value is the index that its point had.
            for (point, value) in (0_u32..).zip(points.values()) {
                prop_assert_eq!(f64::from(controlled.index_before(point)).to_bits(), value.to_bits());
            }
            let mut used: Vec<u32> = points.series_of().to_vec();
            used.sort_unstable();
            used.dedup();
            prop_assert_eq!(used.len(), points.series_len(), "no series without a point");
        }
    }
}
