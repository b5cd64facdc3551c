//! A file that is being written beside its name, and what is left of it when its writer dies.
//!
//! `name#n` created and locked ─▶ bytes ─fsync─▶ link or rename to the name ─▶ fsync of the directory
//! a writer that died ─▶ its lock is gone ─▶ [`sweep`] removes the file
//!
//! A staging file belongs to the one writer that created it (`O_EXCL`): two that shared one could each publish what the
//! other wrote. Its writer locks it (`flock`) for as long as it is one; the system takes the lock back from a process
//! that ends, however it ends. So whoever gets the lock knows that no process, this one or another on the same
//! directory, will publish the file. Were a lock ever lost (a network file system), a sweep could only make a put fail,
//! which is then tried again: a name never stands for less than was put.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How a staging file becomes the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publish {
    /// Only if there is none; else `ErrorKind::AlreadyExists`.
    Create,
    /// In place of the one that there may be.
    Replace,
}

/// A file that is being written under another name. Removed when it is dropped before it is published.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
    target: PathBuf,
    file: File,
    published: bool,
}

impl Staged {
    /// Creates the file under the first free staging name from `number` on, and the directories above it.
    pub(super) fn create(target: PathBuf, mut number: u64) -> Result<Self> {
        loop {
            let path = staging_path(&target, number);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) if claim(&file).map_err(|e| at(&path, e))? => {
                    return Ok(Self { path, target, file, published: false });
                }
                Err(missing) if missing.kind() == ErrorKind::NotFound => {
                    let parent = path.parent().unwrap_or(Path::new("/"));
                    create_directories(parent).map_err(|e| at(parent, e))?;
                }
                Err(other) if other.kind() != ErrorKind::AlreadyExists => return Err(at(&path, other)),
                // Another writer's, or a sweep took it for a dead writer's in the moment before it was locked.
                Ok(_) | Err(_) => number = number.wrapping_add(1),
            }
        }
    }

    /// Where the bytes go.
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Says of an error which file it is about.
    pub(super) fn failed(&self, error: Error) -> Error {
        at(&self.path, error)
    }

    /// Gives the file its name, durably.
    pub(super) fn publish(&mut self, how: Publish) -> Result<()> {
        self.file.sync_all().map_err(|e| at(&self.path, e))?;
        match how {
            Publish::Create => {
                fs::hard_link(&self.path, &self.target).map_err(|e| at(&self.target, e))?;
                self.discard();
            }
            Publish::Replace => fs::rename(&self.path, &self.target).map_err(|e| at(&self.target, e))?,
        }
        self.published = true;
        self.target.parent().map_or(Ok(()), |parent| sync_directory(parent).map_err(|e| at(parent, e)))
    }

    /// Removes the staging name.
    pub(super) fn discard(&mut self) {
        self.published = true;
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a staging file stays until the next sweep");
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            self.discard();
        }
    }
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Swept {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Swept {
    /// This sweep and another, as one.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { files: self.files + other.files, bytes: self.bytes + other.bytes }
    }
}

/// Removes the staging files of dead writers below a directory, which need not exist.
pub(crate) fn sweep(directory: &Path) -> Result<Swept> {
    let mut swept = Swept::default();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(gone) if gone.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(|e| at(&directory, e))?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| at(&directory, e))?;
            let (kind, path) = (entry.file_type().map_err(|e| at(&entry.path(), e))?, entry.path());
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file()
                && is_staging_name(&entry.file_name())
                && let Some(bytes) = remove_if_dead(&path).map_err(|e| at(&path, e))?
            {
                tracing::info!(path = %path.display(), bytes, "removed what a dead writer left half written");
                swept.files += 1;
                swept.bytes += bytes;
            }
        }
    }
    Ok(swept)
}

/// Removes a staging file if nobody writes it any more, and returns its size.
fn remove_if_dead(path: &Path) -> Result<Option<u64>> {
    let unless_gone = |error: Error| if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) };
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) => return unless_gone(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        // Without locks nobody can tell the living from the dead.
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return Ok(None),
    }
    let locked = file.metadata()?;
    let named = match fs::symlink_metadata(path) {
        Ok(named) => named,
        Err(error) => return unless_gone(error),
    };
    // While this end holds the lock the name stays this file's: only its writer, or who locks it, takes it away.
    if (locked.dev(), locked.ino()) != (named.dev(), named.ino()) {
        return Ok(None);
    }
    fs::remove_file(path)?;
    Ok(Some(locked.len()))
}

/// Locks a file that was just created; `false` when a sweep was faster, and removes it.
fn claim(file: &File) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(file.metadata()?.nlink() > 0),
        Err(TryLockError::WouldBlock) => Ok(false),
        // Where a file system has no locks, no sweep gets one either.
        Err(TryLockError::Error(_)) => Ok(true),
    }
}

fn staging_path(target: &Path, number: u64) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!("#{number}"));
    name.into()
}

/// Whether `LocalFileSystem` hides a name: it ends in `#` and digits.
fn is_staging_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && name[..name.len() - digits].ends_with(b"#")
}

/// `create_dir_all`, with every new name made durable.
fn create_directories(path: &Path) -> Result<()> {
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

fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)?.sync_all()
}

/// An error that names its file.
fn at(path: &Path, source: Error) -> Error {
    Error::new(source.kind(), format!("{}: {source}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(dir: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(dir.path()).expect("a directory");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn two_writers_of_one_name_never_share_a_staging_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let target = dir.path().join("contested");
        let mut first = Staged::create(target.clone(), 7).expect("created");
        let second = Staged::create(target.clone(), 7).expect("created beside it");
        assert_ne!(first.path, second.path);
        first.file().write_all(b"first").expect("written");
        first.publish(Publish::Create).expect("published");
        drop(second);
        assert_eq!(fs::read(&target).expect("readable"), b"first");
        assert_eq!(names(&dir), ["contested"]);
    }

    #[test]
    fn a_sweep_takes_what_dead_writers_left_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let below = dir.path().join("date=2026-11-21");
        let mut live = Staged::create(below.join("live.parquet"), 1).expect("created");
        live.file().write_all(b"half").expect("written");
        // As a kill leaves them: before it was published, and between the link and the end of the staging name.
        fs::write(below.join("dead.parquet#12"), b"half of it").expect("writable");
        fs::write(below.join("linked.json"), b"whole").expect("writable");
        fs::hard_link(below.join("linked.json"), below.join("linked.json#3")).expect("linked");
        for other in ["#x", "a#", "plain", "a#1.parquet"] {
            fs::write(below.join(other), b"not ours").expect("writable");
        }
        assert_eq!(sweep(dir.path()).expect("swept"), Swept { files: 2, bytes: 15 });
        assert_eq!(sweep(dir.path()).expect("swept"), Swept::default());
        live.publish(Publish::Replace).expect("its staging file is still there");
        assert_eq!(fs::read(below.join("live.parquet")).expect("readable"), b"half");
        assert_eq!(fs::read(below.join("linked.json")).expect("readable"), b"whole");
        assert_eq!(fs::read_dir(&below).expect("a directory").count(), 6);
        assert_eq!(sweep(&dir.path().join("nowhere")).expect("swept"), Swept::default());
    }
}
