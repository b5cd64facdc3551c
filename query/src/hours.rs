//! The hours in which data can be: what a question costs follows them, and not the length of its range.
//!
//! sealed hours · hours of runs and head (one view) · hours of Delta's files (one version) ─▶ [`Hours`] ─▶ works, reads
//!
//! A range may end in the year 9999, seventy million hours from now; data lies in few of them. No other hour can answer:
//! RocksDB has a base of sealed hours only, all that is newer than a base is in runs or head, and rows of Delta are in
//! files whose hours the snapshot of the table names. So leaving the others out changes no answer.

use std::collections::BTreeMap;

use cold::ColdSelection;
use hot::View;
use schemas::tier_map::{ColdTable, Owner};
use schemas::time::HourRange;
use schemas::{Hour, RetentionClass};

use crate::error::QueryError;
use crate::read::Reader;
use crate::selection::{Routes, Selection};

#[cfg(test)]
mod tests;

/// A set of hours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hours {
    /// Not empty, ascending, and apart from each other.
    spans: Vec<HourRange>,
}

impl Hours {
    /// The hours of `span` that some of these have; they may be in any order, and overlap.
    pub(crate) fn of(some: impl IntoIterator<Item = HourRange>, span: HourRange) -> Self {
        let cut = some.into_iter().map(|hours| cut(hours, span));
        let mut all: Vec<HourRange> = cut.filter(|hours| !hours.is_empty()).collect();
        all.sort_unstable_by_key(|hours| hours.start);
        let mut spans: Vec<HourRange> = Vec::new();
        for hours in all {
            match spans.last_mut() {
                Some(last) if hours.start <= last.end => last.end = last.end.max(hours.end),
                _ => spans.push(hours),
            }
        }
        Self { spans }
    }

    /// From the first to the last.
    pub(crate) fn extent(&self) -> Option<HourRange> {
        Some(HourRange { start: self.spans.first()?.start, end: self.spans.last()?.end })
    }

    /// Those within `span`, ascending.
    pub(crate) fn within(&self, span: HourRange) -> impl Iterator<Item = Hour> + '_ {
        let first = self.spans.partition_point(|hours| hours.end <= span.start);
        let here = self.spans[first..].iter().take_while(move |hours| hours.start < span.end);
        here.flat_map(move |&hours| cut(hours, span).iter())
    }

    /// The last one within `span`.
    pub(crate) fn last_within(&self, span: HourRange) -> Option<Hour> {
        let behind = self.spans.partition_point(|hours| hours.start < span.end);
        let end = self.spans[..behind].last()?.end.min(span.end);
        (end > span.start).then(|| Hour(end.0 - 1))
    }
}

fn cut(hours: HourRange, span: HourRange) -> HourRange {
    HourRange { start: hours.start.max(span.start), end: hours.end.min(span.end) }
}

impl Reader {
    /// The hours in which series of a selection can have data that these routes lead to.
    pub(crate) async fn hours(&self, selection: &Selection, routes: &Routes) -> Result<Hours, QueryError> {
        let span = routes.range.hours();
        let mut held = local(&self.view, span);
        for ((class, table), hours) in cold(selection, routes) {
            // Whole hours, since a row of an hour bears the time of its start.
            let range = hours.time();
            let of_class = ColdSelection { class: Some(class), ..ColdSelection::all(range) };
            held.extend(self.files(table, &of_class).await?.into_iter().flat_map(|file| file.hours));
        }
        Ok(Hours::of(held, span))
    }
}

/// Hours with a base in RocksDB, or with points newer than a base.
fn local(view: &View, span: HourRange) -> Vec<HourRange> {
    let sealed = view.map().sealed_through.range(span.start..span.end.max(span.start)).map(|(&hour, _)| hour);
    let newer = view.overlay_hours().into_iter().map(|(hour, _)| hour);
    sealed.chain(newer).map(|hour| HourRange { start: hour, end: hour.next() }).collect()
}

/// The hours that each table of Delta answers for, from the first to the last.
fn cold(selection: &Selection, routes: &Routes) -> BTreeMap<(RetentionClass, ColdTable), HourRange> {
    let mut owned: BTreeMap<(RetentionClass, ColdTable), HourRange> = BTreeMap::new();
    for (index, group) in selection.groups().iter().enumerate() {
        for segment in routes.segments(index) {
            let Some(source) = segment.source.filter(|source| source.owner == Owner::Cold) else { continue };
            let hours = segment.hours();
            let all = owned.entry((group.class, ColdTable::of(source.resolution))).or_insert(hours);
            *all = HourRange { start: all.start.min(hours.start), end: all.end.max(hours.end) };
        }
    }
    owned
}
