//! Functions of single samples, in place on the column of a series.
//!
//! function + scalar arguments + column ─ [`apply`] ─▶ column · classic buckets of one step ─ [`classic`] ─▶
//! quantile, part
//!
//! Functions of floats empty the places of histograms, functions of histograms those of floats: what a function has
//! no value for is not in its result. Not here: windows (`range`), quantiles of native histograms (`histogram`),
//! labels (`eval`).

pub mod classic;
mod date;
mod math;
#[cfg(test)]
mod tests;

pub use date::{DatePart, date_part};
pub use math::{greater, lesser};

use crate::column::{Column, Value};
use crate::functions::named_functions;
use crate::histogram::{mean, variance};
use crate::range::Args;

named_functions! {
    /// A function of a sample.
    InstantFunction {
        Abs = "abs", Acos = "acos", Acosh = "acosh", Asin = "asin", Asinh = "asinh", Atan = "atan", Atanh = "atanh",
        Ceil = "ceil", Clamp = "clamp", ClampMax = "clamp_max", ClampMin = "clamp_min", Cos = "cos", Cosh = "cosh",
        DayOfMonth = "day_of_month", DayOfWeek = "day_of_week", DayOfYear = "day_of_year", DaysInMonth = "days_in_month",
        Deg = "deg", Exp = "exp", Floor = "floor", HistogramAvg = "histogram_avg", HistogramCount = "histogram_count",
        HistogramStddev = "histogram_stddev", HistogramStdvar = "histogram_stdvar", HistogramSum = "histogram_sum",
        Hour = "hour", Ln = "ln", Log10 = "log10", Log2 = "log2", Minute = "minute", Month = "month", Rad = "rad",
        Round = "round", Sgn = "sgn", Sin = "sin", Sinh = "sinh", Sqrt = "sqrt", Tan = "tan", Tanh = "tanh", Year = "year",
    }
}

impl InstantFunction {
    /// The part of a date that it gives: such a function may stand without a vector, and then is of the step's time.
    pub fn date_part(self) -> Option<DatePart> {
        Some(match self {
            Self::DayOfMonth => DatePart::DayOfMonth,
            Self::DayOfWeek => DatePart::DayOfWeek,
            Self::DayOfYear => DatePart::DayOfYear,
            Self::DaysInMonth => DatePart::DaysInMonth,
            Self::Hour => DatePart::Hour,
            Self::Minute => DatePart::Minute,
            Self::Month => DatePart::Month,
            Self::Year => DatePart::Year,
            _ => return None,
        })
    }

    /// Of one float alone: most of them.
    fn of_float(self) -> Option<fn(f64) -> f64> {
        Some(match self {
            Self::Abs => f64::abs,
            Self::Acos => f64::acos,
            Self::Acosh => math::acosh,
            Self::Asin => f64::asin,
            Self::Asinh => f64::asinh,
            Self::Atan => f64::atan,
            Self::Atanh => f64::atanh,
            Self::Ceil => f64::ceil,
            Self::Cos => f64::cos,
            Self::Cosh => f64::cosh,
            Self::Deg => math::degrees,
            Self::Exp => f64::exp,
            Self::Floor => f64::floor,
            Self::Ln => f64::ln,
            Self::Log10 => f64::log10,
            Self::Log2 => f64::log2,
            Self::Rad => math::radians,
            Self::Sgn => math::sign,
            Self::Sin => f64::sin,
            Self::Sinh => f64::sinh,
            Self::Sqrt => f64::sqrt,
            Self::Tan => f64::tan,
            Self::Tanh => f64::tanh,
            _ => return None,
        })
    }
}

/// Applies a function to a column, place by place.
pub fn apply(function: InstantFunction, args: &Args, column: &mut Column) {
    use InstantFunction as F;
    let arg =
        |index: usize, step: usize, otherwise: f64| if index < args.len() { args.at(index, step) } else { otherwise };
    match function {
        F::HistogramAvg => of_histograms(column, mean),
        F::HistogramCount => of_histograms(column, |histogram| histogram.count),
        F::HistogramSum => of_histograms(column, |histogram| histogram.sum),
        F::HistogramStddev => of_histograms(column, |histogram| variance(histogram).sqrt()),
        F::HistogramStdvar => of_histograms(column, variance),
        F::Round => of_floats(column, |step, value| Some(math::round(value, arg(0, step, 1.0)))),
        F::Clamp => of_floats(column, |step, value| math::clamp(value, args.at(0, step), args.at(1, step))),
        F::ClampMax => of_floats(column, |step, value| math::clamp(value, f64::NEG_INFINITY, args.at(0, step))),
        F::ClampMin => of_floats(column, |step, value| math::clamp(value, args.at(0, step), f64::INFINITY)),
        _ => match (function.of_float(), function.date_part()) {
            (Some(change), _) => of_floats(column, |_, value| Some(change(value))),
            (None, Some(part)) => of_floats(column, |_, value| Some(date_part(part, value))),
            (None, None) => {}
        },
    }
}

fn of_floats(column: &mut Column, change: impl Fn(usize, f64) -> Option<f64>) {
    for step in 0..column.len() {
        match column.float(step).and_then(|value| change(step, value)) {
            Some(value) => column.set_float(step, value),
            None => column.clear(step),
        }
    }
}

fn of_histograms(column: &mut Column, change: impl Fn(&schemas::histogram::Histogram) -> f64) {
    for step in 0..column.len() {
        match column.get(step) {
            Some(Value::Histogram(histogram)) => column.set_float(step, change(&histogram)),
            Some(Value::Float(_)) => column.clear(step),
            None => {}
        }
    }
}
