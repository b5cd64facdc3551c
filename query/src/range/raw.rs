//! Answers with the points themselves.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use schemas::Points;

use super::groups::Outputs;
use super::output::Answer;
use super::{Asked, WORKS_IN_FLIGHT, plan};
use crate::error::QueryError;
use crate::read::{Parts, values_of};
use crate::router::Need;
use crate::selection::Selection;

impl Asked<'_> {
    /// Points of every series; where they are kept nowhere any more, averages of the finest buckets that are.
    pub(super) async fn raw(&self, selection: &Arc<Selection>) -> Result<Answer, QueryError> {
        let question = self.question(selection, Need::Points).await?;
        question.routes.tell(&self.reader.provenance);
        let outputs = Arc::new(Outputs::each(selection));
        let mut answer = Answer::new(outputs, self.reader.budget.share(), self.limits);
        let (reader, question) = (&self.reader, &question);
        let mut works = futures::stream::iter(plan::works(question))
            .map(|work| async move { reader.read(question, work, |parts: Parts<Points>| Ok(parts)).await })
            .buffered(WORKS_IN_FLIGHT);
        while let Some(parts) = works.try_next().await? {
            for part in parts.iter() {
                answer.extend(part.series, values_of(&part.value));
            }
            drop(parts);
            answer.check()?;
        }
        if self.request.merge_all {
            one_series(&answer)?;
        }
        Ok(answer)
    }
}

/// Raw points of several series are not one series: refuses, and says in which labels they differ.
fn one_series(answer: &Answer) -> Result<(), QueryError> {
    let present = answer.present();
    if present.len() < 2 {
        return Ok(());
    }
    Err(QueryError::Impossible {
        detail: format!(
            "{} series match, and raw points of different series are not merged: choose granularity 1m, 1h or 1d, or \
             ask GET /api/metrics with match[]",
            present.len()
        ),
        errors: answer.outputs().differences(&present),
    })
}
