//! A stand-in for a RocksDB directory: symbolic links to its table files, which are never changed, and copies of the
//! rest. Whatever is done to it, the directory itself stays as it is.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

/// Removed when dropped. Holds the lock of the directory it stands for, so that no server starts meanwhile.
#[derive(Debug)]
pub(super) struct Shadow {
    dir: PathBuf,
    _lock: File,
}

impl Shadow {
    /// Refuses a directory that is none, and one whose server is running.
    pub(super) fn of(original: &Path) -> anyhow::Result<Self> {
        if !original.join("CURRENT").exists() {
            bail!("{} holds no data: give the directory that `serve --data-dir` was given", original.display());
        }
        let lock = lock(original)?;
        let original = fs::canonicalize(original).with_context(|| format!("finding {}", original.display()))?;
        let dir = std::env::temp_dir().join(format!("thermocline-inspect-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let shadow = Self { dir, _lock: lock };
        for entry in fs::read_dir(&original).with_context(|| format!("reading {}", original.display()))? {
            let path = entry.with_context(|| format!("reading {}", original.display()))?.path();
            shadow.take(&path).with_context(|| format!("reading {}", path.display()))?;
        }
        Ok(shadow)
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    fn take(&self, path: &Path) -> std::io::Result<()> {
        let Some(name) = path.file_name().filter(|name| *name != "LOCK") else { return Ok(()) };
        let target = self.dir.join(name);
        if path.extension().is_some_and(|extension| extension == "sst") {
            symlink(path, target)
        } else if path.is_file() {
            fs::copy(path, target).map(|_| ())
        } else {
            // Staging: unfinished work, which a start throws away.
            Ok(())
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "could not be removed");
        }
    }
}

/// The lock that RocksDB takes: a POSIX record lock on the file `LOCK`.
fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join("LOCK");
    let open = File::options().read(true).write(true).open(&path);
    let file = open.with_context(|| format!("opening {}", path.display()))?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::AGAIN | Errno::ACCESS) => {
            bail!("a server is running on {}; stop it first, or ask it: GET /api/v1/tiers has the same", dir.display())
        }
        Err(error) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_leaves_its_original_alone() {
        let original = tempfile::tempdir().expect("a directory");
        for (name, text) in [("CURRENT", "MANIFEST-1"), ("LOCK", ""), ("000007.sst", "table"), ("000008.log", "log")] {
            fs::write(original.path().join(name), text).expect("written");
        }
        let shadow = Shadow::of(original.path()).expect("stopped");
        let read = |name: &str| fs::read_to_string(shadow.path().join(name)).expect("is there");
        assert_eq!((read("000007.sst").as_str(), read("000008.log").as_str()), ("table", "log"));
        fs::write(shadow.path().join("000008.log"), "changed").expect("written");
        fs::remove_file(shadow.path().join("000007.sst")).expect("removed");
        let dir = shadow.path().to_owned();
        drop(shadow);
        assert!(!dir.exists());
        assert_eq!(fs::read_to_string(original.path().join("000008.log")).expect("is there"), "log");
        assert!(original.path().join("000007.sst").exists());
    }

    #[test]
    fn a_directory_without_data_is_refused() {
        let empty = tempfile::tempdir().expect("a directory");
        assert!(Shadow::of(empty.path()).is_err());
    }
}
