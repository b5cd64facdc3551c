//! What the table holds of an hour, whoever wrote it, and how a writer takes those rows in with its own.
//!
//! newest files of the hour ─▶ [`HourBase`] ─▶ scan in the order of the table ─[`Feed`], bounded─▶ [`HeldRows`] ─▶ the writer merges
//!
//! The scan is polled beside the thread that encodes, so neither holds the hour in memory. A feed that is dropped before its
//! end is an error of the writer and never a shorter hour.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use schemas::file_tags::Holding;
use schemas::tier_map::ColdTable;
use schemas::{Epoch, Hour, Points, RetentionClass, SeriesId};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::archive::Archive;
use crate::error::ColdError;
use crate::hour::{Holdings, files_of, same_writer};
use crate::read::{ColdSelection, KeyedStream, SeriesKey, SeriesStream};
use crate::store::ReadCounters;
use crate::table::{LiveFile, TableState};

/// Series that wait for the writer: at one point a second, 128 series × 3,600 points × 16 B = 7 MB.
const SERIES_WAITING_MAX: usize = 128;

/// Reads what a writer waits for: poll it together with the thread that writes.
pub type Feed = BoxFuture<'static, ()>;

/// Raw rows of one hour and class at one version, whoever wrote them.
#[derive(Debug, Clone)]
pub struct HourBase {
    hour: Hour,
    class: RetentionClass,
    files: Vec<Arc<LiveFile>>,
    holds: Holdings,
    /// Who asks.
    writer: Holding,
}

impl HourBase {
    fn new(state: &TableState, hour: Hour, class: RetentionClass, writer: Holding) -> Result<Self, ColdError> {
        let files = files_of(state, hour, class)?;
        let holds = holdings_of(&files, hour);
        Ok(Self { hour, class, files, holds, writer })
    }

    pub fn hour(&self) -> Hour {
        self.hour
    }

    pub fn class(&self) -> RetentionClass {
        self.class
    }

    /// Whether other writers have rows of the hour.
    pub fn is_shared(&self) -> bool {
        self.holds.are_shared(&self.writer)
    }

    /// Through which epoch it has what this incarnation took in.
    pub fn through(&self) -> Epoch {
        self.holds.through(&self.writer).unwrap_or_default()
    }

    pub(crate) fn holds(&self) -> &Holdings {
        &self.holds
    }
}

impl Archive {
    /// What the archive is known to hold of an hour. Asks nobody: what others have committed since is found out when it is
    /// committed over ([`ColdError::Overtaken`]).
    pub fn known_hour(&self, hour: Hour, class: RetentionClass) -> Result<HourBase, ColdError> {
        HourBase::new(&self.table(ColdTable::Raw).latest(), hour, class, self.writer(hour, Epoch::ZERO))
    }

    /// What the archive holds of an hour now.
    pub async fn newest_hour(&self, hour: Hour, class: RetentionClass) -> Result<HourBase, ColdError> {
        // Rollups are read before raw points, which are committed before them: so none can be of rows that the base lacks.
        let mut of_rollups = BTreeMap::new();
        for kind in [ColdTable::Rollup1h, ColdTable::Rollup1m] {
            let state = self.table(kind).refresh().await?;
            of_rollups.insert(kind, holdings_of(&files_of(&state, hour, class)?, hour));
        }
        let raw = self.table(ColdTable::Raw).refresh().await?;
        let base = HourBase::new(&raw, hour, class, self.writer(hour, Epoch::ZERO))?;
        let is_lacking =
            |held: &Holding| !same_writer(held, &base.writer) && base.holds.through(held) < Some(held.through);
        match of_rollups.into_iter().find(|(_, holds)| holds.iter().any(is_lacking)) {
            Some((table, _)) => Err(ColdError::RawGone { hour, table }),
            None => Ok(base),
        }
    }

