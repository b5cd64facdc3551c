//! Asks the engine and the model the same, and compares: values, names, and where the answer is said to come from.

use kit::Question;
use kit::oracle::{Agg, Answer, GroupAgg, SeriesName};
use query::{Granularity, Provenance, RangeAnswer, RangeRequest};
use schemas::{DurationMs, LabelMatcher, MatchOp, TimeRange, TimestampMs};

use super::given::World;
use super::owners;

/// The buckets that can be asked for, and raw points.
pub(crate) const WIDTHS: [Option<DurationMs>; 4] =
    [None, Some(DurationMs::MINUTE), Some(DurationMs::HOUR), Some(DurationMs::DAY)];

pub(crate) fn range(start_ms: i64, end_ms: i64) -> TimeRange {
    TimeRange::new(TimestampMs(start_ms), TimestampMs(end_ms)).expect("tests order their ranges")
}

/// Every series of a metric.
pub(crate) fn metric(name: &str) -> Vec<LabelMatcher> {
    vec![LabelMatcher::equal("__name__", name)]
}

/// Every series there is.
pub(crate) fn everything() -> Vec<LabelMatcher> {
    vec![LabelMatcher::new("__name__", MatchOp::Regex, ".+").expect("a valid pattern")]
}

impl World {
    /// Asks, and holds the answer against the model.
    pub(crate) async fn ask(&self, question: &Question) -> RangeAnswer {
        let answer = self.answer(question).await;
        let expected = self.model.answer(question);
        assert_right(question, &expected, &answer);
        owners::assert_true(self, question, &answer.provenance);
        answer
    }

    /// Asks while jobs are at work: the numbers are right, and where they come from is changing.
    pub(crate) async fn ask_meanwhile(&self, question: &Question) -> RangeAnswer {
        let answer = self.answer(question).await;
        assert_right(question, &self.model.answer(question), &answer);
        answer
    }

    /// Asks, and leaves the judgement to the caller.
    pub(crate) async fn answer(&self, question: &Question) -> RangeAnswer {
        let answer = self.life().engine.range(request(question)).await;
        answer.unwrap_or_else(|error| panic!("{error} ({:?}): {question:?}", std::error::Error::source(&error)))
    }

    /// Asks everything that can be asked of a range: every granularity, every aggregate, alone and in groups.
    pub(crate) async fn ask_all(&self, matchers: &[LabelMatcher], within: TimeRange) -> Vec<Provenance> {
        let mut told = vec![self.ask(&Question::raw(matchers.to_vec(), within)).await.provenance];
        for width in WIDTHS.into_iter().flatten() {
            for (_, agg) in Agg::ALL {
                let question = Question::buckets(matchers.to_vec(), within, width, agg);
                told.push(self.ask(&question).await.provenance);
                let merged = Question { group_by: Some(vec!["job".to_owned()]), ..question };
                told.push(self.ask(&merged).await.provenance);
            }
            for (_, group_agg) in GroupAgg::ALL {
                let question = Question::buckets(matchers.to_vec(), within, width, Agg::Increase);
                told.push(self.ask(&Question { group_agg: Some(group_agg), ..question }).await.provenance);
            }
        }
        told
    }
}

/// A question in the words of the engine.
fn request(question: &Question) -> RangeRequest {
    let granularity = match question.width {
        None => Granularity::Raw,
        Some(DurationMs::MINUTE) => Granularity::Minute,
        Some(DurationMs::HOUR) => Granularity::Hour,
        Some(DurationMs::DAY) => Granularity::Day,
        Some(other) => panic!("{other} is no granularity"),
    };
    let agg = match question.agg {
        Agg::Avg => query::Agg::Avg,
        Agg::Min => query::Agg::Min,
        Agg::Max => query::Agg::Max,
        Agg::Sum => query::Agg::Sum,
        Agg::Count => query::Agg::Count,
        Agg::First => query::Agg::First,
        Agg::Last => query::Agg::Last,
        Agg::Quantile(q) => query::Agg::Quantile(q),
        Agg::Rate => query::Agg::Rate,
        Agg::Increase => query::Agg::Increase,
    };
    let group_agg = question.group_agg.map(|group_agg| match group_agg {
        GroupAgg::Sum => query::GroupAgg::Sum,
        GroupAgg::Avg => query::GroupAgg::Avg,
        GroupAgg::Min => query::GroupAgg::Min,
        GroupAgg::Max => query::GroupAgg::Max,
        GroupAgg::Count => query::GroupAgg::Count,
    });
    RangeRequest {
        granularity,
        agg,
        group_by: question.group_by.clone(),
        group_agg,
        ..RangeRequest::new(question.matchers.clone(), question.range)
    }
}

/// Whether groups make the order of equal values play a part: −0 and 0 are then as good as each other.
fn is_grouped(question: &Question) -> bool {
    question.group_by.is_some() || question.group_agg.is_some()
}

fn assert_right(question: &Question, expected: &Answer, answer: &RangeAnswer) {
    let named =
        |series: &query::AnswerSeries| SeriesName { metric: series.metric.clone(), labels: series.labels.clone() };
    let names: Vec<SeriesName> = answer.series.iter().map(named).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "outputs are sorted, and each is there once: {names:?}");
    assert!(names.iter().eq(expected.keys()), "{question:?}\n got {names:?}\nwant {:?}", expected.keys());
    let error = answer.provenance.quantile_error.unwrap_or(0.0);
    for (series, (name, wanted)) in answer.series.iter().zip(expected) {
        let times = series.points.iter().map(|(ts, _)| *ts);
        assert!(
            times.clone().eq(wanted.iter().map(|(ts, _)| *ts)),
            "{question:?}\n{name:?}\n got {:?}\nwant {:?}",
            times.collect::<Vec<_>>(),
            wanted.iter().map(|(ts, _)| *ts).collect::<Vec<_>>()
        );
        for ((ts, got), (_, wanted)) in series.points.iter().zip(wanted) {
            let got = got.expect("nothing was to be filled");
            let same = got.to_bits() == wanted.value.to_bits();
            let zeros = is_grouped(question) && got == 0.0 && wanted.value == 0.0;
            // Points themselves are kept bit for bit, the payload of a NaN included.
            let right = if question.width.is_none() { same } else { zeros || wanted.accepts(got, error) };
            assert!(
                right,
                "{question:?}\n{name:?} at {ts}: got {got:?} ({:#018x}), want {wanted:?}, stated error {error}\n{:?}",
                got.to_bits(),
                answer.provenance
            );
        }
    }
}
