//! Series on their way: labels known, values read a block at a time, each series through all its stages, into one fold.
//!
//! source (a selection, or columns that are held) ─▶ stages, per series ─▶ fold, per block ─▶ blocks put together in order
//!
//! Blocks hold [`BLOCK`] series whatever the number of threads, so that sums do not depend on it (EVAL-1).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemas::Labels;

use super::EvalError;
use super::budget::Held;
use super::context::Context;
use super::series::{Series, Vector};
use crate::column::Column;
use crate::notes::Notes;
use crate::storage::{SeriesData, SeriesSet, StorageError};

/// Series a block.
const BLOCK: usize = 128;

/// What happens to each series, one after the other: its labels, its values, what there is to say.
pub(super) type Stage<'q> = Box<dyn Fn(&Labels, &mut Column, &mut Notes) -> Result<(), EvalError> + Send + Sync + 'q>;

/// Makes a column of what a storage has.
pub(super) type Reader<'q> =
    Box<dyn Fn(&Labels, SeriesData<'_>, &mut Column, &mut Notes) -> Result<(), EvalError> + Send + Sync + 'q>;

/// Where values come from.
enum Source<'q> {
    Selected { set: Box<dyn SeriesSet + 'q>, reader: Reader<'q> },
    Given { columns: Vec<Column>, _held: Held<'q> },
}

/// See the module.
pub(super) struct Stream<'q> {
    context: &'q Context<'q>,
    source: Source<'q>,
    /// Where they are not the source's.
    labels: Option<Vec<Labels>>,
    /// Labels from before they were changed, and how many of the first stages see them.
    before: Vec<(usize, Option<Vec<Labels>>)>,
    /// For each series, whether its name is to be removed from the answer.
    drop_name: Vec<bool>,
    stages: Vec<Stage<'q>>,
}

/// Takes the columns of a stream.
pub(super) trait Fold: Sync {
    /// What a block comes to.
    type Part: Send;

    /// Of no series.
    fn part(&self) -> Self::Part;

    /// Takes one series, which has at least one value; the column may be taken away.
    fn take(
        &self,
        part: &mut Self::Part,
        series: usize,
        labels: &Labels,
        column: &mut Column,
        notes: &mut Notes,
    ) -> Result<(), EvalError>;

    /// Adds what the series behind came to.
    fn merge(&self, part: &mut Self::Part, later: Self::Part, notes: &mut Notes) -> Result<(), EvalError>;
}

impl<'q> Stream<'q> {
    pub(super) fn selected(context: &'q Context<'q>, set: Box<dyn SeriesSet + 'q>, reader: Reader<'q>) -> Self {
        let drop_name = vec![false; set.labels().len()];
        Self {
            context,
            source: Source::Selected { set, reader },
            labels: None,
            before: Vec::new(),
            drop_name,
            stages: Vec::new(),
        }
    }

    pub(super) fn given(context: &'q Context<'q>, vector: Vector<'q>) -> Self {
        let mut labels = Vec::with_capacity(vector.series.len());
        let mut drop_name = Vec::with_capacity(vector.series.len());
        let mut columns = Vec::with_capacity(vector.series.len());
        for series in vector.series {
            labels.push(series.labels);
            drop_name.push(series.drop_name);
            columns.push(series.column);
        }
        let source = Source::Given { columns, _held: vector.held };
        Self { context, source, labels: Some(labels), before: Vec::new(), drop_name, stages: Vec::new() }
    }

    /// No series.
    pub(super) fn nothing(context: &'q Context<'q>) -> Self {
        Self::given(context, Vector { series: Vec::new(), held: context.budget.hold_nothing() })
    }

    /// One series.
    pub(super) fn single(context: &'q Context<'q>, labels: Labels, column: Column) -> Self {
        let series = vec![Series { labels, drop_name: false, column }];
        Self::given(context, Vector { series, held: context.budget.hold_nothing() })
    }

    /// Labels of all series: some may turn out to have no values.
    pub(super) fn labels(&self) -> &[Labels] {
        self.given_labels(self.labels.as_ref())
    }

    /// Labels, if they are not the source's.
    fn given_labels<'a>(&'a self, labels: Option<&'a Vec<Labels>>) -> &'a [Labels] {
        match (labels, &self.source) {
            (Some(labels), _) => labels,
            (None, Source::Selected { set, .. }) => set.labels(),
            (None, Source::Given { .. }) => &[],
        }
    }

