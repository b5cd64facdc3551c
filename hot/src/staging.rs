//! Table files built beside RocksDB and taken in whole: sorted data goes to disk once.
//!
//! sorted keys and values ─▶ [`TableWriter`] ─▶ files in the staging folder ─▶ [`Staged::ingest`] ─▶ a family
//!
//! A file is synced when it is finished. Files that are never ingested go with their [`Staged`]; those that a crash left
//! behind go at the next start, when the folder is emptied.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{Options, SstFileWriter};
use schemas::keys::Family;

use crate::db::Engine;
use crate::error::{Context, HotError};

/// A file is finished when it has this many bytes of keys and values.
const FILE_BYTES: u64 = 64 << 20;

/// The folder of files that are being built.
#[derive(Debug)]
pub(crate) struct Staging {
    dir: PathBuf,
    next: AtomicU64,
}

impl Staging {
    /// The folder under the database's own, so that files move into it without a copy. Empties it.
    pub(crate) fn open(database: &Path) -> Result<Self, HotError> {
        let dir = database.join("staging");
        if dir.exists() {
            std::fs::remove_dir_all(&dir).context("cannot empty the staging folder")?;
        }
        std::fs::create_dir(&dir).context("cannot make the staging folder")?;
        Ok(Self { dir, next: AtomicU64::new(0) })
    }

    fn next_path(&self) -> PathBuf {
        self.dir.join(format!("{:06}.sst", self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Writes keys in ascending order to one file after another.
pub(crate) struct TableWriter<'a> {
    staging: &'a Staging,
    options: &'a Options,
    file: Option<(SstFileWriter<'a>, u64)>,
    staged: Staged,
}

impl std::fmt::Debug for TableWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableWriter").field("staged", &self.staged).finish_non_exhaustive()
    }
}

impl<'a> TableWriter<'a> {
    pub(crate) fn new(staging: &'a Staging, engine: &'a Engine, family: Family) -> Self {
        let staged = Staged { family, files: Vec::new(), keys: 0, bytes: 0 };
        Self { staging, options: engine.options().points(), file: None, staged }
    }

    /// Adds a key, which must be greater than the one before.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), HotError> {
        self.add(key, value, |writer| writer.put(key, value))
    }

    /// Takes a key out of the family, if it is there; it must be greater than the one before.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), HotError> {
        self.add(key, &[], |writer| writer.delete(key))
    }

    fn add(
        &mut self,
        key: &[u8],
        value: &[u8],
        write: impl FnOnce(&mut SstFileWriter<'_>) -> Result<(), rocksdb::Error>,
    ) -> Result<(), HotError> {
        if self.file.as_ref().is_some_and(|(_, bytes)| *bytes >= FILE_BYTES) {
            self.finish_file()?;
        }
        let (writer, bytes) = match &mut self.file {
            Some(file) => file,
            None => {
                let path = self.staging.next_path();
                let writer = SstFileWriter::create(self.options);
                writer.open(&path).context("cannot make a table file")?;
                self.staged.files.push(path);
                self.file.insert((writer, 0))
            }
        };
        write(writer).context("cannot write a table file")?;
        let size = (key.len() + value.len()) as u64;
        *bytes += size;
        self.staged.bytes += size;
        self.staged.keys += 1;
        Ok(())
    }

    fn finish_file(&mut self) -> Result<(), HotError> {
        match self.file.take() {
            Some((mut writer, _)) => writer.finish().context("cannot finish a table file"),
            None => Ok(()),
        }
    }

    /// Finishes the last file and hands all of them over.
    pub(crate) fn finish(mut self) -> Result<Staged, HotError> {
        self.finish_file()?;
        Ok(self.staged)
    }
}

/// Finished files for one family.
#[derive(Debug)]
pub(crate) struct Staged {
    family: Family,
    files: Vec<PathBuf>,
    keys: u64,
    /// Of keys and values.
    bytes: u64,
}

impl Staged {
    pub(crate) fn family(&self) -> Family {
        self.family
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Moves the files into their family.
    pub(crate) fn ingest(mut self, engine: &Engine) -> Result<(), HotError> {
        if !self.files.is_empty() {
            engine.ingest(self.family, self.files.clone())?;
            self.files.clear();
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for file in &self.files {
            // The folder is emptied at the next start in any case.
            std::fs::remove_file(file).ok();
        }
    }
}
