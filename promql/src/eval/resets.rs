//! Where only count and sum of histograms are asked for, Prometheus tells resets as it reads them; remarks on conflicting resets
//! follow from that.

use std::collections::HashSet;
use std::sync::Arc;

use schemas::Points;
use schemas::histogram::{Histogram, ResetHint};

use crate::ast::{Expr, ExprKind};
use crate::functions::FunctionId;
use crate::histogram::is_reset;
use crate::operator::BinaryOp;

/// Where selectors begin of which only counts and sums matter.
pub(super) fn counted_selectors(expr: &Expr) -> HashSet<usize> {
    let mut found = HashSet::new();
    visit(expr, false, &mut found);
    found
}

fn visit(expr: &Expr, counted: bool, found: &mut HashSet<usize>) {
    match &expr.kind {
        ExprKind::Vector(_) | ExprKind::Matrix(_) => {
            if counted {
                found.insert(expr.span.start);
            }
        }
        ExprKind::Call(call) => {
            let counted = match call.function.id {
                FunctionId::HistogramCount | FunctionId::HistogramSum | FunctionId::HistogramAvg => true,
                FunctionId::HistogramQuantile
                | FunctionId::HistogramQuantiles
                | FunctionId::HistogramFraction
                | FunctionId::HistogramStddev
                | FunctionId::HistogramStdvar => return,
                _ => counted,
            };
            call.args.iter().for_each(|arg| visit(arg, counted, found));
        }
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.iter().for_each(|param| visit(param, counted, found));
            visit(&aggregate.expr, counted, found);
        }
        // Buckets matter, too.
        ExprKind::Binary(binary) if matches!(binary.op, BinaryOp::TrimLower | BinaryOp::TrimUpper) => {}
        ExprKind::Binary(binary) => {
            visit(&binary.left, counted, found);
            visit(&binary.right, counted, found);
        }
        ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => visit(inner, counted, found),
        ExprKind::Subquery(_) | ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Bytes(_) => {}
    }
}

/// The same points, each histogram but the first knowing whether it was reset since the one before.
pub(super) fn told(mut points: Points) -> Points {
    let histograms = std::mem::take(&mut points.histograms);
    let mut before: Option<&Arc<Histogram>> = None;
    for (time, histogram) in histograms.iter() {
        let hint = match (histogram.reset_hint, before) {
            (ResetHint::Unknown, Some(before)) if is_reset(histogram, before) => ResetHint::Reset,
            (ResetHint::Unknown, Some(_)) => ResetHint::NotReset,
            (hint, _) => hint,
        };
        let mut told = Arc::clone(histogram);
        if hint != histogram.reset_hint {
            Arc::make_mut(&mut told).reset_hint = hint;
        }
        points.histograms.insert(time, told);
        before = Some(histogram);
    }
    points
}
