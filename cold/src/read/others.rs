//! The hours that others than this incarnation have written to the archive, as far as its snapshots tell.
//!
//! live files' tags ─once for each version─▶ spans of hours ─▶ whether a node can know its series by itself
//!
//! A node that is alone on its archive learns from this, without any request, that its own index names every series. A file
//! without tags counts as another's: any program may have made it, of anybody's rows.

use std::sync::Arc;

use parking_lot::Mutex;
use schemas::file_tags::Holding;
use schemas::tier_map::{ColdTable, DeltaVersions};
use schemas::time::HourRange;

use crate::archive::Archive;
use crate::error::ColdError;
use crate::table::TableState;

/// What was found last: the views of a node speak of one set of versions for a long time.
#[derive(Debug, Default)]
pub(crate) struct OthersHours {
    last: Mutex<Option<(DeltaVersions, Arc<[HourRange]>)>>,
}

impl Archive {
    /// Whether a table has rows of any of these hours that somebody else has written, an earlier incarnation of this node
    /// included. Looks at the tags of files once for each set of versions.
    pub async fn others_wrote(&self, versions: &DeltaVersions, hours: HourRange) -> Result<bool, ColdError> {
        let known = self.others_hours().last.lock().clone().filter(|(of, _)| of == versions);
        let spans = match known {
            Some((_, spans)) => spans,
            None => self.find_others_hours(versions).await?,
        };
        Ok(spans.iter().any(|span| span.start < hours.end && hours.start < span.end))
    }

    async fn find_others_hours(&self, versions: &DeltaVersions) -> Result<Arc<[HourRange]>, ColdError> {
        let ours = |held: &Holding| held.node == self.node() && held.incarnation == self.incarnation().as_str();
        let mut spans = Vec::new();
        for table in ColdTable::DATA {
            spans.extend(spans_of_others(self.state(table, versions).await?.as_ref(), &ours));
        }
        let spans: Arc<[HourRange]> = joined(spans).into();
        *self.others_hours().last.lock() = Some((*versions, Arc::clone(&spans)));
        Ok(spans)
    }
}

/// The hours of a table that others have written, in no order.
fn spans_of_others(state: &TableState, ours: &dyn Fn(&Holding) -> bool) -> Vec<HourRange> {
    let mut spans = Vec::new();
    for file in state.files.values() {
        if file.holds().is_empty() {
            spans.extend(file.hours(state.table));
        }
        let others = file.holds().iter().filter(|held| !ours(held));
        spans.extend(others.map(|held| HourRange { start: held.hour, end: held.hour.next() }));
    }
    spans
}

/// Spans that touch become one.
fn joined(mut spans: Vec<HourRange>) -> Vec<HourRange> {
    spans.sort_unstable_by_key(|span| span.start);
    spans.dedup_by(|next, last| {
        let touch = next.start <= last.end;
        if touch {
            last.end = last.end.max(next.end);
        }
        touch
    });
    spans
}

#[cfg(test)]
mod tests {
    use schemas::Hour;

    use super::*;

    #[test]
    fn spans_that_touch_become_one() {
        let span = |start, end| HourRange { start: Hour(start), end: Hour(end) };
        let given = vec![span(7, 8), span(1, 2), span(2, 3), span(1, 2), span(3, 9), span(11, 12)];
        assert_eq!(joined(given), [span(1, 9), span(11, 12)]);
        assert_eq!(joined(Vec::new()), []);
    }
}
