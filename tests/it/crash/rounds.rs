//! How the server dies: at each crash point, and at random moments of its work and of its start.
//!
//! The crash points are those of the source: a test compares.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::load::Jobs;

/// Chances that a crash point gets to be passed.
pub(super) const TRIES_MAX: u32 = 4;
/// Kills at random moments.
const RANDOM_KILLS: usize = 40;
/// Kills while the server starts: it may not even listen yet.
const STARTING_KILLS: usize = 8;
/// How long raw stays local in the first round that moves hours to Delta: just less than makes a whole day old.
const KEEP_HOURS: u32 = 24;

/// When the server dies.
#[derive(Debug, Clone)]
pub(super) enum Kill {
    /// A while after it began to start.
    Starting { after: Duration },
    /// A while after the load began.
    Loaded { after: Duration },
    /// At this pass of a crash point.
    Point { name: String, pass: u32 },
}

impl Kill {
    /// As `FAILPOINTS` has it.
    pub(super) fn point(&self) -> Option<String> {
        match self {
            Self::Point { name, pass } => Some(format!("{name}={pass}")),
            Self::Starting { .. } | Self::Loaded { .. } => None,
        }
    }

    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Point { name, .. } => Some(name.clone()),
            Self::Starting { .. } | Self::Loaded { .. } => None,
        }
    }
}

/// One life of the server.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) kill: Kill,
    pub(super) jobs: Jobs,
    pub(super) tries: u32,
}

/// Steps of one kind of work, the jobs that come to them, and the passes at which they kill.
struct Steps {
    jobs: &'static [&'static str],
    passes: &'static [u32],
    points: &'static [&'static str],
}

const STEPS: [Steps; 7] = [
    // In the log, and neither visible nor acknowledged yet.
    Steps { jobs: &[], passes: &[1, 40], points: &["hot.append.written"] },
    Steps {
        jobs: &["flush"],
        passes: &[1, 3],
        points: &[
            "hot.flush.switched",
            "hot.flush.synced",
            "hot.flush.run_written",
            "hot.flush.checkpoint",
            "hot.flush.published",
            "hot.flush.log_dropped",
        ],
    },
    // Nine runs that hold an hour are merged; nothing may seal them first.
    Steps {
        jobs: &["flush"],
        passes: &[1],
        points: &["hot.merge.written", "hot.merge.ingested", "hot.merge.recorded"],
    },
    Steps {
        jobs: &["seal"],
        passes: &[1, 4],
        points: &[
            "hot.seal.merged",
            "hot.seal.written",
            "hot.seal.synced",
            "hot.seal.raw_ingested",
            "hot.seal.h1_ingested",
            "hot.seal.recorded",
            "hot.seal.published",
        ],
    },
    Steps { jobs: &["seal"], passes: &[1], points: &["hot.seal.m1_ingested"] },
    Steps {
        jobs: &["seal", "archive"],
        passes: &[1, 3],
        points: &[
            "cold.raw.uploaded",
            "cold.raw.committed",
            "cold.rollup_1m.uploaded",
            "cold.rollup_1m.committed",
            "cold.rollup_1h.uploaded",
            "cold.rollup_1h.committed",
            "compactor.archive.committed",
            "compactor.archive.recorded",
        ],
    },
    // Only series that are new, or new to a day, are told to the table of series.
    Steps { jobs: &["seal", "archive"], passes: &[1], points: &["cold.series.uploaded", "cold.series.committed"] },
];

/// Each needs hours that have not moved yet, so each keeps less than the one before.
const DROPS: [&str; 7] = [
    "hot.drop.family_dropped",
    "hot.drop.recorded",
    "hot.drop.published",
    "compactor.drop.recorded",
    "hot.drop.runs_forgotten",
    "hot.drop.runs_deleted",
    "compactor.drop.deleted",
];

/// A point that no code path comes to: the families that it is for are not written by seals.
const UNREACHABLE: [&str; 1] = ["hot.seal.ingested"];

/// All rounds, in an order of chance; drops keep theirs.
pub(super) fn all(random: &mut StdRng) -> VecDeque<Round> {
    let mut rounds = Vec::new();
    for steps in STEPS {
        for (point, pass) in steps.points.iter().flat_map(|point| steps.passes.iter().map(move |pass| (point, *pass))) {
            let kill = Kill::Point { name: (*point).to_owned(), pass };
            rounds.push(Round { kill, jobs: Jobs { of: steps.jobs, ..Jobs::KEEP_ALL }, tries: 0 });
        }
    }
    for _ in 0..RANDOM_KILLS {
        let after = Duration::from_millis(random.random_range(30..1_200));
        rounds.push(Round { kill: Kill::Loaded { after }, jobs: some_jobs(random), tries: 0 });
    }
    for _ in 0..STARTING_KILLS {
        let after = Duration::from_millis(random.random_range(5..300));
        rounds.push(Round { kill: Kill::Starting { after }, jobs: Jobs::KEEP_ALL, tries: 0 });
    }
    rounds.shuffle(random);
    // New series and whole minutes are where the run begins; what has moved to Delta stays there.
    let mut rounds = VecDeque::from(rounds);
    let distance = rounds.len() / DROPS.len();
    for (i, name) in (0_u32..).zip(DROPS) {
        let kill = Kill::Point { name: name.to_owned(), pass: 1 };
        let jobs = Jobs { of: &["seal", "archive", "retention"], keep_hours: KEEP_HOURS - 2 * i };
        let at = (usize::try_from(i).expect("small") + 1) * distance;
        rounds.insert(at.min(rounds.len()), Round { kill, jobs, tries: 0 });
    }
    rounds
}

fn some_jobs(random: &mut StdRng) -> Jobs {
    const CHOICES: [&[&str]; 5] =
        [&[], &["flush"], &["seal"], &["seal", "archive"], &["flush", "flush", "seal", "archive"]];
    Jobs { of: CHOICES.choose(random).expect("there are some"), ..Jobs::KEEP_ALL }
}

/// The names of all crash points that the source passes.
pub(super) fn crash_points_of_the_source() -> anyhow::Result<BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut names = BTreeSet::new();
    for krate in ["hot", "cold", "compactor"] {
        for file in rust_files(&root.join(krate).join("src"))? {
            let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            // Every other piece between quotes is a literal; that some are not does no harm to names of this form.
            names.extend(text.split('"').filter(|literal| is_crash_point(literal, krate)).map(str::to_owned));
        }
    }
    names.retain(|name| !UNREACHABLE.contains(&name.as_str()));
    Ok(names)
}

fn is_crash_point(literal: &str, krate: &str) -> bool {
    let parts: Vec<&str> = literal.split('.').collect();
    let word = |part: &&str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    parts.len() == 3 && parts[0] == krate && parts.iter().all(word)
}

fn rust_files(dir: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}
