//! Answers a range question of the REST interface.
//!
//! matchers → [`Selection`] → granularity → routes → works (hours × series) → parts → buckets → values or groups → series
//!
//! A selection of no series goes the same way: there is nothing to read, and the answer says what an answer would be like.
//!
//! Works are read in parallel, a few at a time, and their results are taken in order of time, so that of partial results
//! only those of the current span of hours are in memory; of the answer, two numbers a point.

mod fold;
mod groups;
mod output;
mod plan;
mod raw;

use std::sync::Arc;
use std::time::Instant;

use schemas::rollup::{Moments, Rollup, Totals};

use crate::answer::RangeAnswer;
use crate::error::QueryError;
use crate::limits::QueryLimits;
use crate::provenance::Timings;
use crate::read::{Question, Reader};
use crate::request::{Agg, Fill, Granularity, RangeRequest};
use crate::router::Need;
use crate::selection::{Routes, Selection};
use groups::Outputs;
use output::Answer;
use plan::candidates;
pub(crate) use plan::works;

/// Works under way at once: enough that the CPU pool never waits, few enough that partial results stay small.
const WORKS_IN_FLIGHT: usize = 4;

/// A range question and what it is answered with.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) reader: Arc<Reader>,
    pub(crate) limits: &'a QueryLimits,
    pub(crate) request: &'a RangeRequest,
}

impl Asked<'_> {
    /// Answers with the series that `selection` holds.
    pub(crate) async fn answer(self, selection: Selection) -> Result<RangeAnswer, QueryError> {
        let started = Instant::now();
        check(self.request)?;
        let selection = Arc::new(selection);
        self.reader.provenance.matched(selection.len());
        let granularity = match self.request.granularity {
            Granularity::Auto => self.choose_granularity(&selection).await?,
            chosen => chosen,
        };
        let answer = match granularity.width() {
            None => self.raw(&selection).await?,
            Some(_) => self.buckets(&selection, need(self.request, granularity)).await?,
        };
        let (series, truncated) = answer.into_series(self.request.limit);
        let mut provenance = self.reader.provenance.snapshot();
        provenance.timings = Timings { read: started.elapsed(), ..Timings::default() };
        Ok(RangeAnswer { series, truncated, provenance })
    }

    fn routes(&self, selection: &Selection, need: Need) -> Routes {
        Routes::new(self.reader.view.map(), selection, need, self.request.range)
    }

    async fn question(&self, selection: &Arc<Selection>, need: Need) -> Result<Question, QueryError> {
        let routes = self.routes(selection, need);
        let hours = self.reader.hours(selection, &routes).await?;
        Ok(Question { selection: Arc::clone(selection), routes: Arc::new(routes), hours: Arc::new(hours) })
    }

    async fn buckets(&self, selection: &Arc<Selection>, need: Need) -> Result<Answer, QueryError> {
        let question = self.question(selection, need).await?;
        question.routes.tell(&self.reader.provenance);
        let outputs = Arc::new(Outputs::new(selection, self.request)?);
        let mut answer = Answer::new(Arc::clone(&outputs), self.reader.budget.share(), self.limits);
        match need {
            Need::Sketches { .. } => self.fold::<Rollup>(&question, &outputs, &mut answer).await?,
            Need::Moments { .. } | Need::Windows { .. } | Need::Points if self.request.agg.is_of_totals() => {
                self.fold::<Totals>(&question, &outputs, &mut answer).await?;
            }
            Need::Moments { .. } | Need::Windows { .. } | Need::Points => {
                self.fold::<Moments>(&question, &outputs, &mut answer).await?
            }
        }
        answer.fill(self.request.fill, &question.routes)?;
        Ok(answer)
    }
}

/// What a request needs at a granularity.
fn need(request: &RangeRequest, granularity: Granularity) -> Need {
    match (granularity.width(), request.agg) {
        (None, _) => Need::Points,
        // A bucket of fewer than 100 points has its maximum as p99, whatever its sketch.
        (Some(width), Agg::Quantile(q)) => Need::Sketches { width, every: q < 0.99 || request.is_grouped() },
        (Some(width), _) => Need::Moments { width },
    }
}

/// What a request may need before its series are known.
pub(crate) fn needs(request: &RangeRequest) -> Vec<Need> {
    match request.granularity {
        Granularity::Auto => candidates(request).map(|granularity| need(request, granularity)).collect(),
        chosen => vec![need(request, chosen)],
    }
}

/// Refuses what no data could answer.
fn check(request: &RangeRequest) -> Result<(), QueryError> {
    if let Agg::Quantile(q) = request.agg
        && !(0.0..=1.0).contains(&q)
    {
        return Err(QueryError::BadRequest(format!("quantile {q} is not between 0 and 1")));
    }
    if request.granularity != Granularity::Raw {
        return Ok(());
    }
    if request.fill != Fill::None {
        return Err(QueryError::impossible(
            "raw points have no gaps to fill: choose granularity 1m, 1h or 1d, or leave out fill",
        ));
    }
    if request.group_by.is_some() || request.group_agg.is_some() {
        return Err(QueryError::impossible(
            "raw points of different series are not merged: choose granularity 1m, 1h or 1d, or leave out group_by \
             and group_agg",
        ));
    }
    Ok(())
}
