//! `info()`: the labels of info series (such as `target_info`) joined to the series of the same job and instance.
//!
//! base series ─ job and instance ─▶ info series, newest at each step ─▶ base series with their labels, per run of steps

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use schemas::labels::{LabelsBuilder, METRIC_NAME};
use schemas::{LabelMatcher, Labels, MatchOp};

use super::EvalError;
use super::context::{Context, unwrapped};
use super::grid::Steps;
use super::labels::printed;
use super::newest::Kinds;
use super::series::{Series, Vector, same_labels};
use super::stream::Stream;
use crate::ast::{Call, Expr, ExprKind, ValueType};
use crate::column::Column;
use crate::functions::FunctionId;

/// The labels that tell which info series belongs to a series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The info metric where none is named.
const TARGET_INFO: &str = "target_info";

/// Values in one regular expression.
const VALUES_A_MATCHER: usize = 500;

/// The time at which info series are looked up: fixed, or each step's, less an offset; ms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    at: Option<i64>,
    offset: i64,
}

impl Reference {
    fn same(self, other: Self) -> bool {
        match (self.at, other.at) {
            (Some(a), Some(b)) => a.saturating_sub(self.offset) == b.saturating_sub(other.offset),
            (None, None) => self.offset == other.offset,
            _ => false,
        }
    }
}

/// The references of the selectors of an expression.
#[derive(Default)]
struct References {
    first: Option<Reference>,
    differ: bool,
    /// Some vector comes of no selector: it is of each step's own time.
    none: bool,
}

impl<'q> Context<'q> {
    /// The reference that all selectors of a vector expression share. `None`: they have none in common.
    pub(super) fn info_reference(&self, expr: &Expr) -> Option<Reference> {
        let mut found = References::default();
        self.inspect(expr, Reference { at: None, offset: 0 }, &mut found);
        found.first.filter(|_| !found.differ && !found.none)
    }

    /// Whether any selector is in there. `around`: what the subqueries around do.
    fn inspect(&self, expr: &Expr, around: Reference, found: &mut References) -> bool {
        let expr = unwrapped(expr);
        if !matches!(expr.value_type(), ValueType::Vector | ValueType::Matrix) {
            return false;
        }
        let moved = |modifiers: &crate::ast::Modifiers| {
            let offset = self.offset(modifiers.offset.as_ref()).unwrap_or_default();
            match self.fixed_time(modifiers) {
                Some(at) => Reference { at: Some(at), offset },
                None => Reference { at: around.at, offset: around.offset.saturating_add(offset) },
            }
        };
        let selector = |modifiers, found: &mut References| {
            let reference = moved(modifiers);
            match found.first {
                None => found.first = Some(reference),
                Some(first) => found.differ |= !first.same(reference),
            }
            true
        };
        let has = match &expr.kind {
            ExprKind::Vector(vector) => return selector(&vector.modifiers, found),
            ExprKind::Matrix(matrix) => return selector(&matrix.selector.modifiers, found),
            ExprKind::Subquery(subquery) => self.inspect(&subquery.expr, moved(&subquery.modifiers), found),
            ExprKind::Call(call) => {
                let args = if call.function.id == FunctionId::Info { &call.args[..1] } else { &call.args[..] };
                args.iter().fold(false, |has, arg| self.inspect(arg, around, found) | has)
            }
            ExprKind::Aggregate(aggregate) => {
                let param = aggregate.param.as_ref().is_some_and(|param| self.inspect(param, around, found));
                self.inspect(&aggregate.expr, around, found) | param
            }
            ExprKind::Binary(binary) => {
                let left = self.inspect(&binary.left, around, found);
                self.inspect(&binary.right, around, found) | left
            }
            ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => self.inspect(inner, around, found),
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Bytes(_) => false,
        };
        found.none |= !has;
        has
    }

