//! The functions of PromQL 3: names, types of arguments, and which are experimental.

mod named;

use Arity::{Any, Exact, UpTo};
pub(crate) use named::named_functions;

use crate::ast::ValueType;
use crate::ast::ValueType::{Matrix, Scalar, String, Vector};

/// How many arguments a function takes beside those that it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// All of `Function::args`.
    Exact,
    /// The last of `Function::args` may be absent, or stand up to so many times.
    UpTo(u8),
    /// The last of `Function::args` may be absent, or stand any number of times.
    Any,
}

impl Arity {
    /// As Prometheus writes it in the trees of its API: 0, so many more, or −1 for any number.
    pub fn variadic(self) -> i64 {
        match self {
            Exact => 0,
            UpTo(more) => i64::from(more),
            Any => -1,
        }
    }
}

/// A function of the language.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub id: FunctionId,
    pub name: &'static str,
    pub args: &'static [ValueType],
    pub arity: Arity,
    pub returns: ValueType,
    pub experimental: bool,
}

/// The function of that name; names are case-sensitive.
pub fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by_key(&name, |f| f.name).ok().map(|at| &FUNCTIONS[at])
}

macro_rules! functions {
    (@experimental) => { false };
    (@experimental experimental) => { true };
    ($($id:ident $name:literal ($($arg:ident),*) $arity:ident $(($more:literal))? $returns:ident $($experimental:ident)?;)+) => {
        /// Which function it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FunctionId { $($id),+ }

        /// Every function, by name.
        pub static FUNCTIONS: &[Function] = &[$(Function {
            id: FunctionId::$id,
            name: $name,
            args: &[$($arg),*],
            arity: $arity $(($more))?,
            returns: $returns,
            experimental: functions!(@experimental $($experimental)?),
        }),+];
    };
}

