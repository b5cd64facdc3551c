//! The process is killed, by itself and as `kill -9` does it, at every step of append, flush, seal, merge and drop. After
//! each death: nothing acknowledged is lost, nothing is there twice, and no file is left over.
//!
//! The parent starts this test binary again with the name of one test, `dying_process`, and a crash point to die at.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use schemas::points::stale;
use schemas::tier_map::{Form, Owner};
use schemas::{Hour, Resolution, TimestampMs};

use crate::given::{CLASS, FIRST, Told, World, at, hour};

/// Names the directory to a dying process.
const DIRECTORY: &str = "HOT_CRASH_DIRECTORY";
/// The points of every append of the script that was acknowledged are counted here, a byte each.
const ACKNOWLEDGED: &str = "acknowledged";
const SIGKILL: i32 = 9;

/// Where to die, and at which pass.
const POINTS: [(&str, u32); 27] = [
    ("hot.append.written", 1),
    ("hot.append.written", 9),
    ("hot.flush.switched", 1),
    ("hot.flush.synced", 1),
    ("hot.flush.run_written", 1),
    ("hot.flush.run_written", 4),
    ("hot.flush.checkpoint", 1),
    ("hot.flush.checkpoint", 3),
    ("hot.flush.published", 2),
    ("hot.flush.log_dropped", 2),
    ("hot.seal.merged", 1),
    ("hot.seal.written", 1),
    ("hot.seal.synced", 2),
    ("hot.seal.raw_ingested", 1),
    ("hot.seal.raw_ingested", 3),
    ("hot.seal.m1_ingested", 1),
    ("hot.seal.h1_ingested", 1),
    ("hot.seal.h1_ingested", 2),
    ("hot.seal.recorded", 1),
    ("hot.seal.published", 2),
    ("hot.merge.written", 1),
    ("hot.merge.ingested", 1),
    ("hot.merge.recorded", 1),
    ("hot.drop.runs_forgotten", 1),
    ("hot.drop.runs_deleted", 1),
    ("hot.drop.published", 1),
    ("hot.drop.family_dropped", 1),
];

#[derive(Debug)]
enum Step {
    Append(Vec<Told>),
    Flush,
    Seal(u32),
    Merge,
    /// Forgets what is before this hour.
    Expire(u32),
    Drop,
}

/// A day that ends, hours that are sealed late and again, corrections, and more runs than an hour may have.
fn script() -> Vec<Step> {
    use Step::{Append, Drop, Expire, Flush, Merge, Seal};
    let dense: Vec<Told> =
        (0..7_200).map(|i| (0, i * 500, f64::from(i32::try_from(i * 7_919 % 997).expect("small")) / 100.0)).collect();
    let mut steps = vec![
        Append(dense),
        Append(vec![(1, 0, 1.0), (1, 60_000, 2.0), (2, 5, -0.0), (1, at(25, 0), 1.0)]),
        Seal(0),
        Append(vec![(1, 60_000, 0.5), (3, at(1, 7), 3.0)]),
        Flush,
        Append(vec![(1, 60_000, 0.25), (1, 60_000, stale())]),
        Seal(0),
        Seal(1),
        Drop,
    ];
    for i in 0..9 {
        steps.push(Append(vec![(4, at(26, i % 3), f64::from(i32::try_from(i).expect("small"))), (5, at(25, i), 1.0)]));
        steps.push(Flush);
    }
    steps.extend([Merge, Seal(25), Drop, Append(vec![(4, at(26, 1), -1.0)]), Seal(26), Expire(24), Drop]);
    steps.extend([Append(vec![(6, at(27, 0), 1.0)]), Flush, Seal(27), Drop]);
    steps
}

fn appends() -> Vec<Vec<Told>> {
    script().into_iter().filter_map(|step| if let Step::Append(told) = step { Some(told) } else { None }).collect()
}

