//! Operators between two vectors: which series meet is found once, from labels; then values, a pair of series at a time.
//!
//! both sides, held ─▶ match groups (labels that must be equal) ─▶ pairs, with the labels of their result ─▶ columns
//!
//! Nouns: of two sides, *many* may have several series a match group (`group_left`, `group_right`), *one* may have one at a step.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use schemas::Labels;
use schemas::labels::LabelsBuilder;

use super::EvalError;
use super::binary::{Operator, changes_meaning, one_if};
use super::budget::Held;
use super::context::Context;
use super::grid::Steps;
use super::grouping::Groups;
use super::labels::{is_metadata, printed};
use super::series::{Series, Vector, all_differ, merge_columns, same_labels};
use super::stream::Stream;
use crate::ast::{Binary, Expr, Fill, Group, Grouping, MatchLabels, Matching, ValueType};
use crate::column::{Column, Value};
use crate::error::Span;
use crate::notes::Notes;

impl<'q> Context<'q> {
    /// A binary expression that gives a vector.
    pub(super) fn binary(&'q self, binary: &'q Binary, span: Span, steps: Steps) -> Result<Stream<'q>, EvalError> {
        let operator = Operator { op: binary.op, returns_bool: binary.returns_bool, span };
        match (binary.left.value_type(), binary.right.value_type()) {
            (ValueType::Vector, ValueType::Scalar) => {
                self.vector_and_scalar(operator, &binary.left, &binary.right, false, steps)
            }
            (ValueType::Scalar, ValueType::Vector) => {
                self.vector_and_scalar(operator, &binary.right, &binary.left, true, steps)
            }
            _ => {
                let matching = binary.matching.as_ref().unwrap_or(&ANY);
                let left = self.vector(&binary.left, steps)?.collect()?;
                let right = self.vector(&binary.right, steps)?.collect()?;
                if binary.op.is_set() {
                    return Ok(self.set_operation(binary.op, matching, left, right, steps));
                }
                self.matched(operator, matching, left, right, steps)
            }
        }
    }

    fn vector_and_scalar(
        &'q self,
        operator: Operator,
        vector: &'q Expr,
        scalar: &'q Expr,
        swapped: bool,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        let scalars = self.scalar(scalar, steps)?;
        let mut stream = self.vector(vector, steps)?;
        stream.push(move |_, column, notes| {
            operator.with_scalars(column, &scalars, swapped, notes);
            Ok(())
        });
        if changes_meaning(operator.op) || operator.returns_bool {
            return self.without_names(stream);
        }
        Ok(stream)
    }

    fn matched(
        &'q self,
        operator: Operator,
        matching: &Matching,
        left: Vector<'q>,
        right: Vector<'q>,
        steps: Steps,
    ) -> Result<Stream<'q>, EvalError> {
        let swapped = matches!(matching.group, Some(Group::Right(_)));
        let (many, one) = if swapped { (&right.series, &left.series) } else { (&left.series, &right.series) };
        let both = many.iter().chain(one).map(|one| &one.labels);
        let groups = Groups::new(both, &grouping_of(&matching.labels));
        let mut members: Vec<Members> = Vec::new();
        members.resize_with(groups.labels.len(), Members::default);
        let (of_many, of_one) = groups.of_series.split_at(many.len());
        of_many.iter().enumerate().for_each(|(at, group)| members[*group].many.push(at));
        of_one.iter().enumerate().for_each(|(at, group)| members[*group].one.push(at));
        let mut join = Join {
            context: self,
            operator,
            matching,
            swapped,
            many,
            one,
            steps: steps.count,
            active: None,
            results: Results {
                places: HashMap::new(),
                series: Vec::new(),
                held: self.budget.hold_nothing(),
                apart: steps.count == 1 && self.options.delayed_name_removal,
            },
            builder: LabelsBuilder::default(),
            said: BTreeMap::new(),
        };
        for (group, members) in members.iter().enumerate() {
            self.stop.check()?;
            join.group(group, &groups.labels[group], members)?;
        }
        for (_, notes) in join.said.into_values() {
            self.note(notes);
        }
        Ok(Stream::given(self, Vector { series: join.results.series, held: join.results.held }))
    }
}

pub(super) fn grouping_of(labels: &MatchLabels) -> Grouping {
    match labels {
        MatchLabels::On(names) => Grouping::By(names.clone()),
        MatchLabels::Ignoring(names) => Grouping::Without(names.clone()),
    }
}

/// How vectors match where nothing is said.
static ANY: Matching =
    Matching { labels: MatchLabels::Ignoring(Vec::new()), group: None, fill: Fill { left: None, right: None } };

/// The series of a match group, by their places.
#[derive(Debug, Default)]
struct Members {
    many: Vec<usize>,
    one: Vec<usize>,
}

