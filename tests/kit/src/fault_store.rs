//! An object store that fails as real ones do, by a seed.
//!
//! request ─▶ latency ─▶ fails before it took effect? ─▶ the real store ─▶ fails after it took effect? ─▶ answer
//!
//! The second failure is the mean one: a lost reply. The object is there (or gone), and the caller is told otherwise.
//! A body may also end in an error half-way. Answers that the real store gives (not found, already exists) pass.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// How often what goes wrong; probabilities in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaultRates {
    /// A request fails and nothing happened.
    pub before: f64,
    /// A request took effect, and fails all the same.
    pub after: f64,
    /// A body ends in an error after some of it.
    pub midway: f64,
    /// Every request takes up to so long, by tokio's clock.
    pub latency_max: Duration,
}

impl FaultRates {
    /// Nothing goes wrong.
    pub const NONE: Self = Self { before: 0.0, after: 0.0, midway: 0.0, latency_max: Duration::ZERO };

    /// One request in twenty fails, in each way.
    pub const SOME: Self = Self { before: 0.05, after: 0.05, midway: 0.05, latency_max: Duration::ZERO };

    /// The store is down.
    pub const DOWN: Self = Self { before: 1.0, ..Self::NONE };
}

/// When a fault struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
    Midway,
}

/// A fault that was injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// As `put`, `get`, `list`.
    pub operation: &'static str,
    pub path: String,
    pub moment: Moment,
}

/// See the module.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    dice: Arc<Dice>,
}

#[derive(Debug)]
struct Dice {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: StdRng,
    rates: FaultRates,
    faults: Vec<Fault>,
}

impl Dice {
    /// Decides whether a fault strikes now.
    fn roll(&self, operation: &'static str, path: &str, moment: Moment) -> Result<()> {
        let mut state = self.state.lock();
        let rate = match moment {
            Moment::Before => state.rates.before,
            Moment::After => state.rates.after,
            Moment::Midway => state.rates.midway,
        };
        if !state.random.random_bool(rate.clamp(0.0, 1.0)) {
            return Ok(());
        }
        state.faults.push(Fault { operation, path: path.to_owned(), moment });
        Err(injected(operation, path, moment))
    }

    async fn wait(&self) {
        let latency = {
            let mut state = self.state.lock();
            let max = state.rates.latency_max;
            if max.is_zero() { Duration::ZERO } else { state.random.random_range(Duration::ZERO..=max) }
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }
}

fn injected(operation: &str, path: &str, moment: Moment) -> Error {
    let what = match moment {
        Moment::Before => "refused",
        Moment::After => "reply lost",
        Moment::Midway => "connection lost",
    };
    Error::Generic { store: "fault", source: format!("injected: {operation} {path}: {what}").into() }
}

impl FaultStore {
    /// The same seed and the same order of requests give the same faults.
    pub fn new(inner: Arc<dyn ObjectStore>, seed: u64, rates: FaultRates) -> Self {
        let state = State { random: StdRng::seed_from_u64(seed), rates, faults: Vec::new() };
        Self { inner, dice: Arc::new(Dice { state: Mutex::new(state) }) }
    }

    /// From now on.
    pub fn set_rates(&self, rates: FaultRates) {
        self.dice.state.lock().rates = rates;
    }

    /// What was injected so far, in order.
    pub fn faults(&self) -> Vec<Fault> {
        self.dice.state.lock().faults.clone()
    }

    /// The store beneath, which never fails by itself: to look at what is really there.
    pub fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    /// A request with a fault before or after it.
    async fn request<T>(
        &self,
        operation: &'static str,
        path: &Path,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.dice.wait().await;
        self.dice.roll(operation, path.as_ref(), Moment::Before)?;
        let answer = request.await?;
        self.dice.roll(operation, path.as_ref(), Moment::After)?;
        Ok(answer)
    }

