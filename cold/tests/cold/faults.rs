//! Lost replies, failing stores, truncated uploads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use cold::ColdError;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use crate::support::*;

type MapPut = Box<dyn Fn(PutOptions) -> PutOptions + Send + Sync>;
type FailPut = Box<dyn FnMut(&Path) -> Option<PutFault> + Send>;

/// What happens to a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutFault {
    /// It takes effect, and the reply says that it failed.
    LoseReply,
    /// It takes effect, and the client's own retry meets it: "already exists".
    MeetItself,
    /// It does not take effect.
    Refuse,
    /// Half of it arrives.
    Truncate,
}

/// A store that fails as told.
pub(crate) struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    map_put: MapPut,
    fail_put: Mutex<FailPut>,
}

impl FaultStore {
    pub(crate) fn around(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, map_put: Box::new(|options| options), fail_put: Mutex::new(Box::new(|_| None)) }
    }

    pub(crate) fn map_put(
        mut self,
        map: impl Fn(PutOptions) -> PutOptions + Send + Sync + 'static,
    ) -> Arc<dyn ObjectStore> {
        self.map_put = Box::new(map);
        Arc::new(self)
    }

    pub(crate) fn fail_put(
        mut self,
        fail: impl FnMut(&Path) -> Option<PutFault> + Send + 'static,
    ) -> Arc<dyn ObjectStore> {
        self.fail_put = Mutex::new(Box::new(fail));
        Arc::new(self)
    }
}

