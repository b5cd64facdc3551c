//! A local directory whose writes survive a loss of power.
//!
//! bytes ─▶ staging file `name#n` beside the target ─fsync─▶ link or rename to the name ─▶ fsync of the directories
//!
//! `LocalFileSystem` does all of this but for both fsyncs, so after a loss of power a name could stand for an empty
//! file: fatal for a commit of the Delta log. Reads, lists and deletes are its own; it hides names that end in `#n`.
//! A staging file belongs to the one writer that created it (`O_EXCL`): two that shared one could each publish what the
//! other wrote. One that a crash leaves is invisible, and its name is passed over.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path as FilePath, PathBuf};
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

const STORE: &str = "local directory";

/// The local file system from `/`, with durable writes.
#[derive(Debug)]
pub(crate) struct DurableLocal {
    inner: LocalFileSystem,
    /// Where the search for a free staging name begins.
    staged: AtomicU64,
}

impl DurableLocal {
    pub(crate) fn new() -> Self {
        Self { inner: LocalFileSystem::new(), staged: AtomicU64::new(u64::from(std::process::id()) << 32) }
    }

    fn stage(&self, location: &Path) -> Result<Staged> {
        let target = self.inner.path_to_filesystem(location)?;
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        Ok(Staged { path: staging_path(&target, number), target, number })
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

/// A file that is being written under another name.
#[derive(Debug, Clone)]
struct Staged {
    path: PathBuf,
    target: PathBuf,
    number: u64,
}

fn staging_path(target: &FilePath, number: u64) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!("#{number}"));
    name.into()
}

impl Staged {
    /// Creates the file under the first free staging name, and the directories above it.
    fn create(&mut self) -> Result<File> {
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&self.path) {
                Err(missing) if missing.kind() == ErrorKind::NotFound => {
                    let parent = self.path.parent().unwrap_or(FilePath::new("/"));
                    create_directories(parent).map_err(|e| failed(parent, e))?;
                }
                Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {
                    self.number = self.number.wrapping_add(1);
                    self.path = staging_path(&self.target, self.number);
                }
                other => return other.map_err(|e| failed(&self.path, e)),
            }
        }
    }

    /// Gives the file its name, durably.
    fn publish(&self, file: &File, mode: &PutMode) -> Result<()> {
        file.sync_all().map_err(|e| failed(&self.path, e))?;
        match mode {
            PutMode::Create => {
                let linked = fs::hard_link(&self.path, &self.target);
                self.discard();
                linked.map_err(|e| match e.kind() {
                    ErrorKind::AlreadyExists => {
                        Error::AlreadyExists { path: self.target.display().to_string(), source: e.into() }
                    }
                    _ => failed(&self.target, e),
                })?;
            }
            _ => fs::rename(&self.path, &self.target).map_err(|e| failed(&self.target, e))?,
        }
        self.target.parent().map_or(Ok(()), |parent| sync_directory(parent).map_err(|e| failed(parent, e)))
    }

    fn discard(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "staging file stays");
        }
    }
}

/// `create_dir_all`, with every new name made durable.
fn create_directories(path: &FilePath) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    create_directories(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_directory(parent)
}

fn sync_directory(path: &FilePath) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

fn failed(path: &FilePath, source: std::io::Error) -> Error {
    let source = std::io::Error::new(source.kind(), format!("{}: {source}", path.display()));
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
        let mut staged = self.stage(location)?;
        blocking(move || {
            let mut file = staged.create()?;
            let written = payload.iter().try_for_each(|piece| file.write_all(piece));
            if let Err(error) = written {
                staged.discard();
                return Err(failed(&staged.path, error));
            }
            staged.publish(&file, &options.mode)?;
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
        let mut staged = self.stage(location)?;
        let (staged, file) = blocking(move || staged.create().map(|file| (staged, file))).await?;
        Ok(Box::new(DurableUpload { staged, file: Arc::new(Mutex::new(file)), offset: 0 }))
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
    staged: Staged,
    file: Arc<Mutex<File>>,
    offset: u64,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        use std::io::{Seek, SeekFrom};

        let (file, staged, at) = (Arc::clone(&self.file), self.staged.clone(), self.offset);
        self.offset += u64::try_from(data.content_length()).unwrap_or(u64::MAX);
        blocking(move || {
            let mut file = file.lock();
            let written =
                file.seek(SeekFrom::Start(at)).and_then(|_| data.iter().try_for_each(|piece| file.write_all(piece)));
            written.map_err(|e| failed(&staged.path, e))
        })
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (file, staged) = (Arc::clone(&self.file), self.staged.clone());
        blocking(move || {
            staged.publish(&file.lock(), &PutMode::Overwrite)?;
            Ok(PutResult { e_tag: None, version: None })
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = self.staged.clone();
        blocking(move || {
            staged.discard();
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

    #[test]
    fn two_writers_of_one_name_never_share_a_staging_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = at(&dir, "contested");
        let (one, other) = (DurableLocal::new(), DurableLocal::new());
        let (mut first, mut second) = (one.stage(&path).expect("staged"), other.stage(&path).expect("staged"));
        assert_eq!(first.path, second.path, "both begin with the same name");
        let mut file = first.create().expect("created");
        second.create().expect("created beside it");
        file.write_all(b"first").expect("written");
        first.publish(&file, &PutMode::Create).expect("published");
        assert_eq!(fs::read(&first.target).expect("readable"), b"first");
        assert_ne!(first.path, second.path);
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
        let left = fs::read_dir(dir.path().join("deep")).expect("a directory").count();
        assert_eq!(left, 1, "only the whole one");
    }
}
