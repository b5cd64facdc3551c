//! From an expression to the stream of its series: which node goes where.

use schemas::Labels;

use super::EvalError;
use super::context::{Context, unwrapped};
use super::grid::Steps;
use super::newest::Kinds;
use super::selector;
use super::stream::Stream;
use crate::ast::{Call, Expr, ExprKind};
use crate::column::Column;
use crate::error::Span;
use crate::functions::FunctionId;
use crate::histogram;
use crate::instant::{self, InstantFunction, date_part};
use crate::math::seconds;
use crate::operator::Sign;
use crate::range::{Arg, Args, RangeFunction};

impl<'q> Context<'q> {
    /// The series of an expression that gives a vector.
    pub(super) fn vector(&'q self, expr: &'q Expr, steps: Steps) -> Result<Stream<'q>, EvalError> {
        self.stop.check()?;
        if steps.count == 0 {
            return Ok(Stream::nothing(self));
        }
        if steps.count > 1 && self.is_invariant(expr) {
            let mut stream = self.node(expr, steps.first())?;
            stream.map(move |column| column.repeat(steps.count));
            return Ok(stream);
        }
        self.node(expr, steps)
    }

    fn node(&'q self, expr: &'q Expr, steps: Steps) -> Result<Stream<'q>, EvalError> {
        match &expr.kind {
            ExprKind::Vector(selector) => self.instant(selector, expr.span, steps),
            ExprKind::Paren(inner) | ExprKind::Unary(Sign::Plus, inner) => self.vector(inner, steps),
            ExprKind::Unary(Sign::Minus, inner) => {
                let mut stream = self.vector(inner, steps)?;
                stream.map(negate);
                self.without_names(stream)
            }
            ExprKind::Binary(binary) => self.binary(binary, expr.span, steps),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span, steps),
            ExprKind::Call(call) => self.call(call, expr.span, steps),
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::Bytes(_)
            | ExprKind::Matrix(_)
            | ExprKind::Subquery(_) => Err(EvalError::Invalid("expected an instant vector".to_owned())),
        }
    }

    fn call(&'q self, call: &'q Call, span: Span, steps: Steps) -> Result<Stream<'q>, EvalError> {
        if let Some(function) = RangeFunction::named(call.function.name) {
            return self.range_function(function, call, steps);
        }
        match call.function.id {
            FunctionId::Absent => {
                let of = unwrapped(&call.args[0]);
                self.absent(self.vector(of, steps)?, of, steps)
            }
            FunctionId::LabelReplace => self.label_replace(call, steps),
            FunctionId::LabelJoin => self.label_join(call, steps),
            FunctionId::Info => self.info(call, steps),
            FunctionId::Sort | FunctionId::SortDesc | FunctionId::SortByLabel | FunctionId::SortByLabelDesc => {
                self.sorted(call, span, steps)
            }
            FunctionId::Vector => {
                let column = self.scalar(&call.args[0], steps)?.column(steps.count);
                Ok(Stream::single(self, Labels::default(), column))
            }
            FunctionId::Timestamp => self.timestamp(call, steps),
            FunctionId::StartTimestamp => self.start_timestamp(call, steps),
            FunctionId::HistogramQuantile | FunctionId::HistogramQuantiles | FunctionId::HistogramFraction => {
                self.of_buckets(call, steps)
            }
            _ => self.per_sample(call, steps),
        }
    }

    /// `timestamp()`: of a selector, when the samples were; of others, the time of the step.
    fn timestamp(&'q self, call: &'q Call, steps: Steps) -> Result<Stream<'q>, EvalError> {
        let of = unwrapped(&call.args[0]);
        let stream = match &of.kind {
            ExprKind::Vector(selector) => {
                let windows = self.windows(&selector.modifiers, steps, self.options.lookback_ms)?;
                self.timestamps(selector.all_matchers(), windows, Kinds::All, steps)?
            }
            _ => {
                let mut stream = self.vector(of, steps)?;
                stream.map(move |column| {
                    for step in (0..column.len()).filter(|step| column.is_set(*step)).collect::<Vec<_>>() {
                        column.set_float(step, seconds(steps.time(step)));
                    }
                });
                stream
            }
        };
        self.without_names(stream)
    }

    /// `start_timestamp()`: of a selector, when the counters of its samples began; nothing of other vectors.
    fn start_timestamp(&'q self, call: &'q Call, steps: Steps) -> Result<Stream<'q>, EvalError> {
        let of = unwrapped(&call.args[0]);
        match &of.kind {
            ExprKind::Vector(selector) if self.options.start_timestamps => {
                let windows = self.windows(&selector.modifiers, steps, self.options.lookback_ms)?;
                let stream = self.start_timestamps(selector.all_matchers(), windows, steps)?;
                self.without_names(stream)
            }
            // What is said of the argument is all there is.
            _ => {
                self.vector(of, steps)?.collect()?;
                Ok(Stream::nothing(self))
            }
        }
    }

    fn range_function(
        &'q self,
        function: RangeFunction,
        call: &'q Call,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        let (mut range, mut scalars) = (None, Vec::new());
        for arg in &call.args {
            let arg = unwrapped(arg);
            match &arg.kind {
                ExprKind::Matrix(_) | ExprKind::Subquery(_) => range = Some(arg),
                _ => scalars.push(self.scalar(arg, steps)?.into_arg()),
            }
        }
        let range = range.ok_or_else(|| EvalError::Invalid("expected a range vector".to_owned()))?;
        let first = call.args.first().map_or(range, unwrapped);
        // Prometheus knows no place of a subquery here, and says that it is the first.
        let span = if matches!(first.kind, ExprKind::Subquery(_)) { Span::new(0, 0) } else { first.span };
        let call = selector::Call { function, args: Args::new(scalars), span };
        let stream = match &range.kind {
            ExprKind::Matrix(matrix) => self.over_range(call, matrix, range.span, steps)?,
            ExprKind::Subquery(subquery) => {
                let (stream, inner, windows) = self.subquery(subquery, steps)?;
                self.over_values(call, stream, inner, windows, steps)
            }
            _ => return Err(EvalError::Invalid("expected a range vector".to_owned())),
        };
        match function {
            RangeFunction::AbsentOverTime => self.absent(stream, range, steps),
            _ if function.keeps_name() => Ok(stream),
            _ => self.without_names(stream),
        }
    }

    /// Functions of single samples.
    fn per_sample(&'q self, call: &'q Call, steps: Steps) -> Result<Stream<'q>, EvalError> {
        let unknown = || EvalError::Invalid(format!("{} is not a function of samples", call.function.name));
        let function = InstantFunction::named(call.function.name).ok_or_else(unknown)?;
        let Some(vector) = call.args.first() else {
            let part = function.date_part().ok_or_else(unknown)?;
            let mut column = Column::empty(steps.count);
            for (step, time) in steps.times().enumerate() {
                column.set_float(step, date_part(part, seconds(time).floor()));
            }
            return Ok(Stream::single(self, Labels::default(), column));
        };
        let args = call.args[1..].iter().map(|arg| Ok(self.scalar(arg, steps)?.into_arg()));
        let args = Args::new(args.collect::<Result<Vec<Arg>, EvalError>>()?);
        let mut stream = self.vector(vector, steps)?;
        stream.map(move |column| instant::apply(function, &args, column));
        self.without_names(stream)
    }
}

fn negate(column: &mut Column) {
    if column.has_histograms() {
        let negated: Vec<_> = column
            .histograms()
            .map(|(step, one)| (step, std::sync::Arc::new(histogram::multiply(one, -1.0))))
            .collect();
        let mut floats = column.clone();
        floats.map_floats(|value| -value);
        negated.into_iter().for_each(|(step, histogram)| floats.set_histogram(step, histogram));
        *column = floats;
    } else {
        column.map_floats(|value| -value);
    }
}