    pub(super) fn drop_name(&self) -> &[bool] {
        &self.drop_name
    }

    /// Lets each series go through one more stage.
    pub(super) fn push(
        &mut self,
        stage: impl Fn(&Labels, &mut Column, &mut Notes) -> Result<(), EvalError> + Send + Sync + 'q,
    ) {
        self.stages.push(Box::new(stage));
    }

    /// A stage that looks at the values alone.
    pub(super) fn map(&mut self, stage: impl Fn(&mut Column) + Send + Sync + 'q) {
        self.push(move |_, column, _| {
            stage(column);
            Ok(())
        });
    }

    /// Marks the names of all series for removal.
    pub(super) fn mark_names(&mut self) {
        self.drop_name.fill(true);
    }

    /// Gives the series other labels; the stages so far go on to see those before.
    pub(super) fn relabel(&mut self, labels: Vec<Labels>, drop_name: Vec<bool>) {
        self.before.push((self.stages.len(), self.labels.replace(labels)));
        self.drop_name = drop_name;
    }

    /// Reads everything.
    pub(super) fn collect(mut self) -> Result<Vector<'q>, EvalError> {
        let context = self.context;
        let fold = Collect { context, drop_name: self.drop_name.clone() };
        let (series, held) = self.fold(&fold)?;
        Ok(Vector { series, held })
    }

    /// Reads everything into a fold; the labels stay.
    pub(super) fn fold<F: Fold>(&mut self, fold: &F) -> Result<F::Part, EvalError> {
        let mut notes = Notes::default();
        let part = match &mut self.source {
            Source::Given { columns, .. } => {
                let columns = std::mem::take(columns);
                self.fold_given(columns, fold, &mut notes)
            }
            Source::Selected { .. } => self.fold_selected(fold, &mut notes),
        };
        if let Source::Selected { set, .. } = &self.source {
            notes.merge(set.notes());
        }
        self.context.note(notes);
        part
    }

    fn fold_given<F: Fold>(&self, columns: Vec<Column>, fold: &F, notes: &mut Notes) -> Result<F::Part, EvalError> {
        let mut whole = None;
        let mut part = fold.part();
        for (at, mut column) in columns.into_iter().enumerate() {
            self.context.stop.check()?;
            self.finish(fold, &mut part, at, &mut column, notes)?;
            if (at + 1) % BLOCK == 0 {
                append(fold, &mut whole, std::mem::replace(&mut part, fold.part()), notes)?;
            }
        }
        append(fold, &mut whole, part, notes)?;
        Ok(whole.unwrap_or_else(|| fold.part()))
    }

    fn fold_selected<F: Fold>(&self, fold: &F, notes: &mut Notes) -> Result<F::Part, EvalError> {
        let series = self.labels().len();
        let blocks = series.div_ceil(BLOCK);
        let threads = self.context.options.threads.min(blocks);
        let order = Order { next: AtomicUsize::new(0), failed: AtomicBool::new(false), done: Mutex::default() };
        if threads <= 1 {
            self.work(fold, blocks, &order);
        } else {
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|| self.work(fold, blocks, &order));
                }
                self.work(fold, blocks, &order);
            });
        }
        let done = order.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        notes.merge(done.notes);
        match done.error {
            Some(error) => Err(error),
            None => Ok(done.whole.unwrap_or_else(|| fold.part())),
        }
    }

    /// Takes blocks until there are none.
    fn work<F: Fold>(&self, fold: &F, blocks: usize, order: &Order<F::Part>) {
        let mut notes = Notes::default();
        loop {
            let block = order.next.fetch_add(1, Ordering::Relaxed);
            if block >= blocks || order.failed.load(Ordering::Relaxed) {
                break;
            }
            let outcome = self.block(block, fold, &mut notes);
            if outcome.is_err() {
                order.failed.store(true, Ordering::Relaxed);
            }
            order.finish(fold, block, outcome, &mut notes);
        }
        order.lock().notes.merge(notes);
    }

    fn block<F: Fold>(&self, block: usize, fold: &F, notes: &mut Notes) -> Result<F::Part, EvalError> {
        let Source::Selected { set, reader } = &self.source else { return Ok(fold.part()) };
        let series = block_range(block, self.labels().len());
        let (mut part, mut column, mut failure) = (fold.part(), Column::default(), None);
        let read = set.read(series, &mut |at, data| {
            let outcome = self.context.stop.check().and_then(|()| {
                reader(&set.labels()[at], data, &mut column, notes)?;
                self.finish(fold, &mut part, at, &mut column, notes)
            });
            outcome.map_err(|error| {
                failure = Some(error);
                StorageError::Stopped
            })
        });
        match (failure, read) {
            (Some(error), _) => Err(error),
            (None, read) => Ok(read.map(|()| part)?),
        }
    }

    /// The stages, then the fold.
    fn finish<F: Fold>(
        &self,
        fold: &F,
        part: &mut F::Part,
        at: usize,
        column: &mut Column,
        notes: &mut Notes,
    ) -> Result<(), EvalError> {
        let mut done = 0;
        for (end, labels) in &self.before {
            self.run(done..*end, &self.given_labels(labels.as_ref())[at], column, notes)?;
            done = *end;
        }
        let labels = &self.labels()[at];
        self.run(done..self.stages.len(), labels, column, notes)?;
        if column.has_nothing() { Ok(()) } else { fold.take(part, at, labels, column, notes) }
    }

    fn run(
        &self,
        stages: Range<usize>,
        labels: &Labels,
        column: &mut Column,
        notes: &mut Notes,
    ) -> Result<(), EvalError> {
        self.stages[stages].iter().try_for_each(|stage| stage(labels, column, notes))
    }
}