// Identity, name, types of arguments, how many, type of the value.
functions! {
    Abs "abs" (Vector) Exact Vector;
    Absent "absent" (Vector) Exact Vector;
    AbsentOverTime "absent_over_time" (Matrix) Exact Vector;
    Acos "acos" (Vector) Exact Vector;
    Acosh "acosh" (Vector) Exact Vector;
    Asin "asin" (Vector) Exact Vector;
    Asinh "asinh" (Vector) Exact Vector;
    Atan "atan" (Vector) Exact Vector;
    Atanh "atanh" (Vector) Exact Vector;
    AvgOverTime "avg_over_time" (Matrix) Exact Vector;
    Ceil "ceil" (Vector) Exact Vector;
    Changes "changes" (Matrix) Exact Vector;
    Clamp "clamp" (Vector, Scalar, Scalar) Exact Vector;
    ClampMax "clamp_max" (Vector, Scalar) Exact Vector;
    ClampMin "clamp_min" (Vector, Scalar) Exact Vector;
    Cos "cos" (Vector) Exact Vector;
    Cosh "cosh" (Vector) Exact Vector;
    CountOverTime "count_over_time" (Matrix) Exact Vector;
    DayOfMonth "day_of_month" (Vector) UpTo(1) Vector;
    DayOfWeek "day_of_week" (Vector) UpTo(1) Vector;
    DayOfYear "day_of_year" (Vector) UpTo(1) Vector;
    DaysInMonth "days_in_month" (Vector) UpTo(1) Vector;
    Deg "deg" (Vector) Exact Vector;
    Delta "delta" (Matrix) Exact Vector;
    Deriv "deriv" (Matrix) Exact Vector;
    DoubleExponentialSmoothing "double_exponential_smoothing" (Matrix, Scalar, Scalar) Exact Vector experimental;
    End "end" () Exact Scalar experimental;
    Exp "exp" (Vector) Exact Vector;
    FirstOverTime "first_over_time" (Matrix) Exact Vector;
    Floor "floor" (Vector) Exact Vector;
    HistogramAvg "histogram_avg" (Vector) Exact Vector;
    HistogramCount "histogram_count" (Vector) Exact Vector;
    HistogramFraction "histogram_fraction" (Scalar, Scalar, Vector) Exact Vector;
    HistogramQuantile "histogram_quantile" (Scalar, Vector) Exact Vector;
    HistogramQuantiles "histogram_quantiles" (Vector, String, Scalar, Scalar) UpTo(9) Vector experimental;
    HistogramStddev "histogram_stddev" (Vector) Exact Vector;
    HistogramStdvar "histogram_stdvar" (Vector) Exact Vector;
    HistogramSum "histogram_sum" (Vector) Exact Vector;
    Hour "hour" (Vector) UpTo(1) Vector;
    Idelta "idelta" (Matrix) Exact Vector;
    Increase "increase" (Matrix) Exact Vector;
    Info "info" (Vector, Vector) UpTo(1) Vector experimental;
    Irate "irate" (Matrix) Exact Vector;
    LabelJoin "label_join" (Vector, String, String, String) Any Vector;
    LabelReplace "label_replace" (Vector, String, String, String, String) Exact Vector;
    LastOverTime "last_over_time" (Matrix) Exact Vector;
    Ln "ln" (Vector) Exact Vector;
    Log10 "log10" (Vector) Exact Vector;
    Log2 "log2" (Vector) Exact Vector;
    MadOverTime "mad_over_time" (Matrix) Exact Vector experimental;
    MaxOf "max_of" (Scalar, Scalar) Exact Scalar experimental;
    MaxOverTime "max_over_time" (Matrix) Exact Vector;
    MinOf "min_of" (Scalar, Scalar) Exact Scalar experimental;
    MinOverTime "min_over_time" (Matrix) Exact Vector;
    Minute "minute" (Vector) UpTo(1) Vector;
    Month "month" (Vector) UpTo(1) Vector;
    Pi "pi" () Exact Scalar;
    PredictLinear "predict_linear" (Matrix, Scalar) Exact Vector;
    PresentOverTime "present_over_time" (Matrix) Exact Vector;
    QuantileOverTime "quantile_over_time" (Scalar, Matrix) Exact Vector;
    Rad "rad" (Vector) Exact Vector;
    Range "range" () Exact Scalar experimental;
    Rate "rate" (Matrix) Exact Vector;
    Resets "resets" (Matrix) Exact Vector;
    Round "round" (Vector, Scalar) UpTo(1) Vector;
    Scalar "scalar" (Vector) Exact Scalar;
    Sgn "sgn" (Vector) Exact Vector;
    Sin "sin" (Vector) Exact Vector;
    Sinh "sinh" (Vector) Exact Vector;
    Sort "sort" (Vector) Exact Vector;
    SortByLabel "sort_by_label" (Vector, String) Any Vector experimental;
    SortByLabelDesc "sort_by_label_desc" (Vector, String) Any Vector experimental;
    SortDesc "sort_desc" (Vector) Exact Vector;
    Sqrt "sqrt" (Vector) Exact Vector;
    Start "start" () Exact Scalar experimental;
    StartTimestamp "start_timestamp" (Vector) Exact Vector experimental;
    StddevOverTime "stddev_over_time" (Matrix) Exact Vector;
    StdvarOverTime "stdvar_over_time" (Matrix) Exact Vector;
    Step "step" () Exact Scalar experimental;
    SumOverTime "sum_over_time" (Matrix) Exact Vector;
    Tan "tan" (Vector) Exact Vector;
    Tanh "tanh" (Vector) Exact Vector;
    Time "time" () Exact Scalar;
    Timestamp "timestamp" (Vector) Exact Vector;
    TsOfFirstOverTime "ts_of_first_over_time" (Matrix) Exact Vector experimental;
    TsOfLastOverTime "ts_of_last_over_time" (Matrix) Exact Vector experimental;
    TsOfMaxOverTime "ts_of_max_over_time" (Matrix) Exact Vector experimental;
    TsOfMinOverTime "ts_of_min_over_time" (Matrix) Exact Vector experimental;
    Vector "vector" (Scalar) Exact Vector;
    Year "year" (Vector) UpTo(1) Vector;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_stand_in_the_order_that_the_search_needs() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        assert!(FUNCTIONS.iter().all(|f| function(f.name) == Some(f)));
        assert_eq!(function("Rate"), None);
    }

    #[test]
    fn what_may_be_absent_is_the_last_argument() {
        assert!(FUNCTIONS.iter().all(|f| f.arity == Exact || !f.args.is_empty()));
        assert_eq!(function("round").map(|f| (f.args, f.arity)), Some((&[Vector, Scalar][..], UpTo(1))));
        assert_eq!(function("pi").map(|f| f.returns), Some(Scalar));
    }
}
