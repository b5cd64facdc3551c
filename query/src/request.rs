//! A range question in the words of the REST interface, as plain values.

use std::fmt;
use std::str::FromStr;

use schemas::{DurationMs, LabelMatcher, TimeRange};

use crate::error::QueryError;

/// The points that an answer may have a series where the asker does not say.
pub const MAX_POINTS_DEFAULT: usize = 1_500;

/// What is asked.
#[derive(Debug, Clone)]
pub struct RangeRequest {
    /// Which series; at least one matcher.
    pub matchers: Vec<LabelMatcher>,
    /// Which time. Rounded outward to whole buckets unless raw points are asked for.
    pub range: TimeRange,
    pub granularity: Granularity,
    pub agg: Agg,
    /// One output series for each metric and each combination of these labels' values.
    pub group_by: Option<Vec<String>>,
    /// How the series of a group become one: by their own `agg`, combined. Without it their points are merged.
    pub group_agg: Option<GroupAgg>,
    /// At most so many output series, in the order of their names.
    pub limit: Option<usize>,
    pub fill: Fill,
    /// What `Granularity::Auto` aims at, a series.
    pub max_points: usize,
    /// All series of a metric become one (`GET /api/metrics/{server_id}`).
    pub merge_all: bool,
}

impl RangeRequest {
    /// The defaults of the interface: averages, granularity by itself, no groups, gaps left out.
    pub fn new(matchers: Vec<LabelMatcher>, range: TimeRange) -> Self {
        Self {
            matchers,
            range,
            granularity: Granularity::Auto,
            agg: Agg::Avg,
            group_by: None,
            group_agg: None,
            limit: None,
            fill: Fill::None,
            max_points: MAX_POINTS_DEFAULT,
            merge_all: false,
        }
    }

    /// Whether series are merged, in one way or another.
    pub(crate) fn is_grouped(&self) -> bool {
        self.merge_all || self.group_by.is_some() || self.group_agg.is_some()
    }
}

impl fmt::Display for RangeRequest {
    /// In one line, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?} in {} at {}", self.agg, self.matchers, self.range, self.granularity)?;
        if let Some(names) = &self.group_by {
            write!(f, " by {names:?}")?;
        }
        self.group_agg.map_or(Ok(()), |agg| write!(f, " as {agg:?}"))
    }
}

/// The width of the buckets asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Granularity {
    /// The points themselves.
    Raw,
    Minute,
    Hour,
    Day,
    /// The finest that gives at most `max_points`.
    #[default]
    Auto,
}

impl Granularity {
    const ALL: [Self; 5] = [Self::Raw, Self::Minute, Self::Hour, Self::Day, Self::Auto];

    /// The width of a bucket; `None` where there are none (raw) or it is not known yet (auto).
    pub fn width(self) -> Option<DurationMs> {
        match self {
            Self::Raw | Self::Auto => None,
            Self::Minute => Some(DurationMs::MINUTE),
            Self::Hour => Some(DurationMs::HOUR),
            Self::Day => Some(DurationMs::DAY),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Minute => "1m",
            Self::Hour => "1h",
            Self::Day => "1d",
            Self::Auto => "auto",
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Granularity {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        named("granularity", text, &Self::ALL.map(|granularity| (granularity.as_str(), granularity)))
    }
}

/// What each bucket of a series becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Agg {
    Avg,
    Min,
    Max,
    Sum,
    Count,
    First,
    Last,
    /// By nearest rank on the sketch, for `q` in `[0, 1]`.
    Quantile(f64),
    /// Per second, as PromQL's `rate` with the bucket as its range.
    Rate,
    /// As PromQL's `increase` with the bucket as its range.
    Increase,
}

impl Agg {
    /// Names and meanings, as the interface has them.
    const NAMES: [(&'static str, Self); 13] = [
        ("avg", Self::Avg),
        ("min", Self::Min),
        ("max", Self::Max),
        ("sum", Self::Sum),
        ("count", Self::Count),
        ("first", Self::First),
        ("last", Self::Last),
        ("p50", Self::Quantile(0.50)),
        ("p90", Self::Quantile(0.90)),
        ("p95", Self::Quantile(0.95)),
        ("p99", Self::Quantile(0.99)),
        ("rate", Self::Rate),
        ("increase", Self::Increase),
    ];

    /// Whether [`Totals`](schemas::rollup::Totals) are all it needs.
    pub(crate) fn is_of_totals(self) -> bool {
        matches!(self, Self::Avg | Self::Min | Self::Max | Self::Sum | Self::Count)
    }

    /// Whether the aggregate of a single point is its value, so that raw points may stand for buckets of one.
    pub(crate) fn keeps_single_points(self) -> bool {
        !matches!(self, Self::Count | Self::Rate | Self::Increase)
    }
}

impl FromStr for Agg {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        named("agg", text, &Self::NAMES)
    }
}

/// How the values of a group's series become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupAgg {
    Sum,
    Avg,
    Min,
    Max,
    Count,
}

impl GroupAgg {
    const NAMES: [(&'static str, Self); 5] =
        [("sum", Self::Sum), ("avg", Self::Avg), ("min", Self::Min), ("max", Self::Max), ("count", Self::Count)];

    /// The same, of values as if they were points.
    pub(crate) fn of_values(self) -> Agg {
        match self {
            Self::Sum => Agg::Sum,
            Self::Avg => Agg::Avg,
            Self::Min => Agg::Min,
            Self::Max => Agg::Max,
            Self::Count => Agg::Count,
        }
    }
}

impl FromStr for GroupAgg {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        named("group_agg", text, &Self::NAMES)
    }
}

/// What stands in buckets without points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fill {
    /// Nothing: such buckets are left out.
    #[default]
    None,
    Null,
    /// The value before, or null where there is none yet.
    Previous,
}

impl Fill {
    const NAMES: [(&'static str, Self); 3] = [("none", Self::None), ("null", Self::Null), ("previous", Self::Previous)];
}

impl FromStr for Fill {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        named("fill", text, &Self::NAMES)
    }
}

/// What a parameter's word stands for.
fn named<T: Copy>(parameter: &str, text: &str, names: &[(&'static str, T)]) -> Result<T, QueryError> {
    names.iter().find(|(name, _)| *name == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        QueryError::BadRequest(format!("unknown {parameter} {text:?}: it may be {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_interface_is_known() {
        for (name, agg) in Agg::NAMES {
            assert_eq!(name.parse::<Agg>().expect("known"), agg);
        }
        for name in ["raw", "1m", "1h", "1d", "auto"] {
            assert_eq!(name.parse::<Granularity>().expect("known").as_str(), name);
        }
        let refused = "5m".parse::<Granularity>().expect_err("not a granularity").to_string();
        assert_eq!(refused, "unknown granularity \"5m\": it may be raw, 1m, 1h, 1d, auto");
        assert!("p42".parse::<Agg>().is_err());
        assert!("median".parse::<GroupAgg>().is_err());
        assert!("zero".parse::<Fill>().is_err());
    }
}