    pub(super) fn info(&'q self, call: &'q Call, steps: Steps) -> Result<Stream<'q>, EvalError> {
        let base = self.vector(&call.args[0], steps)?.collect()?;
        let wanted = match call.args.get(1).map(|arg| &unwrapped(arg).kind) {
            Some(ExprKind::Vector(selector)) => selector.all_matchers(),
            _ => vec![LabelMatcher::equal(METRIC_NAME, TARGET_INFO)],
        };
        let (names, data): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|matcher| matcher.name() == METRIC_NAME);
        let names = effective(names)?;
        let is_info =
            |labels: &Labels| names.iter().all(|name| name.matches(labels.get(METRIC_NAME).unwrap_or_default()));
        let reference = self.info_reference(&call.args[0]).unwrap_or(Reference { at: None, offset: 0 });
        let mut infos = Vec::new();
        let ordinary = base.series.iter().map(|one| &one.labels).filter(|labels| !is_info(labels));
        for identifying in identifying_matchers(ordinary)? {
            let matchers = identifying.into_iter().chain(data.iter().cloned()).chain(names.iter().cloned()).collect();
            let windows = self.windows_at(reference.at, reference.offset, steps, self.options.lookback_ms);
            infos.extend(self.timestamps(matchers, windows, Kinds::Floats, steps)?.collect()?.series);
        }
        let join = InfoJoin { infos: &by_signature(&infos), data: &data, steps };
        let mut results = Results::default();
        for one in base.series {
            self.stop.check()?;
            if is_info(&one.labels) {
                results.add_all(one)?;
            } else {
                join.enrich(&one, &mut results)?;
            }
        }
        Ok(Stream::given(self, Vector { series: results.series, held: base.held }))
    }
}

/// What info metrics are looked for: named by at least one matcher that says what the name is.
fn effective(mut names: Vec<LabelMatcher>) -> Result<Vec<LabelMatcher>, EvalError> {
    if names.iter().any(|name| matches!(name.op(), MatchOp::Equal | MatchOp::Regex)) {
        return Ok(names);
    }
    if names.is_empty() {
        return Ok(vec![LabelMatcher::equal(METRIC_NAME, TARGET_INFO)]);
    }
    names.insert(0, matcher(METRIC_NAME, ".+_info".to_owned())?);
    Ok(names)
}

fn matcher(name: &str, pattern: String) -> Result<LabelMatcher, EvalError> {
    LabelMatcher::new(name, MatchOp::Regex, pattern).map_err(|error| EvalError::Execution(error.to_string()))
}

/// For each combination of identifying labels that series have, matchers of the values that they have.
fn identifying_matchers<'a>(series: impl Iterator<Item = &'a Labels>) -> Result<Vec<Vec<LabelMatcher>>, EvalError> {
    let mut combinations: BTreeMap<[bool; 2], [BTreeSet<&str>; 2]> = BTreeMap::new();
    for labels in series {
        let values = IDENTIFYING.map(|name| labels.get(name));
        if values.iter().all(Option::is_none) {
            continue;
        }
        let sets = combinations.entry(values.map(|value| value.is_some())).or_default();
        for (set, value) in sets.iter_mut().zip(values) {
            set.extend(value);
        }
    }
    let mut all = Vec::new();
    for [instances, jobs] in combinations.values() {
        for instance in one_label(IDENTIFYING[0], instances)? {
            for job in one_label(IDENTIFYING[1], jobs)? {
                all.push(vec![instance.clone(), job]);
            }
        }
    }
    Ok(all)
}

/// Matchers of one label: together of all values, each of few enough to compile; of no values, that the label is absent.
fn one_label(name: &str, values: &BTreeSet<&str>) -> Result<Vec<LabelMatcher>, EvalError> {
    if values.is_empty() {
        return Ok(vec![LabelMatcher::equal(name, "")]);
    }
    let escaped: Vec<String> = values.iter().map(|value| regex::escape(value)).collect();
    escaped.chunks(VALUES_A_MATCHER).map(|values| matcher(name, values.join("|"))).collect()
}

fn signature(labels: &Labels) -> Labels {
    LabelsBuilder::default().filtered(labels, |name| IDENTIFYING.iter().any(|one| one.as_bytes() == name))
}

/// Info series by what they identify, then by their metric.
type Infos<'a> = HashMap<Labels, BTreeMap<&'a str, Vec<&'a Series>>>;

