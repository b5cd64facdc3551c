//! Raw points of series, as another Prometheus reads them.
//!
//! matchers + range ─▶ series ─▶ routes for points ─▶ works ─▶ settled points a series
//!
//! Where raw points are kept nowhere any more, nothing is made up: the answer's provenance says that it is incomplete.

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _};
use schemas::{LabelMatcher, Labels, Points, TimeRange};

use crate::engine::Engine;
use crate::error::QueryError;
use crate::limits::Budget;
use crate::metrics::Interface;
use crate::provenance::{Provenance, Timings};
use crate::range::works;
use crate::read::{Parts, Question, Reader};
use crate::router::Need;
use crate::selection::{Routes, Selection, Wanted};
use crate::slow::Asked;

/// Works under way at once.
const WORKS_IN_FLIGHT: usize = 2;

/// Series with their points, and where they came from.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// Those that have points, in no order.
    pub series: Vec<RawSeries>,
    pub provenance: Provenance,
}

/// One series.
#[derive(Debug, Clone)]
pub struct RawSeries {
    pub labels: Labels,
    /// Settled; staleness markers included.
    pub points: Points,
}

impl Engine {
    /// The raw points of all matching series in a range.
    pub async fn raw(&self, matchers: Vec<LabelMatcher>, range: TimeRange) -> Result<RawAnswer, QueryError> {
        let started = Instant::now();
        let text = format!("{matchers:?} {range}");
        let reader = self.reader(Budget::new(self.limits.memory_bytes));
        let _given_up = reader.stop.on_drop();
        let result = match self.admit() {
            Ok(_admitted) => {
                let work = self.raw_points(&reader, matchers, range, started);
                self.within_time(self.limits.timeout, Box::pin(work)).await
            }
            Err(refused) => Err(refused),
        };
        let told = result.as_ref().map(|answer| &answer.provenance);
        self.ended(&Asked::new(Interface::RemoteRead, &text), started, told);
        result
    }

    async fn raw_points(
        &self,
        reader: &Arc<Reader>,
        matchers: Vec<LabelMatcher>,
        range: TimeRange,
        started: Instant,
    ) -> Result<RawAnswer, QueryError> {
        let wanted = Wanted { matchers, ids: None, range: Some(range), needs: vec![Need::Points] };
        let selection = Arc::new(Selection::new(self.select(reader, wanted).await?));
        reader.provenance.matched(selection.len());
        let select = started.elapsed();
        let routes = Routes::new(reader.view.map(), &selection, Need::Points, range);
        routes.tell(&reader.provenance);
        let routes = routes.exact_only();
        let hours = reader.hours(&selection, &routes).await?;
        let question = Question { selection: Arc::clone(&selection), routes: Arc::new(routes), hours: Arc::new(hours) };
        let mut points: Vec<Points> = vec![Points::default(); selection.len()];
        let mut share = reader.budget.share();
        let question = &question;
        let mut parts = futures::stream::iter(works(question))
            .map(|work| async move { reader.read(question, work, |parts: Parts<Points>| Ok(parts)).await })
            .buffered(WORKS_IN_FLIGHT);
        while let Some(parts) = parts.try_next().await? {
            for part in parts.iter() {
                share.grow(part.value.len() * 16 + part.value.histograms.bytes())?;
                points[part.series].extend_from(&part.value);
            }
        }
        let labels = selection.series().iter().map(|info| &info.labels);
        let series = labels
            .zip(points)
            .filter(|(_, points)| !points.is_empty())
            .map(|(labels, points)| RawSeries { labels: labels.clone(), points })
            .collect();
        let mut provenance = reader.provenance.snapshot();
        let total = started.elapsed();
        provenance.timings = Timings { select, read: total.saturating_sub(select), total };
        Ok(RawAnswer { series, provenance })
    }
}
