//! Series on their way: labels known, values read a block at a time, each series through all its stages, into one fold.
//!
//! source (a selection, or series that are held) ─▶ stages, per series ─▶ fold, per block ─▶ blocks put together in order
//!
//! How many series a block holds depends on nothing but how many there are, not on the number of threads nor on how many are
//! read together, so that sums depend on neither (EVAL-1).

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

/// Series a block, at most.
const BLOCK: usize = 128;
/// The same where series are so few that blocks of that many would leave threads without work.
const SMALL_BLOCK: usize = 32;
const FEW_SERIES: usize = 4 * BLOCK;
/// The least that the work is cut into.
const PORTIONS_A_THREAD: usize = 4;

/// What happens to each series, one after the other: its labels, its values, what there is to say.
pub(super) type Stage<'q> = Box<dyn Fn(&Labels, &mut Column, &mut Notes) -> Result<(), EvalError> + Send + Sync + 'q>;

/// Makes a column of what a storage has.
pub(super) type Reader<'q> =
    Box<dyn Fn(&Labels, SeriesData<'_>, &mut Column, &mut Notes) -> Result<(), EvalError> + Send + Sync + 'q>;

/// How many series each block of a stream of so many holds.
pub(super) fn block_of(series: usize) -> usize {
    if series < FEW_SERIES { SMALL_BLOCK } else { BLOCK }
}

/// Where values come from.
enum Source<'q> {
    Selected { set: Box<dyn SeriesSet + 'q>, reader: Reader<'q> },
    Given(Vector<'q>),
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
    /// What all blocks come to.
    type Whole: Send;

    /// Of no series.
    fn part(&self) -> Self::Part;

    /// Of no blocks.
    fn whole(&self) -> Self::Whole;

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
    fn merge(&self, whole: &mut Self::Whole, later: Self::Part, notes: &mut Notes) -> Result<(), EvalError>;
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
        let drop_name = vector.series.iter().map(|one| one.drop_name).collect();
        let source = Source::Given(vector);
        Self { context, source, labels: None, before: Vec::new(), drop_name, stages: Vec::new() }
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

    /// Series: some may turn out to have no values.
    pub(super) fn len(&self) -> usize {
        self.drop_name.len()
    }

    /// Labels of all series.
    pub(super) fn labels(&self) -> impl ExactSizeIterator<Item = &Labels> {
        (0..self.len()).map(|at| self.labels_of(at))
    }

    /// Labels of one series.
    pub(super) fn labels_of(&self, at: usize) -> &Labels {
        self.given_or_own(self.labels.as_deref(), at)
    }

    /// Labels of one series, which are the source's if none are given.
    fn given_or_own<'a>(&'a self, given: Option<&'a [Labels]>, at: usize) -> &'a Labels {
        match (given, &self.source) {
            (Some(labels), _) => &labels[at],
            (None, Source::Selected { set, .. }) => &set.labels()[at],
            (None, Source::Given(vector)) => &vector.series[at].labels,
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

    /// Whether the labels are still those that a storage gave, of which no two are the same.
    pub(super) fn has_labels_of_storage(&self) -> bool {
        self.labels.is_none() && matches!(self.source, Source::Selected { .. })
    }

    /// Says of each series whether its name is to be removed from the answer.
    pub(super) fn set_drop_name(&mut self, drop_name: Vec<bool>) {
        self.drop_name = drop_name;
    }

    /// Gives the series other labels; the stages so far go on to see those before.
    pub(super) fn relabel(&mut self, labels: Vec<Labels>, drop_name: Vec<bool>) {
        self.before.push((self.stages.len(), self.labels.replace(labels)));
        self.drop_name = drop_name;
    }

    /// Reads everything.
    pub(super) fn collect(mut self) -> Result<Vector<'q>, EvalError> {
        let context = self.context;
        if self.stages.is_empty()
            && self.labels.is_none()
            && let Source::Given(mut vector) = self.source
        {
            // Nothing is to happen to what is held already.
            vector.series.iter_mut().zip(self.drop_name).for_each(|(one, drop_name)| one.drop_name = drop_name);
            vector.series.retain(|one| !one.column.has_nothing());
            return Ok(vector);
        }
        let fold = Collect { context, drop_name: self.drop_name.clone() };
        let (series, held) = self.fold(&fold)?;
        Ok(Vector { series, held })
    }

    /// Reads everything into a fold; the labels stay.
    pub(super) fn fold<F: Fold>(&mut self, fold: &F) -> Result<F::Whole, EvalError> {
        let mut notes = Notes::default();
        let whole = match &mut self.source {
            Source::Given(vector) => {
                let columns = vector.series.iter_mut().map(|one| std::mem::take(&mut one.column)).collect();
                self.fold_given(columns, fold, &mut notes)
            }
            Source::Selected { .. } => self.fold_selected(fold, &mut notes),
        };
        if let Source::Selected { set, .. } = &self.source {
            notes.merge(set.notes());
        }
        self.context.note(notes);
        whole
    }

    fn fold_given<F: Fold>(&self, columns: Vec<Column>, fold: &F, notes: &mut Notes) -> Result<F::Whole, EvalError> {
        let (mut whole, mut part) = (fold.whole(), fold.part());
        let block = block_of(columns.len());
        for (at, mut column) in columns.into_iter().enumerate() {
            self.context.stop.check()?;
            self.finish(fold, &mut part, at, &mut column, notes)?;
            if (at + 1) % block == 0 {
                fold.merge(&mut whole, std::mem::replace(&mut part, fold.part()), notes)?;
            }
        }
        fold.merge(&mut whole, part, notes)?;
        Ok(whole)
    }

    fn fold_selected<F: Fold>(&self, fold: &F, notes: &mut Notes) -> Result<F::Whole, EvalError> {
        let order = Order::new(fold);
        if let Source::Selected { set, .. } = &self.source {
            let block = block_of(self.len());
            let blocks = self.len().div_ceil(block);
            let threads = self.context.options.threads.clamp(1, blocks.max(1));
            // Threads that are done take from the others.
            let portions = if threads > 1 { threads * PORTIONS_A_THREAD } else { 1 };
            let share = blocks.div_ceil(portions).max(1);
            let portion = (set.at_once() / block).clamp(1, share);
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|| self.work((blocks, portion), &order));
                }
                self.work((blocks, portion), &order);
            });
        }
        let done = order.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        notes.merge(done.notes);
        match done.error {
            Some(error) => Err(error),
            None => Ok(done.whole),
        }
    }

    /// Takes portions of blocks until there are none.
    fn work<F: Fold>(&self, (blocks, portion): (usize, usize), order: &Order<'_, F>) {
        let mut notes = Notes::default();
        loop {
            let first = order.next.fetch_add(portion, Ordering::Relaxed);
            if first >= blocks || order.failed.load(Ordering::Relaxed) {
                break;
            }
            let outcome = self.read(first..(first + portion).min(blocks), order.fold, &mut notes);
            if outcome.is_err() {
                order.failed.store(true, Ordering::Relaxed);
            }
            order.finish(first, outcome, &mut notes);
        }
        order.lock().notes.merge(notes);
    }

    /// What some blocks come to, each by itself.
    fn read<F: Fold>(&self, blocks: Range<usize>, fold: &F, notes: &mut Notes) -> Result<Vec<F::Part>, EvalError> {
        let mut parts: Vec<F::Part> = blocks.clone().map(|_| fold.part()).collect();
        let Source::Selected { set, reader } = &self.source else { return Ok(parts) };
        let block = block_of(self.len());
        let series = blocks.start * block..(blocks.end * block).min(self.len());
        let (mut column, mut failure) = (Column::default(), None);
        let read = set.read(series, &mut |at, data| {
            let outcome = self.context.stop.check().and_then(|()| {
                reader(&set.labels()[at], data, &mut column, notes)?;
                self.finish(fold, &mut parts[at / block - blocks.start], at, &mut column, notes)
            });
            outcome.map_err(|error| {
                failure = Some(error);
                StorageError::Stopped
            })
        });
        match (failure, read) {
            (Some(error), _) => Err(error),
            (None, read) => Ok(read.map(|()| parts)?),
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
            self.run(done..*end, self.given_or_own(labels.as_deref(), at), column, notes)?;
            done = *end;
        }
        let labels = self.labels_of(at);
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

/// Which blocks are taken, and what the finished ones came to, put together in order.
struct Order<'f, F: Fold> {
    fold: &'f F,
    next: AtomicUsize,
    failed: AtomicBool,
    done: Mutex<Done<F>>,
}

