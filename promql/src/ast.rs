//! The tree of an expression, typed, with the place of each part in the text.
//!
//! `Expr` = what it is (`ExprKind`) + where it stands (`Span`) · `Expr::value_type` says what it gives
//!
//! Nouns: a *selector* names series; a *length* is a duration, fixed or computed; *modifiers* move a selector in time.
//! A tree comes from the parser alone, so its height is bounded (PARSE-1). Not here: evaluation.

use std::fmt;

use schemas::labels::METRIC_NAME;
use schemas::{DurationMs, LabelMatcher, TimestampMs};

use crate::error::Span;
use crate::functions::Function;
use crate::operator::{Aggregator, BinaryOp, Sign};

/// What an expression gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    Scalar,
    String,
    Vector,
    Matrix,
}

impl ValueType {
    /// The short name that the API uses for results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }

    /// The name that the documentation and most error texts use.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::Scalar | Self::String => self.as_str(),
        }
    }
}

/// An expression and the bytes it was read from.
#[derive(Debug, Clone)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

/// The forms of an expression.
#[derive(Debug, Clone)]
pub enum ExprKind {
    Number(Number),
    String(String),
    /// A string that is not UTF-8: it can be written, and is refused wherever it is looked at.
    Bytes(Vec<u8>),
    Vector(Box<VectorSelector>),
    Matrix(Box<MatrixSelector>),
    Subquery(Box<Subquery>),
    Call(Call),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Unary(Sign, Box<Expr>),
    Paren(Box<Expr>),
}

impl Expr {
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) | ExprKind::Bytes(_) => ValueType::String,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Binary(binary) => {
                let scalars = [&binary.left, &binary.right].iter().all(|e| e.value_type() == ValueType::Scalar);
                if scalars { ValueType::Scalar } else { ValueType::Vector }
            }
            ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => inner.value_type(),
        }
    }
}

impl fmt::Display for Expr {
    /// Prints the expression in one line, as Prometheus does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        crate::printer::print_expr(&mut out, self);
        f.write_str(&out)
    }
}

/// A number, or a duration that stands for its seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    pub value: f64,
    /// Written with units, and printed so.
    pub is_duration: bool,
}

/// A metric name, matchers, and when to look.
#[derive(Debug, Clone)]
pub struct VectorSelector {
    /// The name in front of the braces.
    pub name: Option<String>,
    /// The matchers in the braces, in the order of the text.
    pub matchers: Vec<LabelMatcher>,
    pub edges: Edges,
    pub modifiers: Modifiers,
}

impl VectorSelector {
    /// Everything that a series must match: the matchers in the braces, then the name.
    pub fn all_matchers(&self) -> Vec<LabelMatcher> {
        let mut all = Vec::with_capacity(self.matchers.len() + 1);
        all.extend(self.matchers.iter().cloned());
        all.extend(self.name.iter().map(|name| LabelMatcher::equal(METRIC_NAME, name.clone())));
        all
    }
}

/// What a window takes beyond the points in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Edges {
    /// Nothing.
    #[default]
    Plain,
    /// `anchored`: the last point at or before each edge stands at the edge.
    Anchored,
    /// `smoothed`: a point at each edge, interpolated between its neighbours.
    Smoothed,
}

/// The points of a selector over a range of time.
#[derive(Debug, Clone)]
pub struct MatrixSelector {
    pub selector: VectorSelector,
    pub range: Length,
}

/// An expression evaluated at steps over a range of time.
#[derive(Debug, Clone)]
pub struct Subquery {
    pub expr: Expr,
    pub range: Length,
    /// `None`: the engine's default.
    pub step: Option<Length>,
    pub modifiers: Modifiers,
}

/// `offset` and `@`.
#[derive(Debug, Clone, Default)]
pub struct Modifiers {
    /// Into the past; negative: into the future. Never a fixed zero.
    pub offset: Option<Length>,
    pub at: Option<At>,
}

/// The time that `@` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Time(TimestampMs),
    Start,
    End,
}

/// A duration in a selector.
#[derive(Debug, Clone)]
pub enum Length {
    Fixed(DurationMs),
    /// Known when the query's range and step are.
    Computed(Box<DurationExpr>),
}

/// Arithmetic over durations, in seconds, and the bytes it was read from.
#[derive(Debug, Clone)]
pub struct DurationExpr {
    pub kind: DurationKind,
    /// Of what stands in parentheses, without these: of operands, not of `max_of(` or `min_of(`.
    pub span: Span,
}

/// The forms of arithmetic over durations.
#[derive(Debug, Clone)]
pub enum DurationKind {
    Number(Number),
    Negative(Box<DurationExpr>),
    /// `+ - * / % ^`, no other.
    Binary(BinaryOp, Box<(DurationExpr, DurationExpr)>),
    /// In parentheses; never directly in other parentheses.
    Paren(Box<DurationExpr>),
    /// The query's step.
    Step,
    /// The query's end less its start.
    Range,
    MinOf(Box<(DurationExpr, DurationExpr)>),
    MaxOf(Box<(DurationExpr, DurationExpr)>),
}

/// A function call.
#[derive(Debug, Clone)]
pub struct Call {
    pub function: &'static Function,
    pub args: Vec<Expr>,
}

/// An aggregation over series.
#[derive(Debug, Clone)]
pub struct Aggregate {
    pub op: Aggregator,
    pub grouping: Grouping,
    /// `k`, `q`, the label: for those aggregators that have one.
    pub param: Option<Expr>,
    pub expr: Expr,
}

/// Which labels an aggregation keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

/// An operator between two expressions.
#[derive(Debug, Clone)]
pub struct Binary {
    pub op: BinaryOp,
    pub op_span: Span,
    pub left: Expr,
    pub right: Expr,
    /// A comparison gives 0 or 1 instead of filtering.
    pub returns_bool: bool,
    /// `None` where an operand is a scalar.
    pub matching: Option<Matching>,
}

/// How the series of two vectors find each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matching {
    pub labels: MatchLabels,
    pub group: Option<Group>,
    pub fill: Fill,
}

/// The labels that must be equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatchLabels {
    On(Vec<String>),
    Ignoring(Vec<String>),
}

impl Default for MatchLabels {
    fn default() -> Self {
        Self::Ignoring(Vec::new())
    }
}

impl MatchLabels {
    pub fn names(&self) -> &[String] {
        match self {
            Self::On(names) | Self::Ignoring(names) => names,
        }
    }
}

/// Which side has many series for one of the other; the labels are taken from the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    Left(Vec<String>),
    Right(Vec<String>),
}

impl Group {
    pub fn include(&self) -> &[String] {
        match self {
            Self::Left(names) | Self::Right(names) => names,
        }
    }
}

/// Values for series that one side lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Fill {
    pub left: Option<f64>,
    pub right: Option<f64>,
}

impl Fill {
    /// Whether any side is filled.
    pub fn is_some(&self) -> bool {
        self.left.is_some() || self.right.is_some()
    }
}
