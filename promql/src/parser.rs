//! Reads an expression: Pratt's method, one function a rule of Prometheus' grammar.
//!
//! text → tokens (`lexer`) → tree (here; `calls`, `selectors`, `durations`) → types (`check`) → `Expr`
//!
//! PARSE-1: a tree is at most [`HEIGHT_MAX`] high and nests at most [`NESTING_MAX`] deep, so that whoever walks it
//! by recursion (checks, printing, dropping) needs no bound of its own. The first error ends the reading.

mod calls;
mod durations;
mod selectors;

use durations::Place;

use crate::ast::{Binary, Edges, Expr, ExprKind, Subquery, ValueType};
use crate::check;
use crate::error::{ParseError, Span};
use crate::lexer::{Lexer, Token, TokenKind};
use crate::operator::{BinaryOp, Keyword, PRODUCT, Sign};

/// The most expressions, one in the other, in parentheses, calls and behind signs.
pub const NESTING_MAX: usize = 100;

/// The most nodes between the root of a tree and a leaf.
pub const HEIGHT_MAX: usize = 500;

const RANGE: Place = Place { context: "subquery or range selector", expected: "number, duration, step(), or range()" };

const STEP: Place = Place { context: "subquery selector", expected: "number, duration, step(), range(), or \"]\"" };

/// Parts of the language that are off in Prometheus unless asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParseOptions {
    /// Functions and aggregators that may still change.
    pub experimental_functions: bool,
    /// Arithmetic in ranges, steps and offsets.
    pub duration_expressions: bool,
    /// `fill`, `fill_left` and `fill_right`.
    pub fill: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
}

impl ParseOptions {
    /// Everything that may still change.
    pub const ALL: Self =
        Self { experimental_functions: true, duration_expressions: true, fill: true, extended_range_selectors: true };
}

/// Parses and checks an expression.
pub fn parse_expr(text: &str, options: ParseOptions) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text, options);
    if parser.token.kind == TokenKind::End {
        return Err(ParseError::at(text, Span::new(0, 0), "no expression found in input"));
    }
    let tree = parser.expr(0)?;
    if parser.token.kind != TokenKind::End {
        return Err(parser.unexpected("", ""));
    }
    check::check(text, &tree.expr)?;
    Ok(tree.expr)
}

/// An expression, and how high its tree is.
struct Tree {
    expr: Expr,
    height: usize,
}

