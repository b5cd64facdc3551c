//! What a node answers of an archive that others write to as well, one fact a test.

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt as _;
use kit::Question;
use kit::oracle::Agg;
use query::{Granularity, QueryError, QueryLimits, RangeRequest};
use schemas::{DurationMs, LabelMatcher, Labels, MatchOp, Retention, TimeRange};

use crate::given::{Given, hours, labels, metric};

const MINUTE_MS: i64 = DurationMs::MINUTE.0;

fn cpu(host: &str) -> Labels {
    labels(&[("__name__", "cpu"), ("host", host)])
}

fn disk(host: &str) -> Labels {
    labels(&[("__name__", "disk"), ("host", host)])
}

/// A point every half minute in `[from, to)` hours.
fn steady(from: i64, to: i64) -> Vec<(i64, f64)> {
    let span = hours(from, to);
    let times = (span.start().0..span.end().0).step_by(30_000);
    times.zip(0_i32..).map(|(ts, i)| (ts, f64::from(i % 97))).collect()
}

/// Everything but the last two hours is Delta's.
fn brief() -> Retention {
    let two = DurationMs::hours(2);
    Retention { hot_raw: two, warm_rollup_1m: two, warm_rollup_1h: two, ..Retention::default() }
}

/// Two nodes on one archive, at six o'clock on the second day.
struct Both {
    here: Given,
    there: Given,
}

impl Both {
    async fn empty() -> Self {
        let there = Given::empty_at(30).await;
        let here = there.beside("life-2").await;
        Self { here, there }
    }

    /// Points that only the other node is sent.
    fn there(&mut self, of: &Labels, points: &[(i64, f64)]) {
        self.there.points(of, points.iter().copied());
        points.iter().for_each(|&(ts, value)| self.here.oracle.append(of, ts, value));
    }

    fn here(&mut self, of: &Labels, points: &[(i64, f64)]) {
        self.here.points(of, points.iter().copied());
    }

    async fn archived(&self) {
        for node in [&self.there, &self.here] {
            node.sealed().await;
            node.archived().await;
        }
    }
}

/// Every kind of read: raw points, rows with and without sketches, merged and not.
fn questions(of: &[LabelMatcher], range: TimeRange) -> Vec<Question> {
    let mut all = vec![Question::raw(of.to_vec(), range)];
    for width in [DurationMs::MINUTE, DurationMs::HOUR, DurationMs::DAY] {
        for agg in [Agg::Sum, Agg::Last, Agg::Quantile(0.99), Agg::Quantile(0.5), Agg::Increase] {
            let each = Question::buckets(of.to_vec(), range, width, agg);
            all.extend([Question { group_by: Some(Vec::new()), ..each.clone() }, each]);
        }
    }
    all
}

fn anything() -> Vec<LabelMatcher> {
    vec![LabelMatcher::new("__name__", MatchOp::Regex, ".+").expect("compiles")]
}

fn table(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).expect("prints").to_string();
    text.lines().filter(|line| line.starts_with('|')).skip(1).map(str::to_owned).collect()
}

/// Requests for what no statistics of files rule out.
async fn range_gets(given: &Given, of: &str, range: TimeRange, granularity: Granularity) -> u64 {
    let matchers = vec![LabelMatcher::new("__name__", MatchOp::Regex, of).expect("compiles")];
    let request = RangeRequest { granularity, ..RangeRequest::new(matchers, range) };
    given.ask(request).await.expect("answers").provenance.object_store_gets
}

async fn sql_gets(given: &Given, query: &str) -> u64 {
    let answer = given.engine.sql(query).await.expect("plans");
    let _rows: Vec<RecordBatch> = answer.stream.try_collect().await.expect("reads");
    answer.provenance.snapshot().object_store_gets
}

