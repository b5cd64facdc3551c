//! Quantiles and fractions of histograms: native ones by themselves, classic ones by their buckets `le`.
//!
//! series, held ─ labels without `le` ─▶ histograms: buckets with their bounds, or one native ─▶ each step ─▶ columns

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use schemas::Labels;
use schemas::labels::{LabelsBuilder, METRIC_NAME};

use super::EvalError;
use super::context::{Context, string_of, unwrapped};
use super::grid::Steps;
use super::scalar::Scalars;
use super::series::{Series, Vector};
use super::stream::Stream;
use super::warnings;
use crate::ast::{Call, Expr};
use crate::column::Column;
use crate::error::Span;
use crate::functions::FunctionId;
use crate::histogram::{self, Subject};
use crate::instant::classic::{self, ClassicBucket, ForcedSteps};
use crate::math::shortest;
use crate::notes::Notes;

/// The label of a classic bucket's upper bound.
const BOUND: &str = "le";

/// What is asked of each histogram.
enum Asked {
    /// A quantile, and what its result has for a label.
    Quantile {
        quantile: Scalars,
        label: Option<(String, String)>,
    },
    Fraction {
        lower: Scalars,
        upper: Scalars,
    },
}

impl Asked {
    /// Whether it is asked at a step: a quantile with a label, where the label says which.
    fn is_at(&self, step: usize) -> bool {
        match self {
            Self::Quantile { quantile: quantile @ Scalars::Each(_), label: Some((_, text)) } => {
                open_metrics_float(quantile.at(step)) == *text
            }
            Self::Quantile { .. } | Self::Fraction { .. } => true,
        }
    }
}

impl<'q> Context<'q> {
    /// `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`.
    pub(super) fn of_buckets(&'q self, call: &'q Call, steps: Steps) -> Result<Stream<'q>, EvalError> {
        let args: Vec<&Expr> = call.args.iter().map(unwrapped).collect();
        let mut notes = Notes::default();
        let mut quantile_of = |arg: &'q Expr| {
            let quantile = self.scalar(arg, steps)?;
            let subject = Subject { metric: "", span: arg.span };
            quantile.values().iter().for_each(|value| subject.check_quantile(*value, &mut notes));
            Ok::<_, EvalError>(quantile)
        };
        let (vector, asked) = match call.function.id {
            FunctionId::HistogramFraction => {
                let (lower, upper) = (self.scalar(args[0], steps)?, self.scalar(args[1], steps)?);
                (args[2], vec![Asked::Fraction { lower, upper }])
            }
            FunctionId::HistogramQuantiles => {
                let label = string_of(args[1])?;
                let mut asked = Vec::new();
                for arg in &args[2..] {
                    let quantile = quantile_of(arg)?;
                    let texts: BTreeSet<String> = quantile.values().iter().copied().map(open_metrics_float).collect();
                    asked.extend(texts.into_iter().map(|text| Asked::Quantile {
                        quantile: quantile.clone(),
                        label: Some((label.to_owned(), text)),
                    }));
                }
                (args[0], asked)
            }
            _ => (args[1], vec![Asked::Quantile { quantile: quantile_of(args[0])?, label: None }]),
        };
        let input = self.vector(vector, steps)?.collect()?;
        let mut asking = Asking {
            steps,
            span: vector.span,
            names_known: self.options.delayed_name_removal,
            notes,
            forced: BTreeMap::new(),
        };
        let histograms = asking.histograms(&input.series);
        let (mut series, mut held) = (Vec::new(), self.budget.hold_nothing());
        let mut builder = LabelsBuilder::default();
        for one in &asked {
            for histogram in &histograms {
                self.stop.check()?;
                let column = asking.column(one, histogram, &input.series);
                if column.has_nothing() {
                    continue;
                }
                held.add(column.samples(), column.bytes())?;
                let labels = match one {
                    Asked::Quantile { label: Some((name, value)), .. } => builder.with(&histogram.labels, name, value),
                    _ => histogram.labels.clone(),
                };
                series.push(Series { labels, drop_name: true, column });
            }
        }
        self.note(asking.finish());
        // The same quantile may be asked for twice.
        let stream = self.one_series_a_label_set(Stream::given(self, Vector { series, held }))?;
        self.without_names(stream)
    }
}

/// A number as OpenMetrics writes it in labels: never without a point or an exponent.
fn open_metrics_float(value: f64) -> String {
    let text = shortest(value);
    if text.contains(['.', 'e']) || !value.is_finite() { text } else { text + ".0" }
}