struct Join<'a, 'q> {
    context: &'q Context<'q>,
    operator: Operator,
    matching: &'a Matching,
    /// The left side is the one.
    swapped: bool,
    many: &'a [Series],
    one: &'a [Series],
    steps: usize,
    /// For each step, whether anything can match at all; found when first needed.
    active: Option<Vec<bool>>,
    results: Results<'q>,
    builder: LabelsBuilder,
    /// For each step, what the last values to meet there gave to say, and which they were.
    said: BTreeMap<usize, (Place, Notes)>,
}

/// A series, or what stands in for one that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    Series(usize),
    Filled,
}

/// What is known of a match group whose series do not meet in pairs.
struct Meetings<'a> {
    group: usize,
    /// What its series have in common.
    labels: &'a Labels,
    /// Results of those that met.
    places: HashMap<(Place, Place), usize>,
    /// The last step at which each result had a match.
    matched: HashMap<usize, usize>,
}

/// What two values come to.
enum Met {
    Value(Value),
    /// They match, but a comparison does not hold.
    FilteredOut,
    /// The operator does not take such values.
    Refused,
}

impl Join<'_, '_> {
    fn group(&mut self, group: usize, labels: &Labels, members: &Members) -> Result<(), EvalError> {
        let fills = self.matching.fill.left.is_some() || self.matching.fill.right.is_some();
        if members.one.len() > 1 {
            self.check_one_side(labels, members)?;
        }
        if let ([one], false) = (&members.one[..], fills) {
            let one_labels = &self.one[*one].labels;
            let results: Vec<Labels> =
                members.many.iter().map(|many| self.result_labels(&self.many[*many].labels, one_labels)).collect();
            let is_group = self.matching.group.is_some() || results.len() == 1;
            if is_group && all_differ(results.iter()) {
                return members
                    .many
                    .iter()
                    .zip(results)
                    .try_for_each(|(many, result)| self.pair(group, *many, *one, result));
            }
        }
        if members.one.is_empty() && self.matching.fill.right.is_none() {
            return Ok(());
        }
        self.step_by_step(group, labels, members)
    }

    /// The only series of one side that matches, and one of the other: whole columns.
    fn pair(&mut self, group: usize, many: usize, one: usize, labels: Labels) -> Result<(), EvalError> {
        let (a, b) = (&self.many[many].column, &self.one[one].column);
        let mut out = Column::empty(self.steps);
        if a.has_histograms() || b.has_histograms() || !self.operator.takes_floats() {
            for step in 0..self.steps {
                let (Some(a), Some(b)) = (a.get(step), b.get(step)) else { continue };
                if let Met::Value(value) = self.outcome(step, Place::Series(many), &a, &b) {
                    out.set(step, value);
                }
            }
        } else {
            let (left, right) = if self.swapped { (b, a) } else { (a, b) };
            self.operator.of_columns(left, right, &mut out);
        }
        if out.has_nothing() {
            return Ok(());
        }
        self.results.add(group, labels, out, self.operator.returns_bool).map(drop)
    }

    fn step_by_step(&mut self, group: usize, labels: &Labels, members: &Members) -> Result<(), EvalError> {
        let mut meetings = Meetings { group, labels, places: HashMap::new(), matched: HashMap::new() };
        let filled = |fill: Option<f64>| fill.map(|fill| (Place::Filled, Value::Float(fill)));
        for step in 0..self.steps {
            if !self.is_active(step) {
                continue;
            }
            let mut any = false;
            let value_of =
                |at: usize, side: &[Series]| side[at].column.get(step).map(|value| (Place::Series(at), value));
            let one_side = members.one.iter().find_map(|at| value_of(*at, self.one));
            for at in &members.many {
                let Some(many) = value_of(*at, self.many) else { continue };
                let Some(one) = one_side.clone().or_else(|| filled(self.matching.fill.right)) else { continue };
                any |= self.meet(&mut meetings, step, many, one)?;
            }
            if let (false, Some(one), Some(many)) = (any, one_side, filled(self.matching.fill.left)) {
                self.meet(&mut meetings, step, many, one)?;
            }
        }
        Ok(())
    }

