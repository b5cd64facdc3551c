//! Counts requests and bytes on their way to a store: of the whole process, or of one query. Answers that are shorter
//! than what was asked for are errors here, for all that is above.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart, coalesce_ranges,
};

use crate::metrics::Metrics;

/// What one query read from the archive. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct ReadCounters {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    gets: AtomicU64,
    bytes: AtomicU64,
    rows: AtomicU64,
    /// Where the same is counted once more.
    whole: Option<Arc<Self>>,
}

impl Counts {
    fn add(&self, gets: u64, bytes: u64, rows: u64) {
        self.gets.fetch_add(gets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add(gets, bytes, rows);
        }
    }
}

impl ReadCounters {
    /// Counters of a part, one scan of a query say: what they count is counted here too.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { counts: Arc::new(Counts { whole: Some(Arc::clone(&self.counts)), ..Counts::default() }) }
    }

    /// GET requests.
    pub fn gets(&self) -> u64 {
        self.counts.gets.load(Ordering::Relaxed)
    }

    /// Bytes of objects that were asked for.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Rows of the selected series in the pages that were read; not counted by plans for SQL, which have metrics of their own.
    pub fn rows(&self) -> u64 {
        self.counts.rows.load(Ordering::Relaxed)
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.counts.add(0, 0, u64::try_from(rows).unwrap_or(u64::MAX));
    }
}

/// Where requests are counted.
pub(crate) trait Meter: fmt::Debug + Clone + Send + Sync + 'static {
    fn got(&self, bytes: u64);
    fn put(&self, bytes: u64);
    fn listed(&self);
    fn deleted(&self);
}

impl Meter for ReadCounters {
    fn got(&self, bytes: u64) {
        self.counts.add(1, bytes, 0);
    }

    fn put(&self, _bytes: u64) {}

    fn listed(&self) {}

    fn deleted(&self) {}
}

impl Meter for Metrics {
    fn got(&self, bytes: u64) {
        self.gets.inc();
        self.bytes_read.inc_by(bytes);
    }

    fn put(&self, bytes: u64) {
        self.puts.inc();
        self.bytes_written.inc_by(bytes);
    }

    fn listed(&self) {
        self.lists.inc();
    }

    fn deleted(&self) {
        self.deletes.inc();
    }
}

/// A store whose requests are counted.
#[derive(Debug)]
pub(crate) struct MeteredStore<M> {
    inner: Arc<dyn ObjectStore>,
    meter: M,
}

impl<M: Meter> MeteredStore<M> {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, meter: M) -> Self {
        Self { inner, meter }
    }
}

impl<M: Meter> fmt::Display for MeteredStore<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metered {}", self.inner)
    }
}

fn length(payload: &PutPayload) -> u64 {
    u64::try_from(payload.content_length()).unwrap_or(u64::MAX)
}

/// An object that is shorter than it was: decoders further up rely on getting what they asked for.
fn cut_short(location: &Path, asked: &Range<u64>, got: &Range<u64>) -> Error {
    let source = format!("{location} was asked for bytes {asked:?} and has only {got:?}");
    Error::Generic { store: "metered", source: source.into() }
}

#[async_trait]
impl<M: Meter> ObjectStore for MeteredStore<M> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.meter.put(length(&payload));
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(MeteredUpload { inner, meter: self.meter.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (head, asked) = (options.head, options.range.clone());
        let result = self.inner.get_opts(location, options).await?;
        self.meter.got(if head { 0 } else { result.range.end - result.range.start });
        match asked {
            Some(GetRange::Bounded(asked)) if asked != result.range => Err(cut_short(location, &asked, &result.range)),
            _ => Ok(result),
        }
    }

    /// Near ranges become one request, and each request is counted.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        coalesce_ranges(ranges, |range| self.get_range(location, range), OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let meter = self.meter.clone();
        self.inner.delete_stream(locations).inspect(move |_| meter.deleted()).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.listed();
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.meter.listed();
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.meter.listed();
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct MeteredUpload<M> {
    inner: Box<dyn MultipartUpload>,
    meter: M,
}

#[async_trait]
impl<M: Meter> MultipartUpload for MeteredUpload<M> {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.meter.put(length(&data));
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