/// A histogram of either kind.
struct Histogram {
    labels: Labels,
    /// Series, and their upper bounds.
    buckets: Vec<(usize, f64)>,
    /// The series of native histograms with the same labels.
    native: Option<usize>,
}

struct Asking {
    steps: Steps,
    /// Of the vector.
    span: Span,
    names_known: bool,
    notes: Notes,
    /// By metric, the steps at which counts of buckets had to be lifted.
    forced: BTreeMap<String, ForcedSteps>,
}

impl Asking {
    fn histograms(&mut self, series: &[Series]) -> Vec<Histogram> {
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut found: Vec<Histogram> = Vec::new();
        let mut builder = LabelsBuilder::default();
        let mut place = |labels: Labels, found: &mut Vec<Histogram>| {
            *places.entry(labels).or_insert_with_key(|labels| {
                found.push(Histogram { labels: labels.clone(), buckets: Vec::new(), native: None });
                found.len() - 1
            })
        };
        for (at, one) in series.iter().enumerate() {
            if one.column.has_histograms() {
                let place = place(one.labels.clone(), &mut found);
                found[place].native = Some(at);
            }
            if (0..one.column.len()).all(|step| one.column.float(step).is_none()) {
                continue;
            }
            let bound = one.labels.get(BOUND).unwrap_or_default();
            match bound.parse::<f64>() {
                Ok(upper) if !upper.is_nan() => {
                    let place = place(builder.filtered(&one.labels, |name| name != BOUND.as_bytes()), &mut found);
                    found[place].buckets.push((at, upper));
                }
                _ => warnings::bad_bucket(self.metric(&one.labels), bound, self.span, &mut self.notes),
            }
        }
        found
    }

    fn metric<'a>(&self, labels: &'a Labels) -> &'a str {
        if self.names_known { labels.get(METRIC_NAME).unwrap_or_default() } else { "" }
    }

    fn column(&mut self, asked: &Asked, of: &Histogram, series: &[Series]) -> Column {
        let mut column = Column::empty(self.steps.count);
        let mut buckets = Vec::with_capacity(of.buckets.len());
        for step in 0..self.steps.count {
            if !asked.is_at(step) {
                continue;
            }
            buckets.clear();
            buckets.extend(of.buckets.iter().filter_map(|(at, upper)| {
                series[*at].column.float(step).map(|count| ClassicBucket { upper: *upper, count })
            }));
            let native = of.native.and_then(|at| series[at].column.histogram(step));
            let value = match (native, buckets.is_empty()) {
                (None, true) => continue,
                (Some(_), false) => {
                    warnings::classic_and_native(self.metric(&of.labels), self.span, &mut self.notes);
                    continue;
                }
                (Some(native), true) => {
                    let subject = Subject { metric: self.metric(&of.labels), span: self.span };
                    of_native(asked, step, native, subject, &mut self.notes)
                }
                (None, false) => self.of_classic(asked, step, of, &mut buckets),
            };
            column.set_float(step, value);
        }
        column
    }

    fn of_classic(&mut self, asked: &Asked, step: usize, of: &Histogram, buckets: &mut Vec<ClassicBucket>) -> f64 {
        match asked {
            Asked::Fraction { lower, upper } => classic::fraction(lower.at(step), upper.at(step), buckets),
            Asked::Quantile { quantile, .. } => {
                let (value, forced) = classic::quantile(quantile.at(step), buckets);
                if let Some(forced) = forced {
                    let forced = ForcedSteps::new(forced, self.steps.time(step));
                    let metric = self.metric(&of.labels).to_owned();
                    self.forced.entry(metric).and_modify(|known| known.merge(&forced)).or_insert(forced);
                }
                value
            }
        }
    }

    fn finish(mut self) -> Notes {
        for (metric, forced) in &self.forced {
            forced.note(Subject { metric, span: self.span }, &mut self.notes);
        }
        self.notes
    }
}

fn of_native(
    asked: &Asked,
    step: usize,
    native: &schemas::histogram::Histogram,
    subject: Subject<'_>,
    notes: &mut Notes,
) -> f64 {
    match asked {
        Asked::Quantile { quantile, .. } => histogram::quantile(quantile.at(step), native, subject, notes),
        Asked::Fraction { lower, upper } => histogram::fraction(lower.at(step), upper.at(step), native, subject, notes),
    }
}
