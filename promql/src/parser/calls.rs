//! Calls, aggregations, label lists, and how operands match.

use super::{Parser, Tree};
use crate::ast::{Aggregate, Call, ExprKind, Fill, Group, Grouping, MatchLabels, Matching};
use crate::error::{ParseError, Span};
use crate::functions::function;
use crate::lexer::{Token, TokenKind};
use crate::operator::{Aggregator, BinaryOp, Keyword};
use crate::quote::{quoted, quoted_bytes};

impl Parser<'_> {
    /// A name comes next: of a function, if a parenthesis follows.
    pub(super) fn call_or_metric(&mut self) -> Result<Tree, ParseError> {
        let callable = match self.token.kind {
            TokenKind::Keyword(keyword) => keyword.may_name_function(),
            ref kind => *kind == TokenKind::Identifier,
        };
        let name = self.take();
        if !callable || self.token.kind != TokenKind::LeftParen {
            return self.vector(Some(self.source(name.span).to_owned()), name.span);
        }
        let source = self.source(name.span);
        let args = self.arguments()?;
        let Some(function) = function(source) else {
            return Err(self.error(name.span, format!("unknown function with name {}", quoted(source))));
        };
        if function.experimental && !self.options.experimental_functions {
            return Err(self.error(name.span, format!("function {} is not enabled", quoted(source))));
        }
        let height = args.iter().map(|arg| arg.height).max().unwrap_or(0);
        let args = args.into_iter().map(|arg| arg.expr).collect();
        self.node(ExprKind::Call(Call { function, args }), Span::new(name.span.start, self.last_end), height)
    }

    fn arguments(&mut self) -> Result<Vec<Tree>, ParseError> {
        self.expect(&TokenKind::LeftParen, "", "")?;
        let mut args = Vec::new();
        if self.skip(&TokenKind::RightParen) {
            return Ok(args);
        }
        loop {
            args.push(self.expr(0)?);
            if self.skip(&TokenKind::RightParen) {
                return Ok(args);
            }
            let comma = self.token.span;
            self.expect(&TokenKind::Comma, "", "")?;
            if !self.token.kind.begins_expression() && !matches!(self.token.kind, TokenKind::Fault(_)) {
                return Err(self.error(comma, "trailing commas not allowed in function call args"));
            }
        }
    }

    /// The aggregator's word has been read; it may also name a metric.
    pub(super) fn aggregate_or_metric(&mut self, op: Aggregator, name: &Token) -> Result<Tree, ParseError> {
        let mut grouping = self.grouping()?;
        if grouping.is_none() && self.token.kind != TokenKind::LeftParen {
            return self.vector(Some(self.source(name.span).to_owned()), name.span);
        }
        if self.token.kind != TokenKind::LeftParen {
            return Err(self.unexpected("aggregation", ""));
        }
        self.aggregations += 1;
        let mut args = self.arguments()?;
        self.aggregations -= 1;
        if grouping.is_none() {
            self.no_fault()?;
            grouping = self.grouping()?;
        }
        let span = Span::new(name.span.start, self.last_end);
        let wanted = if op.has_param() { 2 } else { 1 };
        if args.is_empty() {
            return Err(self.error(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let flag = "--enable-feature=promql-experimental-functions";
            let message = format!("{}() is experimental and must be enabled with {flag}", op.as_str());
            return Err(self.error(span, message));
        }
        let found = args.len();
        let height = args.iter().map(|arg| arg.height).max().unwrap_or(0);
        let (Some(last), true) = (args.pop(), found == wanted) else {
            let text = "wrong number of arguments for aggregate expression provided";
            return Err(self.error(span, format!("{text}, expected {wanted}, got {found}")));
        };
        let aggregate = Aggregate {
            op,
            grouping: grouping.unwrap_or_else(|| Grouping::By(Vec::new())),
            param: args.pop().map(|arg| arg.expr),
            expr: last.expr,
        };
        self.node(ExprKind::Aggregate(Box::new(aggregate)), span, height)
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        if self.skip(&TokenKind::Keyword(Keyword::By)) {
            return Ok(Some(Grouping::By(self.labels()?)));
        }
        if self.skip(&TokenKind::Keyword(Keyword::Without)) {
            return Ok(Some(Grouping::Without(self.labels()?)));
        }
        Ok(None)
    }

    /// Labels in parentheses; a comma may follow the last.
    fn labels(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect(&TokenKind::LeftParen, "grouping opts", "\"(\"")?;
        let mut names = Vec::new();
        while !self.skip(&TokenKind::RightParen) {
            names.push(self.label()?);
            if self.token.kind != TokenKind::RightParen {
                self.expect(&TokenKind::Comma, "grouping opts", "\",\" or \")\"")?;
            }
        }
        Ok(names)
    }

    fn label(&mut self) -> Result<String, ParseError> {
        let span = self.token.span;
        let name = match &mut self.token.kind {
            TokenKind::String(text) => std::mem::take(text),
            TokenKind::Bytes(name) => {
                let name = quoted_bytes(name);
                return Err(self.error(span, format!("invalid label name for grouping: {name}")));
            }
            TokenKind::Identifier | TokenKind::MetricIdentifier => self.source(span).to_owned(),
            TokenKind::Aggregator(_) => self.source(span).to_owned(),
            TokenKind::Keyword(keyword) if *keyword != Keyword::Without => self.source(span).to_owned(),
            TokenKind::Operator(op) if op.is_set() || *op == BinaryOp::Atan2 => self.source(span).to_owned(),
            _ => return Err(self.unexpected("grouping opts", "label")),
        };
        if name.is_empty() {
            return Err(self.error(span, format!("invalid label name for grouping: {}", quoted(&name))));
        }
        self.take();
        Ok(name)
    }

    /// What may stand between an operator and its right side.
    pub(super) fn matching(&mut self) -> Result<Matching, ParseError> {
        let mut matching = Matching::default();
        if self.skip(&TokenKind::Keyword(Keyword::On)) {
            matching.labels = MatchLabels::On(self.labels()?);
        } else if self.skip(&TokenKind::Keyword(Keyword::Ignoring)) {
            matching.labels = MatchLabels::Ignoring(self.labels()?);
        } else {
            matching.fill = self.fill()?;
            return Ok(matching);
        }
        if self.skip(&TokenKind::Keyword(Keyword::GroupLeft)) {
            matching.group = Some(Group::Left(self.optional_labels()?));
        } else if self.skip(&TokenKind::Keyword(Keyword::GroupRight)) {
            matching.group = Some(Group::Right(self.optional_labels()?));
        }
        matching.fill = self.fill()?;
        Ok(matching)
    }

    fn optional_labels(&mut self) -> Result<Vec<String>, ParseError> {
        if self.token.kind.begins_expression() && self.token.kind != TokenKind::LeftParen {
            return Ok(Vec::new());
        }
        self.labels()
    }

    /// `fill(x)`, or one of `fill_left(x)` and `fill_right(x)`, or both.
    fn fill(&mut self) -> Result<Fill, ParseError> {
        let mut fill = Fill::default();
        while let TokenKind::Keyword(keyword @ (Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)) =
            self.token.kind
        {
            let (left, right) = (keyword != Keyword::FillRight, keyword != Keyword::FillLeft);
            if (left && fill.left.is_some()) || (right && fill.right.is_some()) {
                break;
            }
            self.take();
            self.expect(&TokenKind::LeftParen, "", "")?;
            let value = Some(self.signed_number("", "")?);
            self.expect(&TokenKind::RightParen, "", "")?;
            fill.left = if left { value } else { fill.left };
            fill.right = if right { value } else { fill.right };
        }
        Ok(fill)
    }
}