fn block_range(block: usize, series: usize) -> Range<usize> {
    block * BLOCK..((block + 1) * BLOCK).min(series)
}

fn append<F: Fold>(fold: &F, whole: &mut Option<F::Part>, part: F::Part, notes: &mut Notes) -> Result<(), EvalError> {
    match whole {
        Some(whole) => fold.merge(whole, part, notes),
        None => {
            *whole = Some(part);
            Ok(())
        }
    }
}

/// Which blocks are taken, and what the finished ones came to, put together in order.
struct Order<P> {
    next: AtomicUsize,
    failed: AtomicBool,
    done: Mutex<Done<P>>,
}

struct Done<P> {
    /// The first block that is not in `whole`.
    wanted: usize,
    whole: Option<P>,
    /// Finished before those in front of them: no more than there are threads, as a rule.
    waiting: BTreeMap<usize, P>,
    notes: Notes,
    error: Option<EvalError>,
}

impl<P> Default for Done<P> {
    fn default() -> Self {
        Self { wanted: 0, whole: None, waiting: BTreeMap::new(), notes: Notes::default(), error: None }
    }
}

impl<P> Order<P> {
    fn lock(&self) -> MutexGuard<'_, Done<P>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish<F: Fold<Part = P>>(&self, fold: &F, block: usize, outcome: Result<P, EvalError>, notes: &mut Notes) {
        let mut done = self.lock();
        let merged = outcome.and_then(|part| {
            done.waiting.insert(block, part);
            while let Some(part) = {
                let wanted = done.wanted;
                done.waiting.remove(&wanted)
            } {
                append(fold, &mut done.whole, part, notes)?;
                done.wanted += 1;
            }
            Ok(())
        });
        if let Err(error) = merged {
            self.failed.store(true, Ordering::Relaxed);
            done.error.get_or_insert(error);
        }
    }
}

/// Keeps every series.
struct Collect<'q> {
    context: &'q Context<'q>,
    drop_name: Vec<bool>,
}

impl<'q> Fold for Collect<'q> {
    type Part = (Vec<Series>, Held<'q>);

    fn part(&self) -> Self::Part {
        (Vec::new(), self.context.budget.hold_nothing())
    }

    fn take(
        &self,
        (series, held): &mut Self::Part,
        at: usize,
        labels: &Labels,
        column: &mut Column,
        _: &mut Notes,
    ) -> Result<(), EvalError> {
        let column = std::mem::take(column);
        held.add(column.samples(), column.bytes() + labels.as_bytes().len())?;
        series.push(Series { labels: labels.clone(), drop_name: self.drop_name[at], column });
        Ok(())
    }

    fn merge(&self, part: &mut Self::Part, later: Self::Part, _: &mut Notes) -> Result<(), EvalError> {
        part.0.extend(later.0);
        part.1.join(later.1);
        Ok(())
    }
}
