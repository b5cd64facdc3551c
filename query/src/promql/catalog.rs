//! What there is: series, names and values of labels, and what senders said of metrics.
//!
//! selectors + range ─▶ index of this node ∪ what others archived (`selection`) ─▶ sorted, cut to the limit
//!
//! Not here: data. A series counts as active by days, so one may be named that has no points in the very range.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use hot::index::Index;
use schemas::batch::MetricMetadata;
use schemas::labels::METRIC_NAME;
use schemas::{LabelMatcher, Labels, TimeRange};

use super::Limited;
use crate::engine::Engine;
use crate::error::QueryError;
use crate::limits::{Budget, Share};
use crate::metrics::Interface;
use crate::read::Reader;
use crate::router::Need;
use crate::selection::Wanted;

/// Which labels of the series of some selectors.
#[derive(Debug, Clone)]
struct LabelsAsked {
    /// No selector: every series.
    selectors: Vec<Vec<LabelMatcher>>,
    range: Option<TimeRange>,
    limit: Option<usize>,
}

impl LabelsAsked {
    /// The matchers of each selector, and of every series where there is none.
    fn matchers(&self) -> Vec<Vec<LabelMatcher>> {
        if self.selectors.is_empty() { vec![Vec::new()] } else { self.selectors.clone() }
    }

    /// One more than wanted, so that it is known whether something was left out.
    fn limit(&self) -> usize {
        self.limit.map_or(usize::MAX, |limit| limit.saturating_add(1))
    }

    fn cut(&self, found: BTreeSet<String>) -> Limited<Vec<String>> {
        Limited::new(found.into_iter().collect(), self.limit)
    }
}

/// Texts gathered, within the memory of a query.
struct Texts {
    found: BTreeSet<String>,
    share: Share,
}

impl Texts {
    fn add(&mut self, text: &str) -> Result<(), QueryError> {
        if !self.found.contains(text) {
            self.share.grow(text.len() + size_of::<String>())?;
            self.found.insert(text.to_owned());
        }
        Ok(())
    }
}

impl Engine {
    /// The series that any selector selects, with data on a day of the range (`None`: ever), sorted by their labels.
    pub async fn series(
        &self,
        selectors: Vec<Vec<LabelMatcher>>,
        range: Option<TimeRange>,
        limit: Option<usize>,
    ) -> Result<Limited<Vec<Labels>>, QueryError> {
        let reader = self.reader(Budget::new(self.limits.memory_bytes));
        let work = async {
            let mut found: Vec<Labels> = Vec::new();
            for matchers in selectors {
                let wanted = Wanted { matchers, ids: None, range, needs: Need::ANY.to_vec() };
                found.extend(self.select(&reader, wanted).await?.into_iter().map(|info| info.labels));
            }
            found.sort_unstable_by(|a, b| a.iter().cmp(b.iter()));
            found.dedup();
            Ok(Limited::new(found, limit))
        };
        self.catalogued(&reader, Box::pin(work)).await
    }

    /// Names of the labels of the selected series, sorted; of every series without a selector.
    pub async fn label_names(
        &self,
        selectors: Vec<Vec<LabelMatcher>>,
        range: Option<TimeRange>,
        limit: Option<usize>,
    ) -> Result<Limited<Vec<String>>, QueryError> {
        let asked = LabelsAsked { selectors, range, limit };
        let here =
            |index: &Index, asked: &LabelsAsked, matchers: &[LabelMatcher]| index.label_names(matchers, asked.range);
        let there = |labels: &Labels, texts: &mut Texts| labels.iter().try_for_each(|(name, _)| texts.add(name));
        self.texts(asked, here, there).await
    }

    /// Values of a label among the selected series, sorted; among every series without a selector.
    pub async fn label_values(
        &self,
        name: &str,
        selectors: Vec<Vec<LabelMatcher>>,
        range: Option<TimeRange>,
        limit: Option<usize>,
    ) -> Result<Limited<Vec<String>>, QueryError> {
        let asked = LabelsAsked { selectors, range, limit };
        let label = name.to_owned();
        let here = move |index: &Index, asked: &LabelsAsked, matchers: &[LabelMatcher]| {
            index.label_values(&label, matchers, asked.range, asked.limit())
        };
        let there = |labels: &Labels, texts: &mut Texts| labels.get(name).map_or(Ok(()), |value| texts.add(value));
        self.texts(asked, here, there).await
    }

    /// Texts that the index gives for the matchers of each selector, and those in labels that others archived.
    async fn texts<T: IntoIterator<Item = String>>(
        &self,
        asked: LabelsAsked,
        here: impl Fn(&Index, &LabelsAsked, &[LabelMatcher]) -> T + Send + 'static,
        there: impl Fn(&Labels, &mut Texts) -> Result<(), QueryError> + Send + Sync,
    ) -> Result<Limited<Vec<String>>, QueryError> {
        let reader = self.reader(Budget::new(self.limits.memory_bytes));
        let work = async {
            let (store, local) = (Arc::clone(&self.store), asked.clone());
            let known = move || -> BTreeSet<String> {
                let of = |matchers: Vec<LabelMatcher>| here(store.index(), &local, &matchers);
                local.matchers().into_iter().flat_map(of).collect()
            };
            let mut texts = Texts { found: self.pool.run(known).await, share: reader.budget.share() };
            self.others(&reader, &asked, &mut |labels| there(labels, &mut texts)).await?;
            Ok(asked.cut(texts.found))
        };
        self.catalogued(&reader, Box::pin(work)).await
    }

    /// What senders said of a metric, or of each that has series here, sorted by name.
    pub fn metadata(&self, metric: Option<&str>, limit: Option<usize>) -> Vec<(String, MetricMetadata)> {
        let index = self.store.index();
        let names = match metric {
            Some(name) => vec![name.to_owned()],
            None => index.label_values(METRIC_NAME, &[], None, usize::MAX),
        };
        let said = names.into_iter().filter_map(|name| index.metadata(&name).map(|said| (name, said)));
        said.take(limit.unwrap_or(usize::MAX)).collect()
    }

    /// Gives the labels of matching series that others archived to `each`.
    async fn others(
        &self,
        reader: &Reader,
        asked: &LabelsAsked,
        each: &mut (dyn FnMut(&Labels) -> Result<(), QueryError> + Send),
    ) -> Result<(), QueryError> {
        for matchers in asked.matchers() {
            let wanted = Wanted { matchers, ids: None, range: asked.range, needs: Need::ANY.to_vec() };
            reader.labels_of_others(wanted, each).await?;
        }
        Ok(())
    }

    /// Runs a question about names within the bounds of queries, and counts it.
    async fn catalogued<T>(
        &self,
        reader: &Reader,
        work: impl Future<Output = Result<Limited<T>, QueryError>>,
    ) -> Result<Limited<T>, QueryError> {
        let started = Instant::now();
        let _given_up = reader.stop.on_drop();
        let result = match self.admit() {
            Ok(_admitted) => self.within_time(self.limits.timeout, work).await,
            Err(refused) => Err(refused),
        };
        let provenance = reader.provenance.snapshot();
        self.metrics.ended(Interface::Catalog, started.elapsed(), result.as_ref().map(|_| &provenance));
        result
    }
}