    fn listing(
        &self,
        prefix: Option<&Path>,
        list: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let path = prefix.map(ToString::to_string).unwrap_or_default();
        let dice = Arc::clone(&self.dice);
        let begun = async move {
            dice.wait().await;
            dice.roll("list", &path, Moment::Before)?;
            Ok::<_, Error>(ending_early(list, dice, "list", path))
        };
        stream::once(begun).try_flatten().boxed()
    }
}

/// A stream that may end in an error instead of one of its items.
fn ending_early<T: Send + 'static>(
    items: BoxStream<'static, Result<T>>,
    dice: Arc<Dice>,
    operation: &'static str,
    path: String,
) -> BoxStream<'static, Result<T>> {
    let step = move |ended: &mut bool, item: Result<T>| {
        let next = if *ended {
            None
        } else {
            let item = item.and_then(|item| dice.roll(operation, &path, Moment::Midway).map(|()| item));
            *ended = item.is_err();
            Some(item)
        };
        futures::future::ready(next)
    };
    items.scan(false, step).boxed()
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.request("put", location, self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.request("multipart", location, self.inner.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(FaultUpload { inner: begun, path: location.clone(), dice: Arc::clone(&self.dice) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.request("get", location, self.inner.get_opts(location, options)).await?;
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let body = ending_early(found.into_stream(), Arc::clone(&self.dice), "get", location.to_string());
        Ok(GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.request("get", location, self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, dice) = (Arc::clone(&self.inner), Arc::clone(&self.dice));
        let delete = move |path: Path| {
            let (inner, dice) = (Arc::clone(&inner), Arc::clone(&dice));
            async move {
                dice.wait().await;
                dice.roll("delete", path.as_ref(), Moment::Before)?;
                let one = stream::once(futures::future::ready(Ok(path.clone()))).boxed();
                inner.delete_stream(one).try_for_each(|_| futures::future::ready(Ok(()))).await?;
                dice.roll("delete", path.as_ref(), Moment::After)?;
                Ok(path)
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        self.request("list", &path, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.request("copy", to, self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.request("rename", to, self.inner.rename_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct FaultUpload {
    inner: Box<dyn MultipartUpload>,
    path: Path,
    dice: Arc<Dice>,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (dice, path) = (Arc::clone(&self.dice), self.path.clone());
        let sent = self.inner.put_part(data);
        Box::pin(async move {
            dice.wait().await;
            dice.roll("part", path.as_ref(), Moment::Before)?;
            sent.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.dice.wait().await;
        self.dice.roll("complete", self.path.as_ref(), Moment::Before)?;
        let done = self.inner.complete().await?;
        self.dice.roll("complete", self.path.as_ref(), Moment::After)?;
        Ok(done)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt as _, PutMode};

    use super::*;

    fn store(seed: u64, rates: FaultRates) -> FaultStore {
        FaultStore::new(Arc::new(InMemory::new()), seed, rates)
    }

    /// Writes objects and reads them back; what failed, in order.
    async fn story(store: &FaultStore) -> Vec<Fault> {
        for i in 0..100 {
            let path = Path::from(format!("o{i}"));
            let _ = store.put(&path, PutPayload::from_static(b"content")).await;
            if let Ok(found) = store.get(&path).await {
                let _ = found.bytes().await;
            }
        }
        store.faults()
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_faults() {
        let first = story(&store(7, FaultRates::SOME)).await;
        assert_eq!(first, story(&store(7, FaultRates::SOME)).await);
        assert_ne!(first, story(&store(8, FaultRates::SOME)).await);
        for moment in [Moment::Before, Moment::After, Moment::Midway] {
            assert!(first.iter().any(|fault| fault.moment == moment), "{moment:?}");
        }
    }

    #[tokio::test]
    async fn a_lost_reply_leaves_the_object_and_a_refusal_does_not() {
        let path = Path::from("a");
        let lost = store(1, FaultRates { after: 1.0, ..FaultRates::NONE });
        assert!(lost.put(&path, PutPayload::from_static(b"x")).await.is_err());
        assert!(lost.inner().head(&path).await.is_ok());
        let refused = store(1, FaultRates::DOWN);
        assert!(refused.put(&path, PutPayload::from_static(b"x")).await.is_err());
        assert!(refused.inner().head(&path).await.is_err());
        refused.set_rates(FaultRates::NONE);
        assert!(refused.put(&path, PutPayload::from_static(b"x")).await.is_ok());
    }

    #[tokio::test]
    async fn answers_of_the_store_itself_pass() {
        let store = store(1, FaultRates::NONE);
        let path = Path::from("a");
        assert!(matches!(store.get(&path).await, Err(Error::NotFound { .. })));
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&path, PutPayload::from_static(b"x"), create()).await.expect("is new");
        let again = store.put_opts(&path, PutPayload::from_static(b"y"), create()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })));
        assert_eq!(store.get(&path).await.expect("is there").bytes().await.expect("whole"), "x");
        assert_eq!(store.faults(), vec![]);
    }

    #[tokio::test]
    async fn bodies_listings_and_deletions_fail_half_way() {
        let store = store(1, FaultRates::NONE);
        for i in 0..3 {
            store.put(&Path::from(format!("o{i}")), PutPayload::from_static(b"x")).await.expect("puts");
        }
        store.set_rates(FaultRates { midway: 1.0, ..FaultRates::NONE });
        let found = store.get(&Path::from("o0")).await.expect("the head of the answer is there");
        assert!(found.bytes().await.is_err());
        assert!(store.list(None).try_collect::<Vec<_>>().await.is_err());
        store.set_rates(FaultRates { after: 1.0, ..FaultRates::NONE });
        assert!(store.delete(&Path::from("o0")).await.is_err());
        assert!(store.inner().head(&Path::from("o0")).await.is_err(), "it is gone all the same");
    }
}