fn lost() -> Error {
    Error::Generic { store: "fault", source: "connection reset".into() }
}

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultStore")
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults over {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = (self.fail_put.lock())(location);
        let options = (self.map_put)(options);
        match fault {
            Some(PutFault::Refuse) => return Err(lost()),
            Some(PutFault::Truncate) => {
                let whole: Vec<u8> = payload.iter().flat_map(|piece| piece.to_vec()).collect();
                return self.inner.put_opts(location, whole[..whole.len() / 2].to_vec().into(), options).await;
            }
            _ => {}
        }
        let done = self.inner.put_opts(location, payload, options).await?;
        match fault {
            Some(PutFault::LoseReply) => Err(lost()),
            Some(PutFault::MeetItself) => {
                Err(Error::AlreadyExists { path: location.to_string(), source: "by an earlier try".into() })
            }
            _ => Ok(done),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn is_commit(path: &Path) -> bool {
    path.as_ref().contains("_delta_log/") && !path.as_ref().ends_with("00000000000000000000.json")
}

#[tokio::test]
async fn a_commit_whose_reply_was_lost_is_found_and_not_repeated() {
    for fault in [PutFault::LoseReply, PutFault::MeetItself] {
        let given = Given::a_directory();
        let faulty = |store| FaultStore::around(store).fail_put(move |path| is_commit(path).then_some(fault));
        let archive = given.archive_through("a", faulty).await.expect("opens");
        let told = fleet(HOUR, 2);
        let commit = archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
        assert!(!commit.unchanged, "{fault:?}");
        assert_eq!(commit.rows, 4 * (360 + 60 + 1));
        for table in ["series", "raw", "rollup_1m", "rollup_1h"] {
            assert_eq!(given.parquet_files(table).len(), 1, "{fault:?}: one upload, one commit of {table}");
            assert_eq!(given.files(&format!("{table}/_delta_log")).len(), 2, "{fault:?}");
        }
        assert_eq!(read_points(&archive, &everything()).await.0, told_points(&told));
        assert_eq!(archive.sweep().await.expect("swept").tables, 4, "a commit found is a commit of ours");
    }
}

#[tokio::test]
async fn a_commit_that_was_refused_once_is_tried_again() {
    let given = Given::a_directory();
    let refusals = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&refusals);
    let faulty = |store| {
        let mut refuse = true;
        FaultStore::around(store).fail_put(move |path| {
            if !is_commit(path) {
                return None;
            }
            refuse = !refuse;
            if !refuse {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            (!refuse).then_some(PutFault::Refuse)
        })
    };
    let archive = given.archive_through("a", faulty).await.expect("opens");
    let told = fleet(HOUR, 1);
    assert!(!archive_hour(&archive, HOUR, 1, &told).await.expect("archived").unchanged);
    assert_eq!(refusals.load(Ordering::SeqCst), 4);
    assert_eq!(read_points(&archive, &everything()).await.0, told_points(&told));
}

#[tokio::test]
async fn a_truncated_upload_is_never_committed() {
    let given = Given::a_directory();
    let faulty = |store| {
        FaultStore::around(store).fail_put(|path| {
            (path.as_ref().contains("/raw/") && path.as_ref().ends_with(".parquet")).then_some(PutFault::Truncate)
        })
    };
    let archive = given.archive_through("a", faulty).await.expect("opens");
    let told = fleet(HOUR, 1);
    let refused = archive_hour(&archive, HOUR, 1, &told).await.expect_err("reads back wrong");
    assert!(matches!(refused, ColdError::Verify { .. } | ColdError::Store { .. }), "{refused}");
    assert!(refused.is_retryable());
    assert_eq!(archive.versions().raw, Some(0));
    // The next attempt, by a sound store, goes on; the half file is swept.
    let sound = given.archive("a").await;
    archive_hour(&sound, HOUR, 1, &told).await.expect("archived");
    assert_eq!(sound.sweep().await.expect("swept").files, 1);
    assert_eq!(read_points(&sound, &everything()).await.0, told_points(&told));
}

#[tokio::test]
async fn a_store_that_is_down_is_a_retryable_error_and_loses_nothing() {
    let given = Given::a_directory();
    let down = Arc::new(AtomicU32::new(0));
    let switch = Arc::clone(&down);
    let faulty = |store| {
        FaultStore::around(store).fail_put(move |path| {
            (switch.load(Ordering::SeqCst) == 1 && path.as_ref().ends_with(".parquet")).then_some(PutFault::Refuse)
        })
    };
    let archive = given.archive_through("a", faulty).await.expect("opens");
    let told = fleet(HOUR, 1);
    down.store(1, Ordering::SeqCst);
    let failed = archive_hour(&archive, HOUR, 1, &told).await.expect_err("the store is down");
    assert!(failed.is_retryable(), "{failed}");
    down.store(0, Ordering::SeqCst);
    archive_hour(&archive, HOUR, 1, &told).await.expect("archived");
    assert_eq!(read_points(&archive, &everything()).await.0, told_points(&told));
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_whatever_requests_fail() {
    let seed = kit::seed();
    let given = Given::a_directory();
    let mut faulty: Option<Arc<kit::FaultStore>> = None;
    let decorate = |store| -> Arc<dyn ObjectStore> {
        let store = Arc::new(kit::FaultStore::new(store, seed, kit::FaultRates::NONE));
        faulty = Some(Arc::clone(&store));
        store
    };
    let archive = given.archive_through("a", decorate).await.expect("opens");
    let faulty = faulty.expect("decorated");
    let mut told = Vec::new();
    let mut hour = HOUR;
    for through in 1..=6 {
        let series = fleet(hour, 2);
        faulty.set_rates(kit::FaultRates::SOME);
        // The caller comes back as long as the error says that it may.
        loop {
            match archive_hour(&archive, hour, through, &series).await {
                Ok(_) => break,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
        faulty.set_rates(kit::FaultRates::NONE);
        told.extend(series);
        assert_eq!(read_points(&archive, &everything()).await.0, told_points(&told));
        hour = hour.next();
    }
    archive.sweep().await.expect("swept");
    let fresh = given.archive("b").await;
    assert_eq!(read_points(&fresh, &everything()).await.0, told_points(&told));
    let live: u64 = fresh.inventory().await.expect("readable").tables.iter().map(|table| table.files).sum();
    assert!(live >= 4);
    assert_eq!(given.parquet_files("raw").len(), 6, "orphans were swept");
}
