//! Counts verdicts, and holds them against the list of those that are known to be wrong.
//!
//! A skip list has lines `file:line reason`. What it names is run, too: it must fail, or the line is to go.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::language::Script;
use crate::run::{Kind, Verdict, run};
use crate::target::Target;

/// The least share of evaluations that pass, in per cent.
const SHARE_MIN: usize = 95;

/// Reasons by file and line.
#[derive(Debug, Default)]
pub struct SkipList(BTreeMap<(String, usize), String>);

impl SkipList {
    /// Of Prometheus' files, for who does not keep when counters began.
    pub fn known() -> Result<Self> {
        Self::parse(&std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("skip.txt"))?)
    }

    /// Empty lines and those with `#` say nothing.
    pub fn parse(text: &str) -> Result<Self> {
        let mut list = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let parse = || {
                let (place, reason) = line.split_once(' ')?;
                let (file, number) = place.split_once(':')?;
                Some(((file.to_owned(), number.parse().ok()?), reason.trim().to_owned()))
            };
            let (place, reason) = parse().with_context(|| format!("expected `file:line reason`, not {line:?}"))?;
            list.insert(place, reason);
        }
        Ok(Self(list))
    }
}

/// All verdicts of a run.
#[derive(Debug, Default)]
pub struct Report {
    files: Vec<(String, Vec<Verdict>)>,
}

/// How many evaluations ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Report {
    /// Runs files, one after the other.
    pub fn of(files: &[PathBuf], target: &mut dyn Target) -> Result<Self> {
        let mut report = Self::default();
        for path in files {
            let name = path.file_name().context("a file has a name")?.to_string_lossy().into_owned();
            let script = Script::parse(&std::fs::read_to_string(path)?).with_context(|| name.clone())?;
            let verdicts = run(&script, target).with_context(|| name.clone())?;
            report.add(name, verdicts);
        }
        Ok(report)
    }

    pub fn add(&mut self, file: impl Into<String>, verdicts: Vec<Verdict>) {
        self.files.push((file.into(), verdicts));
    }

    /// Counts those that `of` picks, of one file or of all.
    pub fn counts(&self, skip: &SkipList, file: Option<&str>, of: impl Fn(Kind) -> bool) -> Counts {
        let mut counts = Counts::default();
        for (name, verdict) in self.verdicts() {
            if file.is_some_and(|file| file != name) || !of(verdict.kind) {
                continue;
            }
            match verdict.failure {
                None => counts.passed += 1,
                Some(_) if skip.0.contains_key(&(name.to_owned(), verdict.line)) => counts.skipped += 1,
                Some(_) => counts.failed += 1,
            }
        }
        counts
    }

    fn verdicts(&self) -> impl Iterator<Item = (&str, &Verdict)> {
        self.files.iter().flat_map(|(name, verdicts)| verdicts.iter().map(move |verdict| (name.as_str(), verdict)))
    }

    /// A line a file, and one for all.
    pub fn summary(&self, skip: &SkipList) -> String {
        let mut out = String::new();
        for (name, _) in &self.files {
            writeln!(out, "{name:28} {}", self.counts(skip, Some(name), |_| true)).expect("writing to a string");
        }
        for (name, kind) in [("floats", Kind::Floats), ("histograms", Kind::Histograms), ("starts", Kind::Starts)] {
            writeln!(out, "of {name:25} {}", self.counts(skip, None, |of| of == kind)).expect("writing to a string");
        }
        writeln!(out, "{}", self.counts(skip, None, |_| true)).expect("writing to a string");
        out
    }

    /// Every evaluation that is wrong, by file.
    pub fn failures(&self) -> String {
        let mut out = String::new();
        for (name, verdicts) in &self.files {
            let failed: Vec<_> =
                verdicts.iter().filter_map(|v| v.failure.as_ref().map(|failure| (v, failure))).collect();
            if failed.is_empty() {
                continue;
            }
            writeln!(out, "\n## {name} ({} of {})", failed.len(), verdicts.len()).expect("writing to a string");
            for (verdict, failure) in failed {
                let failure: String = failure.chars().take(600).collect();
                writeln!(out, "* {name}:{} `{}`\n  {failure}", verdict.line, verdict.text)
                    .expect("writing to a string");
            }
        }
        out
    }

    /// What is wrong with the run: empty where nothing is.
    pub fn complaints(&self, skip: &SkipList) -> Vec<String> {
        let mut complaints = Vec::new();
        for (name, verdict) in self.verdicts() {
            let skipped = skip.0.get(&(name.to_owned(), verdict.line));
            match (&verdict.failure, skipped) {
                (Some(failure), None) => {
                    complaints.push(format!("{name}:{} `{}`: {failure}", verdict.line, verdict.text))
                }
                (None, Some(reason)) => {
                    complaints.push(format!("{name}:{} passes, though it is skipped: {reason}", verdict.line));
                }
                (None, None) | (Some(_), Some(_)) => {}
            }
        }
        for (file, line) in skip.0.keys() {
            if !self.verdicts().any(|(name, verdict)| name == file && verdict.line == *line) {
                complaints.push(format!("{file}:{line} is skipped, and is no evaluation"));
            }
        }
        let floats = self.counts(skip, None, |kind| kind == Kind::Floats);
        if floats.skipped > 0 {
            complaints.push(format!("evaluations of floats are skipped: {floats}"));
        }
        let all = self.counts(skip, None, |_| true);
        if all.passed * 100 < SHARE_MIN * (all.passed + all.failed + all.skipped) {
            complaints.push(format!("less than {SHARE_MIN} % pass: {all}"));
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failures: &[(usize, Kind, bool)]) -> Report {
        let verdicts = failures.iter().map(|&(line, kind, fails)| Verdict {
            line,
            text: "a".to_owned(),
            kind,
            failure: fails.then(|| "wrong".to_owned()),
        });
        let mut report = Report::default();
        report.add("a.test", verdicts.collect());
        report
    }

    #[test]
    fn what_is_skipped_must_fail_and_be_there() {
        let skip = SkipList::parse("# none\na.test:3 not done\n").expect("a list");
        let mut lines: Vec<_> = (10..40).map(|line| (line, Kind::Floats, false)).collect();
        lines.push((3, Kind::Histograms, true));
        assert!(report(&lines).complaints(&skip).is_empty());
        assert_eq!(report(&lines).counts(&skip, None, |_| true).to_string(), "30 passed, 0 failed, 1 skipped");
        lines[30].2 = false;
        assert!(report(&lines).complaints(&skip)[0].contains("passes, though it is skipped: not done"));
        lines.pop();
        assert!(report(&lines).complaints(&skip)[0].contains("is no evaluation"));
    }

    #[test]
    fn only_a_few_may_be_skipped_and_none_of_floats() {
        let skip = SkipList::parse("a.test:1 why\na.test:2 why").expect("a list");
        let mut lines: Vec<_> = (10..100).map(|line| (line, Kind::Floats, false)).collect();
        lines.extend([(1, Kind::Histograms, true), (2, Kind::Starts, true)]);
        assert!(report(&lines).complaints(&skip).is_empty());
        lines[90].1 = Kind::Floats;
        assert!(report(&lines).complaints(&skip)[0].contains("evaluations of floats are skipped"));
        let skip = SkipList::parse("a.test:1 why").expect("a list");
        let few = report(&[(1, Kind::Histograms, true), (2, Kind::Floats, false)]);
        assert!(few.complaints(&skip)[0].contains("less than 95 %"));
        assert!(SkipList::parse("a.test 1").is_err());
    }
}