/// Plays the script from the beginning, and dies on the way. Nothing to do when no parent asks for it.
#[test]
fn dying_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let mut acknowledged = std::fs::File::create(directory.join(ACKNOWLEDGED)).expect("a file");
    let mut world = World::at(&directory.join("hot"));
    for step in script() {
        match step {
            Step::Append(told) => {
                world.append(&told);
                acknowledged.write_all(b".").expect("counted");
            }
            Step::Flush => world.flush(),
            Step::Seal(n) => {
                world.seal(hour(n));
            }
            Step::Merge => {
                world.store().merge_runs().expect("merges");
            }
            Step::Expire(n) => {
                world.raise(hour(n), hour(n));
                world.model.retain(|(_, at), _| *at >= i64::from(n) * schemas::time::HOUR_MS);
            }
            Step::Drop => {
                world.store().drop_unowned().expect("drops");
            }
        }
    }
}

#[test]
fn nothing_is_lost_and_nothing_left_over_wherever_the_process_dies() {
    assert!(runtime::crash::built_in());
    for (point, pass) in POINTS {
        let directory = tempfile::tempdir().expect("a directory");
        let died = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "crashed::dying_process", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .env("FAILPOINTS", format!("{point}={pass}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("starts");
        assert_eq!(died.signal(), Some(SIGKILL), "{point} was not passed {pass} times: {died}");
        let acknowledged = std::fs::read(directory.path().join(ACKNOWLEDGED)).expect("counted").len();
        survive(&directory.path().join("hot"), acknowledged, &format!("{point}={pass}"));
    }
}

/// Opens what a death left, compares it with what was acknowledged, and goes on to the end.
fn survive(directory: &Path, acknowledged: usize, death: &str) {
    let mut world = World::at(directory);
    let appends = appends();
    for told in &appends[..acknowledged] {
        world.remember(told);
    }
    // Written but not acknowledged: there as a whole, or not at all.
    if let Some(told) = appends.get(acknowledged).filter(|told| there(&world, told)) {
        world.remember(told);
    }
    compare(&world, death);
    for told in &appends {
        world.remember(told);
        world.append(&told.iter().copied().filter(|told| owned(&world, told.1)).collect::<Vec<_>>());
    }
    for n in [0, 1, 25, 26, 27] {
        world.seal(hour(n));
    }
    compare(&world, death);
    world.store().drop_unowned().expect("drops");
    world.reopen();
    compare(&world, death);
    no_orphans(world, death);
}

/// Whether nothing of the hour has expired: thresholds rise one by one.
fn owned(world: &World, at: i64) -> bool {
    let view = world.store().view();
    let hour = Hour::containing(TimestampMs(FIRST.start().0 + at));
    let local = |form, resolution| view.map().owner(CLASS, form, resolution, hour) == Owner::Local;
    Form::ALL.into_iter().all(|form| Resolution::ALL.into_iter().all(|resolution| local(form, resolution)))
}

fn there(world: &World, told: &[Told]) -> bool {
    let &(series, at, value) = told.last().expect("an append has points");
    let hour = Hour::containing(TimestampMs(FIRST.start().0 + at));
    world.knows(series) && world.read_of(series, hour).get(&at) == Some(&value.to_bits())
}

fn compare(world: &World, death: &str) {
    for n in [0, 1, 25, 26, 27] {
        if owned(world, at(i64::from(n), 0)) {
            world.agrees(hour(n)).unwrap_or_else(|difference| panic!("after {death}: {difference}"));
        }
    }
}

/// Every table file in the directory is one that RocksDB lists, and nothing is staged.
fn no_orphans(world: World, death: &str) {
    let staged = std::fs::read_dir(world.dir().join("staging")).expect("the folder").count();
    assert_eq!(staged, 0, "after {death}");
    let inventory = world.store().inventory().expect("readable");
    assert!(inventory.runs.len() <= 1, "after {death}");
    let listed: u64 = inventory.families.iter().map(|family| family.files).sum();
    let directory = world.dir().to_owned();
    // Dropped files may be deleted in the background: closing waits for that.
    drop(world);
    let tables = std::fs::read_dir(directory).expect("the directory").filter(|entry| {
        let entry = entry.as_ref().expect("readable");
        entry.path().extension().is_some_and(|extension| extension == "sst")
    });
    // Small families compact by themselves, so there may be fewer by now; an orphan makes one more.
    assert!(tables.count() as u64 <= listed, "after {death}");
}