#[tokio::test(flavor = "multi_thread")]
async fn series_that_only_another_node_wrote_are_answered_once_their_hours_are_deltas() {
    let mut both = Both::empty().await;
    // Of a metric that this node has too, and of one that it never heard of.
    both.there(&cpu("a"), &steady(0, 3));
    both.there(&disk("a"), &steady(1, 4));
    both.there(&disk("b"), &steady(2, 3));
    both.here(&cpu("b"), &steady(1, 5));
    both.archived().await;
    // Hours that are this node's own: a base, a run over it, and the head.
    both.here(&cpu("b"), &steady(28, 29));
    both.here.sealed().await;
    both.here(&cpu("c"), &steady(28, 29));
    both.here.flushed().await;
    both.here(&cpu("d"), &steady(29, 30));
    assert!(both.here.ask(RangeRequest::new(metric("disk"), hours(0, 30))).await.expect("answers").series.is_empty());
    both.here.retained(brief()).await;
    for of in [metric("cpu"), metric("disk"), anything()] {
        for span in [hours(0, 30), hours(1, 3)] {
            for question in questions(&of, span) {
                both.here.agrees(&question, "once Delta's").await;
            }
        }
    }
    let absent = vec![LabelMatcher::equal("__name__", "disk"), LabelMatcher::equal("host", "c")];
    both.here.agrees(&Question::raw(absent, hours(0, 30)), "nobody wrote it").await;
    both.here.agrees(&Question::raw(metric("disk"), hours(24, 30)), "not on that day").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_finds_series_that_only_another_node_wrote() {
    let mut both = Both::empty().await;
    both.there(&cpu("a"), &steady(0, 3));
    both.there(&disk("a"), &steady(1, 4));
    both.here(&cpu("b"), &steady(1, 2));
    both.archived().await;
    both.here.retained(brief()).await;
    for (table_name, rows_an_hour) in [("samples", 120), ("rollup_1m", 60), ("rollup_1h", 1)] {
        let query = format!(
            "SELECT metric, labels['host'] AS host, count(*) AS n FROM {table_name} GROUP BY 1, 2 ORDER BY 1, 2"
        );
        let counted: Vec<Vec<String>> = table(&both.here.sql(&query).await)
            .iter()
            .map(|row| row.split('|').map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect())
            .collect();
        let row =
            |metric: &str, host: &str, hours: i32| vec![metric.into(), host.into(), (hours * rows_an_hour).to_string()];
        assert_eq!(counted, [row("cpu", "a", 3), row("cpu", "b", 1), row("disk", "a", 3)], "{table_name}");
    }
    let named = "SELECT metric, labels['host'] AS host, retention_class FROM series ORDER BY 1, 2";
    let rows = ["| cpu    | a    | default         |", "| cpu    | b    | default         |"];
    let rows = [rows[0], rows[1], "| disk   | a    | default         |"];
    assert_eq!(table(&both.here.sql(named).await), rows);
    let ids = [disk("a"), cpu("b")].map(|of| of.hash().series_id().0);
    let by_id = format!(
        "SELECT metric, count(*) AS n FROM samples WHERE series_id IN ({}, {}) GROUP BY 1 ORDER BY 1",
        ids[0], ids[1]
    );
    assert_eq!(table(&both.here.sql(&by_id).await), ["| cpu    | 120 |", "| disk   | 360 |"]);
    let joined = "SELECT count(*) AS n FROM samples a JOIN samples b ON a.ts = b.ts \
                  WHERE a.metric = 'cpu' AND b.metric = 'disk' AND a.labels['host'] = 'b'";
    assert_eq!(table(&both.here.sql(joined).await), ["| 120 |"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_that_was_active_elsewhere_is_found_on_the_days_that_this_node_has_not_seen_it() {
    let mut both = Both::empty().await;
    both.there(&cpu("a"), &steady(0, 3));
    both.there(&disk("a"), &steady(0, 2));
    both.here(&cpu("a"), &steady(25, 26));
    both.here(&disk("b"), &steady(25, 26));
    both.archived().await;
    both.here.retained(brief()).await;
    for span in [hours(0, 24), hours(24, 30), hours(0, 30)] {
        for question in questions(&anything(), span) {
            both.here.agrees(&question, "each had its day").await;
        }
    }
    // Late points of the other's day, for a series that is known and for one that was not.
    both.here(&cpu("a"), &[(hours(1, 2).start().0 + 7, 1e6)]);
    both.here(&disk("a"), &[(hours(1, 2).start().0, -5.0)]);
    for stage in ["in the head", "in a run", "sealed", "archived"] {
        match stage {
            "in a run" => both.here.flushed().await,
            "sealed" => both.here.sealed().await,
            "archived" => both.here.archived().await,
            _ => {}
        }
        for question in questions(&anything(), hours(0, 24)) {
            both.here.agrees(&question, stage).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_on_its_archive_asks_it_nothing_to_find_series() {
    let mut alone = Given::empty_at(30).await;
    alone.points(&cpu("a"), steady(0, 3));
    alone.sealed().await;
    alone.archived().await;
    alone.retained(brief()).await;
    let by_id = format!("SELECT ts FROM samples WHERE series_id = {}", disk("a").hash().series_id().0);
    let finding = [by_id.as_str(), "SELECT ts FROM samples WHERE metric = 'disk'", "SELECT * FROM series"];
    assert_eq!(range_gets(&alone, "d.+", hours(0, 30), Granularity::Auto).await, 0);
    for query in finding {
        assert_eq!(sql_gets(&alone, query).await, 0, "{query}");
    }
    assert!(range_gets(&alone, "c.+", hours(0, 30), Granularity::Auto).await > 0, "the hours are Delta's");
    // Next to another one it asks, where that one has written and Delta answers.
    let mut other = alone.beside("life-2").await;
    other.points(&disk("b"), steady(2, 3));
    other.points(&disk("c"), steady(28, 29));
    other.sealed().await;
    other.archived().await;
    alone.retained(brief()).await;
    assert!(range_gets(&alone, "d.+", hours(0, 30), Granularity::Auto).await > 0);
    for query in &finding[1..] {
        assert!(sql_gets(&alone, query).await > 0, "{query}");
    }
    assert_eq!(
        range_gets(&alone, "d.+", hours(26, 30), Granularity::Auto).await,
        0,
        "no hour is Delta's and another's"
    );
    let known = format!("EXPLAIN SELECT ts FROM samples WHERE series_id = {}", cpu("a").hash().series_id().0);
    assert_eq!(sql_gets(&alone, &known).await, 0, "nothing is left to look for");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_locally_is_not_looked_for_in_the_archive() {
    let mut both = Both::empty().await;
    both.there(&disk("a"), &steady(0, 2));
    both.here(&cpu("a"), &steady(0, 2));
    both.archived().await;
    // Raw points leave earlier than rollups, except of metrics whose chunks serve as rollups too.
    both.here.retained(Retention { hot_raw: DurationMs::hours(2), ..Retention::default() }).await;
    let gets = async |granularity| range_gets(&both.here, "d.+", hours(0, 30), granularity).await;
    assert_eq!((gets(Granularity::Minute).await, gets(Granularity::Hour).await), (0, 0), "local, as of a node alone");
    assert!(gets(Granularity::Raw).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_on_series_counts_those_of_others() {
    let mut both = Both::empty().await;
    for host in ["a", "b", "c"] {
        both.there(&cpu(host), &steady(0, 1)[..2]);
    }
    both.here(&cpu("d"), &[(hours(0, 1).start().0 + MINUTE_MS, 1.0)]);
    both.archived().await;
    both.here.retained(brief()).await;
    let request = || RangeRequest::new(metric("cpu"), hours(0, 1));
    let exactly = both.here.engine_with(QueryLimits { series_max: 4, ..QueryLimits::default() });
    assert_eq!(exactly.range(request()).await.expect("answers").series.len(), 4);
    let fewer = both.here.engine_with(QueryLimits { series_max: 3, ..QueryLimits::default() });
    let refused = fewer.range(request()).await.expect_err("refused");
    assert!(matches!(&refused, QueryError::TooLarge(text) if text.contains("more than 3 series")), "{refused:?}");
    let by_sql = fewer.sql("SELECT ts FROM samples").await.map(|_| ()).expect_err("refused");
    assert!(matches!(by_sql, QueryError::TooLarge(_)), "{by_sql:?}");
}