pub(crate) struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    options: ParseOptions,
    /// The next token, not yet taken.
    token: Token,
    /// Where the last taken token ends.
    last_end: usize,
    nesting: usize,
    /// Aggregations whose arguments are being read.
    aggregations: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str, options: ParseOptions) -> Self {
        let mut lexer = Lexer::new(text);
        let token = token_or_fault(&mut lexer);
        Self { text, lexer, options, token, last_end: 0, nesting: 0, aggregations: 0 }
    }

    /// An expression whose operators bind at least as tightly as `least`.
    fn expr(&mut self, least: u8) -> Result<Tree, ParseError> {
        self.enter(self.token.span)?;
        let mut left = self.operand()?;
        while let TokenKind::Operator(op) = self.token.kind {
            if op.precedence() < least {
                break;
            }
            left = self.binary(left, op)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    /// `left` has been read, and the operator comes next.
    fn binary(&mut self, left: Tree, op: BinaryOp) -> Result<Tree, ParseError> {
        let op_span = self.take().span;
        let returns_bool = self.skip(&TokenKind::Keyword(Keyword::Bool));
        let matching = self.matching()?;
        let right = self.expr(op.right_side())?;
        if matching.fill.is_some() && !self.options.fill {
            self.no_fault()?;
            let span = Span::new(left.expr.span.start, right.expr.span.end);
            return Err(self.error(span, "binop fill modifiers are experimental and not enabled"));
        }
        let span = Span::new(left.expr.span.start, right.expr.span.end);
        let height = left.height.max(right.height);
        let vectors = [&left, &right].iter().all(|side| side.expr.value_type() == ValueType::Vector);
        // What was written between scalars stays until the check refuses it.
        let written = !matching.labels.names().is_empty() || matching.fill.is_some();
        let matching = (vectors || written).then_some(matching);
        let binary = Binary { op, op_span, left: left.expr, right: right.expr, returns_bool, matching };
        self.node(ExprKind::Binary(Box::new(binary)), span, height)
    }

    /// What stands between operators: a sign and its operand, or a term with its modifiers.
    fn operand(&mut self) -> Result<Tree, ParseError> {
        let sign = match self.token.kind {
            TokenKind::Operator(BinaryOp::Add) => Sign::Plus,
            TokenKind::Operator(BinaryOp::Subtract) => Sign::Minus,
            _ => return self.term(),
        };
        let start = self.take().span.start;
        let mut inner = self.expr(PRODUCT + 1)?;
        let span = Span::new(start, inner.expr.span.end);
        if let ExprKind::Number(number) = &mut inner.expr.kind {
            if sign == Sign::Minus {
                number.value = -number.value;
            }
            inner.expr.span = span;
            return Ok(inner);
        }
        self.node(ExprKind::Unary(sign, Box::new(inner.expr)), span, inner.height)
    }

    fn term(&mut self) -> Result<Tree, ParseError> {
        let mut tree = self.primary()?;
        loop {
            match self.token.kind {
                TokenKind::LeftBracket => tree = self.range(tree)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(&mut tree.expr)?,
                TokenKind::At => self.at(&mut tree.expr)?,
                TokenKind::Keyword(Keyword::Anchored) => self.edges(&mut tree.expr, Edges::Anchored)?,
                TokenKind::Keyword(Keyword::Smoothed) => self.edges(&mut tree.expr, Edges::Smoothed)?,
                _ => return Ok(tree),
            }
        }
    }

    fn primary(&mut self) -> Result<Tree, ParseError> {
        let start = self.token.span;
        let leaf = match &mut self.token.kind {
            TokenKind::Number => ExprKind::Number(self.number()?),
            TokenKind::Duration => ExprKind::Number(self.duration_number()?),
            TokenKind::String(text) => ExprKind::String(std::mem::take(text)),
            TokenKind::Bytes(text) => ExprKind::Bytes(std::mem::take(text)),
            TokenKind::LeftParen => return self.paren(),
            TokenKind::Aggregator(op) => {
                let op = *op;
                let name = self.take();
                return self.aggregate_or_metric(op, &name);
            }
            TokenKind::LeftBrace => return self.vector(None, start),
            kind if kind.may_name_metric() => return self.call_or_metric(),
            _ => return Err(self.unexpected("", "")),
        };
        self.take();
        self.node(leaf, start, 0)
    }

    /// One level deeper; whoever enters leaves again, unless an error ends it all.
    fn enter(&mut self, span: Span) -> Result<(), ParseError> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self.error(span, "expression is nested too deeply"));
        }
        Ok(())
    }

    fn paren(&mut self) -> Result<Tree, ParseError> {
        let start = self.take().span.start;
        let inner = self.expr(0)?;
        self.expect(&TokenKind::RightParen, "", "")?;
        self.node(ExprKind::Paren(Box::new(inner.expr)), Span::new(start, self.last_end), inner.height)
    }

    /// `[range]` or `[range:step]` behind an expression.
    fn range(&mut self, tree: Tree) -> Result<Tree, ParseError> {
        let open = self.take().span.start;
        let range = self.bracket_length(RANGE)?;
        if self.skip(&TokenKind::RightBracket) {
            return self.matrix(tree, range, Span::new(open, self.last_end));
        }
        self.expect(&TokenKind::Colon, "subquery or range", "\":\" or \"]\"")?;
        let step = if self.token.kind == TokenKind::RightBracket { None } else { Some(self.bracket_length(STEP)?) };
        self.expect(&TokenKind::RightBracket, "subquery selector", "\"]\"")?;
        let span = Span::new(tree.expr.span.start, self.last_end);
        let subquery = Subquery { expr: tree.expr, range, step, modifiers: crate::ast::Modifiers::default() };
        self.node(ExprKind::Subquery(Box::new(subquery)), span, tree.height)
    }

    fn node(&self, kind: ExprKind, span: Span, below: usize) -> Result<Tree, ParseError> {
        if below >= HEIGHT_MAX {
            return Err(self.error(span, "expression is nested too deeply"));
        }
        Ok(Tree { expr: Expr { kind, span }, height: below + 1 })
    }

    /// Takes the token, and reads the next.
    fn take(&mut self) -> Token {
        self.last_end = self.token.span.end;
        let next = token_or_fault(&mut self.lexer);
        std::mem::replace(&mut self.token, next)
    }

    /// Takes the token if it is this one.
    fn skip(&mut self, kind: &TokenKind) -> bool {
        let found = self.token.kind == *kind;
        if found {
            self.take();
        }
        found
    }

    fn expect(&mut self, kind: &TokenKind, context: &str, expected: &str) -> Result<(), ParseError> {
        if self.skip(kind) { Ok(()) } else { Err(self.unexpected(context, expected)) }
    }

    /// Where the grammar looks one token ahead, a fault of that token is told before what is wrong in front of it.
    fn no_fault(&self) -> Result<(), ParseError> {
        if matches!(self.token.kind, TokenKind::Fault(_)) { Err(self.unexpected("", "")) } else { Ok(()) }
    }

    fn source(&self, span: Span) -> &'a str {
        &self.text[span.start..span.end]
    }

    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        if let TokenKind::Fault(fault) = &self.token.kind {
            return (**fault).clone();
        }
        let aggregation = context.is_empty() && self.aggregations > 0;
        let context = if aggregation { "aggregation" } else { context };
        let mut message = format!("unexpected {}", self.token.describe(self.text));
        for (word, part) in [(" in ", context), (", expected ", expected)] {
            if !part.is_empty() {
                message.push_str(word);
                message.push_str(part);
            }
        }
        self.error(self.token.span, message)
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, span, message)
    }
}

/// What cannot be cut into tokens becomes a token that the grammar takes nowhere: what is wrong in front of it comes first.
fn token_or_fault(lexer: &mut Lexer<'_>) -> Token {
    lexer.next_token().unwrap_or_else(|fault| Token { span: fault.span, kind: TokenKind::Fault(Box::new(fault)) })
}
