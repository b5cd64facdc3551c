//! A local directory whose writes survive a loss of power.
//!
//! bytes ─▶ staging file `name#n` beside the target ─fsync─▶ link or rename to the name ─▶ fsync of the directories
//!
//! `LocalFileSystem` does all of this but for both fsyncs, so after a loss of power a name could stand for an empty
//! file: fatal for a commit of the Delta log. Reads, lists and deletes are its own; it hides names that end in `#n`.
//! What becomes of staging files, also of those that a crash leaves, is in [`super::staged`].

use std::fmt;
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::FutureExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;

use super::staged::{Publish, Staged};

const STORE: &str = "local directory";

/// The local file system from `/`, with durable writes.
#[derive(Debug)]
pub(crate) struct DurableLocal {
    inner: LocalFileSystem,
    /// Where the search for a free staging name begins: no other writer begins there.
    staged: AtomicU64,
}

impl DurableLocal {
    pub(crate) fn new() -> Self {
        Self { inner: LocalFileSystem::new(), staged: AtomicU64::new(rand::random()) }
    }

    /// Where an object lies, and the number of its staging file.
    fn target(&self, location: &Path) -> Result<(PathBuf, u64)> {
        Ok((self.inner.path_to_filesystem(location)?, self.staged.fetch_add(1, Ordering::Relaxed)))
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

fn failed(source: std::io::Error) -> Error {
    Error::Generic { store: STORE, source: Box::new(source) }
}

/// Runs file work off the async workers.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panicked| Error::Generic { store: STORE, source: Box::new(panicked) })?
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if !matches!(options.mode, PutMode::Create | PutMode::Overwrite) || !options.attributes.is_empty() {
            // Refuses what it cannot do, in its own words.
            return self.inner.put_opts(location, payload, options).await;
        }
        let (target, number) = self.target(location)?;
        blocking(move || {
            let mut staged = Staged::create(target.clone(), number).map_err(failed)?;
            let written = payload.iter().try_for_each(|piece| staged.file().write_all(piece));
            written.map_err(|e| failed(staged.failed(e)))?;
            let how = if options.mode == PutMode::Create { Publish::Create } else { Publish::Replace };
            staged.publish(how).map_err(|e| match e.kind() {
                ErrorKind::AlreadyExists => {
                    Error::AlreadyExists { path: target.display().to_string(), source: e.into() }
                }
                _ => failed(e),
            })?;
            Ok(PutResult { e_tag: None, version: None })
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !options.attributes.is_empty() {
            return self.inner.put_multipart_opts(location, options).await;
        }
        let (target, number) = self.target(location)?;
        let staged = blocking(move || Staged::create(target, number).map_err(failed)).await?;
        Ok(Box::new(DurableUpload { staged: Arc::new(Mutex::new(staged)), offset: 0 }))
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

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// An upload in parts: each is written at its own offset, in any order.
#[derive(Debug)]
struct DurableUpload {
    staged: Arc<Mutex<Staged>>,
    offset: u64,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (staged, at) = (Arc::clone(&self.staged), self.offset);
        self.offset += u64::try_from(data.content_length()).unwrap_or(u64::MAX);
        blocking(move || {
            let mut staged = staged.lock();
            let file = staged.file();
            let written =
                file.seek(SeekFrom::Start(at)).and_then(|_| data.iter().try_for_each(|piece| file.write_all(piece)));
            written.map_err(|e| failed(staged.failed(e)))
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = Arc::clone(&self.staged);
        blocking(move || {
            staged.lock().publish(Publish::Replace).map_err(failed)?;
            Ok(PutResult { e_tag: None, version: None })
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = Arc::clone(&self.staged);
        blocking(move || {
            staged.lock().discard();
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    fn at(dir: &tempfile::TempDir, name: &str) -> Path {
        Path::from_absolute_path(dir.path()).expect("a plain path").join("deep").join(name)
    }

    async fn read(store: &DurableLocal, path: &Path) -> Vec<u8> {
        store.get(path).await.expect("there").bytes().await.expect("readable").to_vec()
    }

    #[tokio::test]
    async fn an_existing_object_is_not_created_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (store, path) = (DurableLocal::new(), at(&dir, "a"));
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&path, "first".into(), create()).await.expect("created");
        let again = store.put_opts(&path, "second".into(), create()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(read(&store, &path).await, b"first");
        store.put(&path, "third".into()).await.expect("replaced");
        assert_eq!(read(&store, &path).await, b"third");
    }

    #[tokio::test]
    async fn an_upload_in_parts_is_whole_or_absent() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (store, path) = (DurableLocal::new(), at(&dir, "big"));
        let mut upload = store.put_multipart(&path).await.expect("started");
        let (first, second) = (upload.put_part("he".into()), upload.put_part("llo".into()));
        second.await.expect("written");
        first.await.expect("written");
        assert!(store.get(&path).await.is_err(), "not before it is complete");
        upload.complete().await.expect("published");
        assert_eq!(read(&store, &path).await, b"hello");

        let mut dropped = store.put_multipart(&at(&dir, "dropped")).await.expect("started");
        dropped.put_part("x".into()).await.expect("written");
        dropped.abort().await.expect("aborted");
        let mut forgotten = store.put_multipart(&at(&dir, "forgotten")).await.expect("started");
        forgotten.put_part("y".into()).await.expect("written");
        drop(forgotten);
        let left = std::fs::read_dir(dir.path().join("deep")).expect("a directory").count();
        assert_eq!(left, 1, "only the whole one");
    }
}