    /// The rows of a base, series by series in the order of the table.
    pub async fn scan_hour(&self, base: &HourBase, counters: &ReadCounters) -> Result<SeriesStream<Points>, ColdError> {
        let rows = self.keyed_rows(base, counters).await?;
        Ok(rows.map_ok(|(key, points)| (SeriesId(key.id), points)).boxed())
    }

    async fn keyed_rows(&self, base: &HourBase, counters: &ReadCounters) -> Result<KeyedStream<Points>, ColdError> {
        let selection = ColdSelection { class: Some(base.class), ..ColdSelection::all(base.hour.range()) };
        self.scan_points_of(base.files.clone(), &selection, counters).await
    }

    /// Begins to read a base for a writer.
    pub(crate) async fn feed(&self, base: &HourBase) -> Result<(HeldRows, Feed), ColdError> {
        let rows = self.keyed_rows(base, &ReadCounters::default()).await?;
        let (sender, receiver) = channel(SERIES_WAITING_MAX);
        Ok((HeldRows { rows: receiver, head: Head::Unread }, feed(rows, sender).boxed()))
    }
}

fn holdings_of(files: &[Arc<LiveFile>], hour: Hour) -> Holdings {
    let mut holds = Holdings::default();
    files.iter().for_each(|file| holds.join_all(&Holdings::of_file(file, hour)));
    holds
}

/// One row of series on its way.
type Item = Result<Option<(SeriesKey, Points)>, ColdError>;

/// Sends all rows, and then that there are no more. A writer that has gone away needs none.
async fn feed(mut rows: KeyedStream<Points>, to: Sender<Item>) {
    loop {
        let item = rows.try_next().await;
        let is_last = !matches!(item, Ok(Some(_)));
        if to.send(item).await.is_err() || is_last {
            return;
        }
    }
}

/// The rows of a base, as they come.
#[derive(Debug)]
pub(crate) struct HeldRows {
    rows: Receiver<Item>,
    head: Head,
}

#[derive(Debug)]
enum Head {
    Unread,
    Series(SeriesKey, Points),
    End,
}

/// What the base has next, seen from a series of ours.
#[derive(Debug)]
pub(crate) enum Held {
    /// A series that lies before.
    Before(SeriesKey, Points),
    /// The series itself.
    Same(Points),
    /// Nothing up to it.
    Nothing,
}

impl HeldRows {
    /// The next series that is not behind the given one. Waits for the feed; not to be called on an async thread.
    pub(crate) fn next_up_to(&mut self, metric: &str, id: SeriesId) -> Result<Held, ColdError> {
        self.fill()?;
        let Head::Series(key, _) = &self.head else { return Ok(Held::Nothing) };
        let order = (key.metric.as_str(), key.id).cmp(&(metric, id.0));
        if order.is_gt() {
            return Ok(Held::Nothing);
        }
        match std::mem::replace(&mut self.head, Head::Unread) {
            Head::Series(key, points) if order.is_lt() => Ok(Held::Before(key, points)),
            Head::Series(_, points) => Ok(Held::Same(points)),
            Head::Unread | Head::End => Ok(Held::Nothing),
        }
    }

    /// The next series, as long as there is one.
    pub(crate) fn next(&mut self) -> Result<Option<(SeriesKey, Points)>, ColdError> {
        self.fill()?;
        match std::mem::replace(&mut self.head, Head::Unread) {
            Head::Series(key, points) => Ok(Some((key, points))),
            Head::Unread | Head::End => {
                self.head = Head::End;
                Ok(None)
            }
        }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self.head, Head::End)
    }

    fn fill(&mut self) -> Result<(), ColdError> {
        if matches!(self.head, Head::Unread) {
            self.head = match self.rows.blocking_recv() {
                Some(Ok(Some((key, points)))) => Head::Series(key, points),
                Some(Ok(None)) => Head::End,
                Some(Err(error)) => return Err(error),
                None => {
                    return Err(ColdError::OutOfOrder("the rows of the table were not read to their end".to_owned()));
                }
            };
        }
        Ok(())
    }
}
