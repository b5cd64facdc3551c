//! Operators, aggregators and keywords: their words, and how tightly operators bind.

/// A sign in front of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Plus,
    Minus,
}

impl Sign {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($variant),+ }

        impl $name {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Of a word in lower case.
            pub(crate) fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// An operator between two expressions.
    BinaryOp {
        Or = "or", And = "and", Unless = "unless",
        Equal = "==", NotEqual = "!=", Less = "<", LessOrEqual = "<=", Greater = ">", GreaterOrEqual = ">=",
        TrimUpper = "</", TrimLower = ">/",
        Add = "+", Subtract = "-",
        Multiply = "*", Divide = "/", Modulo = "%", Atan2 = "atan2",
        Power = "^",
    }
}

impl BinaryOp {
    /// How tightly it binds: greater is tighter.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Equal | Self::NotEqual => 3,
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => 3,
            Self::TrimUpper | Self::TrimLower => 3,
            Self::Add | Self::Subtract => 4,
            Self::Multiply | Self::Divide | Self::Modulo | Self::Atan2 => PRODUCT,
            Self::Power => PRODUCT + 1,
        }
    }

    /// The least precedence that its right side takes in: `^` groups to the right, the others to the left.
    pub(crate) fn right_side(self) -> u8 {
        if self == Self::Power { self.precedence() } else { self.precedence() + 1 }
    }

    pub fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }

    /// Filters, or says 0 or 1. Trimming histograms (`</`, `>/`) is no comparison.
    pub fn is_comparison(self) -> bool {
        self.precedence() == 3 && !matches!(self, Self::TrimUpper | Self::TrimLower)
    }
}

/// The precedence of products; a sign binds its operand as tightly.
pub(crate) const PRODUCT: u8 = 5;

words! {
    /// What an aggregation computes.
    Aggregator {
        Sum = "sum", Avg = "avg", Count = "count", Min = "min", Max = "max", Group = "group", Stddev = "stddev",
        Stdvar = "stdvar", TopK = "topk", BottomK = "bottomk", CountValues = "count_values", Quantile = "quantile",
        LimitK = "limitk", LimitRatio = "limit_ratio",
    }
}

impl Aggregator {
    pub fn has_param(self) -> bool {
        matches!(
            self,
            Self::TopK | Self::BottomK | Self::CountValues | Self::Quantile | Self::LimitK | Self::LimitRatio
        )
    }

    pub fn is_experimental(self) -> bool {
        matches!(self, Self::LimitK | Self::LimitRatio)
    }
}

words! {
    /// A word of the grammar that is neither operator nor aggregator.
    Keyword {
        By = "by", Without = "without", On = "on", Ignoring = "ignoring", GroupLeft = "group_left",
        GroupRight = "group_right", Bool = "bool", Offset = "offset", Start = "start", End = "end",
        Fill = "fill", FillLeft = "fill_left", FillRight = "fill_right", Anchored = "anchored",
        Smoothed = "smoothed", Step = "step", Range = "range", MaxOf = "max_of", MinOf = "min_of",
    }
}

impl Keyword {
    /// Whether a metric may have this name without quotes.
    pub(crate) fn may_name_metric(self) -> bool {
        !matches!(self, Self::On | Self::Ignoring | Self::GroupLeft | Self::GroupRight | Self::Bool)
    }

    pub(crate) fn may_name_function(self) -> bool {
        self.is_duration() || matches!(self, Self::Start | Self::End)
    }

    /// Whether it stands in arithmetic over durations.
    pub(crate) fn is_duration(self) -> bool {
        matches!(self, Self::Step | Self::Range | Self::MaxOf | Self::MinOf)
    }
}