struct Done<F: Fold> {
    /// The first block that is not in `whole`.
    wanted: usize,
    whole: F::Whole,
    /// Finished before those in front of them: no more than threads have in hand, as a rule.
    waiting: BTreeMap<usize, F::Part>,
    notes: Notes,
    error: Option<EvalError>,
}

impl<'f, F: Fold> Order<'f, F> {
    fn new(fold: &'f F) -> Self {
        let (waiting, notes) = (BTreeMap::new(), Notes::default());
        let done = Done { wanted: 0, whole: fold.whole(), waiting, notes, error: None };
        Self { fold, next: AtomicUsize::new(0), failed: AtomicBool::new(false), done: Mutex::new(done) }
    }

    fn lock(&self) -> MutexGuard<'_, Done<F>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `outcome`: of the blocks from `first` on.
    fn finish(&self, first: usize, outcome: Result<Vec<F::Part>, EvalError>, notes: &mut Notes) {
        let mut done = self.lock();
        let merged = outcome.and_then(|parts| {
            done.waiting.extend((first..).zip(parts));
            while let Some(part) = {
                let wanted = done.wanted;
                done.waiting.remove(&wanted)
            } {
                self.fold.merge(&mut done.whole, part, notes)?;
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
    type Whole = Self::Part;

    fn part(&self) -> Self::Part {
        (Vec::new(), self.context.budget.hold_nothing())
    }

    fn whole(&self) -> Self::Whole {
        self.part()
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

    fn merge(&self, whole: &mut Self::Whole, later: Self::Part, _: &mut Notes) -> Result<(), EvalError> {
        whole.0.extend(later.0);
        whole.1.join(later.1);
        Ok(())
    }
}