fn by_signature(infos: &[Series]) -> Infos<'_> {
    let mut found: Infos<'_> = HashMap::new();
    for info in infos {
        let metrics = found.entry(signature(&info.labels)).or_default();
        metrics.entry(info.labels.get(METRIC_NAME).unwrap_or_default()).or_default().push(info);
    }
    found
}

/// Series with the labels of info series.
#[derive(Default)]
struct Results {
    places: HashMap<Labels, usize>,
    series: Vec<Series>,
}

impl Results {
    fn place(&mut self, labels: Labels, like: &Series) -> usize {
        *self.places.entry(labels).or_insert_with_key(|labels| {
            let column = Column::empty(like.column.len());
            self.series.push(Series { labels: labels.clone(), drop_name: like.drop_name, column });
            self.series.len() - 1
        })
    }

    fn add_all(&mut self, one: Series) -> Result<(), EvalError> {
        let place = self.place(one.labels.clone(), &one);
        super::series::merge_columns(&mut self.series[place].column, &one.column)
    }
}

struct InfoJoin<'a> {
    infos: &'a Infos<'a>,
    /// Matchers of the labels that are asked for; all, where there are none.
    data: &'a [LabelMatcher],
    steps: Steps,
}

impl<'a> InfoJoin<'a> {
    fn enrich(&self, one: &Series, results: &mut Results) -> Result<(), EvalError> {
        let metrics = self.infos.get(&signature(&one.labels));
        let may_lack = self.data.iter().all(LabelMatcher::matches_absent);
        // The info series of the step before, and where its result goes: they seldom change.
        let mut before: Option<(Vec<&Series>, usize)> = None;
        for step in 0..self.steps.count {
            let Some(value) = one.column.get(step) else { continue };
            let mut infos: Vec<&Series> = Vec::new();
            for candidates in metrics.into_iter().flat_map(BTreeMap::values) {
                infos.extend(self.newest(candidates, step)?);
            }
            if infos.is_empty() && !may_lack {
                continue;
            }
            let same = before.as_ref().filter(|(infos_before, _)| {
                infos_before.len() == infos.len() && infos_before.iter().zip(&infos).all(|(a, b)| std::ptr::eq(*a, *b))
            });
            let place = match same {
                Some((_, place)) => *place,
                None => {
                    let place = results.place(self.joined(&one.labels, &infos)?, one);
                    before = Some((infos, place));
                    place
                }
            };
            let column = &mut results.series[place].column;
            if column.is_set(step) {
                return Err(same_labels());
            }
            column.set(step, value);
        }
        Ok(())
    }

    /// Of the info series of one metric, the one with the newest sample.
    fn newest(&self, candidates: &[&'a Series], step: usize) -> Result<Option<&'a Series>, EvalError> {
        let mut newest: Option<(&Series, f64)> = None;
        for info in candidates {
            let Some(time) = info.column.float(step) else { continue };
            match newest {
                Some((_, found)) if found > time => {}
                Some((other, found)) if found >= time => {
                    #[expect(clippy::cast_possible_truncation, reason = "a timestamp that was an integer of ms")]
                    let ms = (time * 1000.0).round() as i64;
                    return Err(EvalError::Execution(format!(
                        "found duplicate series for info metric: existing {} @ {ms}, new {} @ {ms}",
                        printed(&other.labels),
                        printed(&info.labels)
                    )));
                }
                _ => newest = Some((info, time)),
            }
        }
        Ok(newest.map(|(info, _)| info))
    }

    /// Labels with those of info series that they lack.
    fn joined(&self, base: &Labels, infos: &[&Series]) -> Result<Labels, EvalError> {
        let mut found: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in infos.iter().flat_map(|info| info.labels.iter()) {
            let asked_for = self.data.is_empty() || self.data.iter().any(|matcher| matcher.name() == name);
            if name == METRIC_NAME || !asked_for {
                continue;
            }
            if found.get(name).is_some_and(|other| *other != value) {
                return Err(EvalError::Execution(format!("conflicting label: {name}")));
            }
            if base.get(name).is_none() {
                found.insert(name, value);
            }
        }
        let mut builder = LabelsBuilder::default();
        Ok(found.into_iter().fold(base.clone(), |labels, (name, value)| builder.with(&labels, name, value)))
    }
}
