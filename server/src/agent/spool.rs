//! Requests on disk, oldest first, bounded in bytes.
//!
//! [`Spool::append`] ─▶ `00000000000000000042.ndjson.zst` ─▶ [`Spool::oldest`] ─▶ sent ─▶ [`Spool::remove`]
//!
//! One file a request. A file appears under its name only when it is whole (written aside, then renamed), so a crash
//! leaves nothing half. Numbers grow for ever and say the order. A lock on the directory keeps two agents apart.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use parking_lot::Mutex;

const SUFFIX: &str = ".ndjson.zst";
const ASIDE: &str = "writing.tmp";
const LOCK: &str = "lock";

/// The requests of one directory.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    bytes_max: u64,
    state: Mutex<State>,
    /// Held for as long as the spool is open.
    _lock: File,
}

#[derive(Debug)]
struct State {
    /// Bytes of each waiting request, by number.
    files: BTreeMap<u64, u64>,
    bytes: u64,
    next: u64,
}

/// A waiting request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) number: u64,
    /// Compressed with zstd.
    pub(super) body: Vec<u8>,
}

impl Spool {
    /// Opens a directory, or creates it, and finds what waits there from before.
    pub(super) fn open(dir: &Path, bytes_max: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("creating the spool {}", dir.display()))?;
        let lock = File::create(dir.join(LOCK)).with_context(|| format!("locking the spool {}", dir.display()))?;
        if lock.try_lock().is_err() {
            bail!("the spool {} is in use: is another agent running? Give each its own --spool", dir.display());
        }
        let mut state = State { files: BTreeMap::new(), bytes: 0, next: 0 };
        for entry in fs::read_dir(dir).with_context(|| format!("reading the spool {}", dir.display()))? {
            let entry = entry?;
            if let Some(number) = entry.file_name().to_str().and_then(number_of) {
                state.insert(number, entry.metadata()?.len());
            }
        }
        let spool = Self { dir: dir.to_owned(), bytes_max, state: Mutex::new(state), _lock: lock };
        spool.drop_oldest(&mut spool.state.lock())?;
        Ok(spool)
    }

    /// Adds a request; drops the oldest ones where the spool would grow over its bound.
    pub(super) fn append(&self, body: &[u8]) -> anyhow::Result<()> {
        let packed = zstd::encode_all(body, 3)?;
        let mut state = self.state.lock();
        let number = state.next;
        let aside = self.dir.join(ASIDE);
        fs::write(&aside, &packed)?;
        fs::rename(&aside, self.path(number))?;
        state.insert(number, u64::try_from(packed.len()).unwrap_or(u64::MAX));
        self.drop_oldest(&mut state)
    }

    /// The request that has waited longest.
    pub(super) fn oldest(&self) -> anyhow::Result<Option<Waiting>> {
        loop {
            let Some(number) = self.state.lock().files.keys().next().copied() else { return Ok(None) };
            match fs::read(self.path(number)) {
                Ok(body) => return Ok(Some(Waiting { number, body })),
                // Dropped for room in the meantime, or deleted by hand.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.state.lock().forget(number);
                }
                Err(error) => return Err(error).with_context(|| format!("reading {}", self.path(number).display())),
            }
        }
    }

    /// Removes a request that was sent, or that nobody will ever take.
    pub(super) fn remove(&self, number: u64) -> anyhow::Result<()> {
        self.state.lock().forget(number);
        remove_file(&self.path(number))
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.state.lock().bytes
    }

    fn drop_oldest(&self, state: &mut State) -> anyhow::Result<()> {
        let (mut requests, mut bytes) = (0_u64, 0);
        // The newest stays even if it alone is over the bound.
        while state.bytes > self.bytes_max && state.files.len() > 1 {
            let Some((&number, &len)) = state.files.first_key_value() else { break };
            state.forget(number);
            remove_file(&self.path(number))?;
            requests += 1;
            bytes += len;
        }
        if requests > 0 {
            let bytes_max = self.bytes_max;
            tracing::warn!(requests, bytes, bytes_max, "the spool is full: the oldest points are dropped");
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}{SUFFIX}"))
    }
}