    /// Two values meet; whether that counts as a match.
    fn meet(
        &mut self,
        meetings: &mut Meetings<'_>,
        step: usize,
        (many_place, many): (Place, Value),
        (one_place, one): (Place, Value),
    ) -> Result<bool, EvalError> {
        let value = match self.outcome(step, many_place, &many, &one) {
            Met::Value(value) => Some(value),
            Met::FilteredOut => None,
            Met::Refused => return Ok(false),
        };
        let place = match meetings.places.get(&(many_place, one_place)) {
            Some(place) => *place,
            None => {
                let of = |place: Place, side: &[Series]| match place {
                    Place::Series(at) => side[at].labels.clone(),
                    Place::Filled => meetings.labels.clone(),
                };
                let result = self.result_labels(&of(many_place, self.many), &of(one_place, self.one));
                let column = Column::empty(self.steps);
                let place = self.results.add(meetings.group, result, column, self.operator.returns_bool)?;
                meetings.places.insert((many_place, one_place), place);
                place
            }
        };
        // One-to-one, a group may match once a step; else, once for each label set of its results.
        let once = if self.matching.group.is_none() { usize::MAX } else { place };
        if meetings.matched.insert(once, step) == Some(step) {
            let why = if self.matching.group.is_none() {
                "many-to-one matching must be explicit (group_left/group_right)"
            } else {
                "grouping labels must ensure unique matches"
            };
            return Err(EvalError::Execution(format!("multiple matches for labels: {why}")));
        }
        if let Some(value) = value {
            let column = &mut self.results.series[place].column;
            if column.is_set(step) {
                return Err(same_labels());
            }
            column.set(step, value);
        }
        Ok(true)
    }

    fn outcome(&mut self, step: usize, place: Place, many: &Value, one: &Value) -> Met {
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        let mut notes = Notes::default();
        let outcome = self.operator.apply(left, right, &mut notes);
        if !notes.is_empty() && self.said.get(&step).is_none_or(|(last, _)| *last <= place) {
            self.said.insert(step, (place, notes));
        }
        match outcome {
            None => Met::Refused,
            Some(outcome) if self.operator.returns_bool => Met::Value(Value::Float(one_if(outcome.keep))),
            Some(outcome) if outcome.keep => Met::Value(outcome.value),
            Some(_) => Met::FilteredOut,
        }
    }

    fn result_labels(&mut self, many: &Labels, one: &Labels) -> Labels {
        let drops_name = changes_meaning(self.operator.op)
            || self.operator.returns_bool && !self.context.options.delayed_name_removal;
        let matching = self.matching;
        let keeps = |name: &[u8]| {
            let matched = matching.labels.names().iter().any(|n| n.as_bytes() == name);
            let kept = match (&matching.group, &matching.labels) {
                (Some(_), _) => true,
                (None, MatchLabels::On(_)) => matched,
                (None, MatchLabels::Ignoring(_)) => !matched,
            };
            kept && !(drops_name && is_metadata(name))
        };
        let mut labels = self.builder.filtered(many, keeps);
        for name in matching.group.iter().flat_map(Group::include) {
            labels = self.builder.with(&labels, name, one.get(name).unwrap_or_default());
        }
        labels
    }

    /// The one side may not have two series of a match group at a step at which anything matches.
    fn check_one_side(&mut self, labels: &Labels, members: &Members) -> Result<(), EvalError> {
        for step in 0..self.steps {
            let mut present = members.one.iter().filter(|at| self.one[**at].column.is_set(step));
            let (Some(first), Some(second)) = (present.next(), present.next()) else { continue };
            let mut pair = [printed(&self.one[*first].labels), printed(&self.one[*second].labels)];
            if !self.is_active(step) {
                continue;
            }
            pair.sort();
            let side = if self.swapped { "left" } else { "right" };
            return Err(EvalError::Execution(format!(
                "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];\
                 many-to-many matching not allowed: matching labels must be unique on one side",
                printed(labels),
                pair[0],
                pair[1]
            )));
        }
        Ok(())
    }

    /// Whether both sides have anything at a step, or what is missing may be filled in.
    fn is_active(&mut self, step: usize) -> bool {
        if self.matching.fill.left.is_some() || self.matching.fill.right.is_some() {
            return true;
        }
        let (many, one, steps) = (self.many, self.one, self.steps);
        self.active.get_or_insert_with(|| {
            let any = |side: &[Series], step: usize| side.iter().any(|one| one.column.is_set(step));
            (0..steps).map(|step| any(many, step) && any(one, step)).collect()
        })[step]
    }
}

/// Results by labels.
struct Results<'q> {
    places: HashMap<(usize, Labels), usize>,
    series: Vec<Series>,
    held: Held<'q>,
    /// Results of different match groups are not put together: names that are still to go may tell them apart.
    apart: bool,
}

impl Results<'_> {
    /// Adds the values of a result; the place of its series.
    fn add(&mut self, group: usize, labels: Labels, column: Column, drop_name: bool) -> Result<usize, EvalError> {
        match self.places.entry((if self.apart { group } else { 0 }, labels)) {
            Entry::Occupied(place) => {
                merge_columns(&mut self.series[*place.get()].column, &column)?;
                Ok(*place.get())
            }
            Entry::Vacant(place) => {
                self.held.add(column.len(), column.len() * size_of::<f64>())?;
                self.series.push(Series { labels: place.key().1.clone(), drop_name, column });
                Ok(*place.insert(self.series.len() - 1))
            }
        }
    }
}
