//! What is called, and with what.

use crate::ast::Edges;
use crate::functions::named_functions;
use crate::histogram::Subject;
use crate::storage::Windows;

named_functions! {
    /// A function over the points of a window.
    RangeFunction {
        AbsentOverTime = "absent_over_time",
        AvgOverTime = "avg_over_time",
        Changes = "changes",
        CountOverTime = "count_over_time",
        Delta = "delta",
        Deriv = "deriv",
        DoubleExponentialSmoothing = "double_exponential_smoothing",
        FirstOverTime = "first_over_time",
        Idelta = "idelta",
        Increase = "increase",
        Irate = "irate",
        LastOverTime = "last_over_time",
        MadOverTime = "mad_over_time",
        MaxOverTime = "max_over_time",
        MinOverTime = "min_over_time",
        PredictLinear = "predict_linear",
        PresentOverTime = "present_over_time",
        QuantileOverTime = "quantile_over_time",
        Rate = "rate",
        Resets = "resets",
        StddevOverTime = "stddev_over_time",
        StdvarOverTime = "stdvar_over_time",
        SumOverTime = "sum_over_time",
        TsOfFirstOverTime = "ts_of_first_over_time",
        TsOfLastOverTime = "ts_of_last_over_time",
        TsOfMaxOverTime = "ts_of_max_over_time",
        TsOfMinOverTime = "ts_of_min_over_time",
    }
}

impl RangeFunction {
    /// Whether a selector with these edges may be its argument.
    pub fn allows(self, edges: Edges) -> bool {
        match edges {
            Edges::Plain => true,
            Edges::Smoothed => matches!(self, Self::Rate | Self::Increase | Self::Delta),
            Edges::Anchored => {
                matches!(self, Self::Rate | Self::Increase | Self::Delta | Self::Resets | Self::Changes)
            }
        }
    }

    /// `last_over_time` and `first_over_time` give a sample as it is, and keep the metric's name.
    pub fn keeps_name(self) -> bool {
        matches!(self, Self::FirstOverTime | Self::LastOverTime)
    }

    pub(super) fn is_counter(self) -> bool {
        matches!(self, Self::Rate | Self::Increase | Self::Irate)
    }

    /// Looks at when counters began.
    pub(super) fn heeds_starts(self) -> bool {
        self.is_counter() || self == Self::Resets
    }

    /// Gives values per second.
    pub(super) fn is_per_second(self) -> bool {
        matches!(self, Self::Rate | Self::Irate)
    }
}

/// A scalar argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    Constant(f64),
    /// One value a step.
    Steps(Vec<f64>),
}

/// The scalar arguments of a call, in the order of the text, without the range vector.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Args(Vec<Arg>);

impl Args {
    pub fn new(args: Vec<Arg>) -> Self {
        Self(args)
    }

    pub fn constants(values: &[f64]) -> Self {
        Self(values.iter().map(|&value| Arg::Constant(value)).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, if they are the same at all steps.
    pub fn as_constants(&self) -> Option<Vec<f64>> {
        let value = |arg: &Arg| match arg {
            Arg::Constant(value) => Some(*value),
            Arg::Steps(_) => None,
        };
        self.0.iter().map(value).collect()
    }

    /// NaN where there is no such argument.
    pub fn at(&self, index: usize, step: usize) -> f64 {
        match self.0.get(index) {
            Some(Arg::Constant(value)) => *value,
            Some(Arg::Steps(values)) => values.get(step).copied().unwrap_or(f64::NAN),
            None => f64::NAN,
        }
    }
}

/// A call of a function on the windows of one series.
#[derive(Debug, Clone, Copy)]
pub struct RangeCall<'a> {
    pub function: RangeFunction,
    pub args: &'a Args,
    /// Of the selector.
    pub edges: Edges,
    /// How far beside its windows a selector with edges looks, ms.
    pub lookback: i64,
    /// Time of the first step, and from one to the next, ms: `predict_linear` counts from a step, not from its window.
    pub steps: (i64, i64),
    /// For notes: the metric, and the place of the first argument.
    pub subject: Subject<'a>,
}

impl RangeCall<'_> {
    /// Whether the same window may give another value at another step.
    pub(super) fn depends_on_step(&self) -> bool {
        self.function == RangeFunction::PredictLinear || self.args.as_constants().is_none()
    }

    /// Time of a step, ms.
    pub(super) fn time(&self, step: usize) -> i64 {
        let (first, interval) = self.steps;
        first.saturating_add(interval.saturating_mul(i64::try_from(step).unwrap_or(i64::MAX)))
    }

    /// The earliest and the latest time (both inclusive, ms) of points that matter.
    pub(super) fn reach(&self, windows: &Windows) -> (i64, i64) {
        let (first, last) = windows.span();
        match self.edges {
            Edges::Plain => (first, last),
            Edges::Anchored => (first.saturating_sub(self.lookback), last),
            Edges::Smoothed => (first.saturating_sub(self.lookback), last.saturating_add(self.lookback)),
        }
    }
}