impl State {
    fn insert(&mut self, number: u64, bytes: u64) {
        self.files.insert(number, bytes);
        self.bytes += bytes;
        self.next = self.next.max(number + 1);
    }

    fn forget(&mut self, number: u64) {
        self.bytes -= self.files.remove(&number).unwrap_or(0);
    }
}

/// The number in a file name, if it is one of ours.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    // `u64::MAX` could not be followed by another.
    (digits.len() == 20).then(|| digits.parse().ok()).flatten().filter(|number| *number < u64::MAX)
}

fn remove_file(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that is gone when the test ends.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("thermocline-spool-{name}-{}", std::process::id()));
            drop(fs::remove_dir_all(&dir));
            Self(dir)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    /// Takes the oldest out, as text.
    fn take(spool: &Spool) -> Option<String> {
        let waiting = spool.oldest().expect("readable")?;
        spool.remove(waiting.number).expect("removable");
        Some(String::from_utf8(zstd::decode_all(&*waiting.body).expect("zstd")).expect("text"))
    }

    /// Text that does not compress to nothing.
    fn noise(seed: u64) -> Vec<u8> {
        let mut state = seed + 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33).to_le_bytes()[0]
        };
        (0..1_000).map(|_| next()).collect()
    }

    #[test]
    fn requests_come_out_oldest_first() {
        let dir = Dir::new("order");
        let spool = Spool::open(&dir.0, 1 << 20).expect("opens");
        for body in ["one", "two", "three"] {
            spool.append(body.as_bytes()).expect("writable");
        }
        assert_eq!(
            [take(&spool), take(&spool), take(&spool), take(&spool)].map(Option::unwrap_or_default),
            ["one", "two", "three", ""]
        );
        assert_eq!(spool.waiting(), 0);
    }

    #[test]
    fn requests_survive_a_restart_and_new_ones_come_after_them() {
        let dir = Dir::new("restart");
        Spool::open(&dir.0, 1 << 20).expect("opens").append(b"before").expect("writable");
        fs::write(dir.0.join(ASIDE), b"half").expect("writable");
        fs::write(dir.0.join("notes.txt"), b"not ours").expect("writable");
        let spool = Spool::open(&dir.0, 1 << 20).expect("opens");
        assert!(spool.waiting() > 0);
        spool.append(b"after").expect("writable");
        assert_eq!(
            (take(&spool).as_deref(), take(&spool).as_deref(), take(&spool)),
            (Some("before"), Some("after"), None)
        );
    }

    #[test]
    fn a_full_spool_drops_its_oldest() {
        let dir = Dir::new("full");
        let spool = Spool::open(&dir.0, 3_500).expect("opens");
        for seed in 0..10 {
            spool.append(&noise(seed)).expect("writable");
        }
        assert!(spool.waiting() <= 3_500);
        let first = spool.oldest().expect("readable").expect("some wait");
        assert_eq!(zstd::decode_all(&*first.body).expect("zstd"), noise(7));
        assert_eq!(fs::read_dir(&dir.0).expect("readable").count(), 4, "three requests and the lock");
    }

    #[test]
    fn two_agents_cannot_share_a_spool() {
        let dir = Dir::new("lock");
        let spool = Spool::open(&dir.0, 1 << 20).expect("opens");
        assert!(Spool::open(&dir.0, 1 << 20).expect_err("locked").to_string().contains("another agent"));
        drop(spool);
        Spool::open(&dir.0, 1 << 20).expect("opens again");
    }

    #[test]
    fn a_file_deleted_by_hand_is_passed_over() {
        let dir = Dir::new("deleted");
        let spool = Spool::open(&dir.0, 1 << 20).expect("opens");
        spool.append(b"one").expect("writable");
        spool.append(b"two").expect("writable");
        fs::remove_file(spool.path(0)).expect("there");
        assert_eq!(take(&spool).as_deref(), Some("two"));
    }
}
