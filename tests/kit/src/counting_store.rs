//! Counts the requests that reach an object store: "this query made two GETs".

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use parking_lot::Mutex;

/// What a request was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Get,
    Head,
    Put,
    /// One part of a multipart upload, its beginning, or its end.
    Multipart,
    List,
    Delete,
    Copy,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub operation: Operation,
    /// The object, or the prefix of a listing.
    pub path: String,
    /// Bytes of the answer (GET) or of the question (PUT, part).
    pub bytes: u64,
}

/// A store that remembers every request in order. Clones of the list are taken with [`requests`](Self::requests).
#[derive(Debug)]
pub struct CountingStore {
    inner: Arc<dyn ObjectStore>,
    log: Arc<Mutex<Vec<Request>>>,
}

impl CountingStore {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, log: Arc::default() }
    }

    /// The requests since the start or the last [`reset`](Self::reset), in order.
    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().clone()
    }

    /// How many requests of a kind there were.
    pub fn count(&self, operation: Operation) -> usize {
        self.log.lock().iter().filter(|request| request.operation == operation).count()
    }

    /// Bytes of requests of a kind.
    pub fn bytes(&self, operation: Operation) -> u64 {
        self.log.lock().iter().filter(|request| request.operation == operation).map(|request| request.bytes).sum()
    }

    pub fn reset(&self) {
        self.log.lock().clear();
    }

    fn note(&self, operation: Operation, path: impl fmt::Display, bytes: u64) {
        self.log.lock().push(Request { operation, path: path.to_string(), bytes });
    }

    fn note_list(&self, prefix: Option<&Path>) {
        self.note(Operation::List, prefix.map(ToString::to_string).unwrap_or_default(), 0);
    }
}

impl fmt::Display for CountingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "counting {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for CountingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.note(Operation::Put, location, payload.content_length() as u64);
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.note(Operation::Multipart, location, 0);
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(CountedUpload { inner, path: location.to_string(), log: Arc::clone(&self.log) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { Operation::Head } else { Operation::Get };
        let result = self.inner.get_opts(location, options).await;
        let bytes = result.as_ref().map_or(0, |found| found.range.end - found.range.start);
        self.note(operation, location, if operation == Operation::Head { 0 } else { bytes });
        result
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        // The store may join ranges into fewer requests: each request comes back here and is counted there.
        object_store::coalesce_ranges(
            ranges,
            |range| async {
                let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
                self.get_opts(location, options).await?.bytes().await
            },
            object_store::OBJECT_STORE_COALESCE_DEFAULT,
        )
        .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let log = Arc::clone(&self.log);
        let counted = locations.inspect(move |location| {
            if let Ok(path) = location {
                log.lock().push(Request { operation: Operation::Delete, path: path.to_string(), bytes: 0 });
            }
        });
        self.inner.delete_stream(counted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note_list(prefix);
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note_list(prefix);
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.note_list(prefix);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.note(Operation::Copy, to, 0);
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.note(Operation::Copy, to, 0);
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct CountedUpload {
    inner: Box<dyn MultipartUpload>,
    path: String,
    log: Arc<Mutex<Vec<Request>>>,
}

impl CountedUpload {
    fn note(&self, bytes: u64) {
        self.log.lock().push(Request { operation: Operation::Multipart, path: self.path.clone(), bytes });
    }
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.note(data.content_length() as u64);
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.note(0);
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn every_request_is_counted_with_its_bytes() {
        let store = CountingStore::new(Arc::new(InMemory::new()));
        let path = Path::from("a/b");
        store.put(&path, PutPayload::from_static(b"0123456789")).await.expect("puts");
        assert_eq!((store.count(Operation::Put), store.bytes(Operation::Put)), (1, 10));
        store.get_range(&path, 2..5).await.expect("gets");
        store.head(&path).await.expect("is there");
        assert_eq!((store.count(Operation::Get), store.bytes(Operation::Get)), (1, 3));
        assert_eq!((store.count(Operation::Head), store.bytes(Operation::Head)), (1, 0));
        store.reset();
        store.get_ranges(&path, &[0..2, 4..6]).await.expect("gets");
        assert_eq!(store.count(Operation::Get), 1, "near ranges are one request");
        assert_eq!(store.list(None).count().await, 1);
        store.delete(&path).await.expect("deletes");
        assert!(store.get(&path).await.is_err());
        let kinds: Vec<Operation> = store.requests().iter().map(|request| request.operation).collect();
        assert_eq!(kinds, [Operation::Get, Operation::List, Operation::Delete, Operation::Get]);
    }
}
