//! Which rules for the intake are in force, and where they are kept.
//!
//! `controls:` of the configuration ─┐
//!                                   ├─▶ [`ControlsDesk`] ─▶ [`ingest::Controls`]
//! `PUT`, `DELETE /api/v1/controls` ─┘ ⇅ `<data_dir>/controls.json`
//!
//! What was put wins over the configuration while its file exists, over restarts too: it is on the disk before it is in
//! force. A file that cannot be read refuses the start, since what it keeps out must not come in for want of it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ingest::Controls;
use ingest::controls::{RuleStatus, Rules};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::config::controls::{RuleSpec, rules};

/// The file in the data directory.
const FILE_NAME: &str = "controls.json";
/// The version of its shape.
const VERSION: u32 = 1;

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    controls: Vec<RuleSpec>,
}

/// Who said what is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Config,
    /// `PUT /api/v1/controls`.
    Api,
}

/// What is in force, and what else is known.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) source: Source,
    pub(crate) specs: Vec<RuleSpec>,
    /// What came of each rule.
    pub(crate) status: Vec<RuleStatus>,
    /// What the configuration says.
    pub(crate) config: Vec<RuleSpec>,
}

#[derive(Debug)]
struct State {
    config: Vec<RuleSpec>,
    /// The content of the file, if there is one.
    put: Option<Vec<RuleSpec>>,
}

impl State {
    fn in_force(&self) -> (Source, &[RuleSpec]) {
        match &self.put {
            Some(specs) => (Source::Api, specs),
            None => (Source::Config, &self.config),
        }
    }
}

/// Changes rules, one change at a time. Blocking where it writes.
#[derive(Debug)]
pub(crate) struct ControlsDesk {
    controls: Controls,
    data_dir: PathBuf,
    state: Mutex<State>,
}

impl ControlsDesk {
    /// Reads what was put, if anything was, and puts the right rules in force.
    pub(crate) fn open(data_dir: &Path, config: Vec<RuleSpec>, controls: Controls) -> anyhow::Result<Self> {
        let put = read(&data_dir.join(FILE_NAME))?;
        let state = State { config, put };
        let (source, specs) = state.in_force();
        controls.set(checked(specs)?);
        tracing::info!(?source, rules = specs.len(), "rules for the intake");
        Ok(Self { controls, data_dir: data_dir.to_owned(), state: Mutex::new(state) })
    }

    /// The handle for whoever takes points.
    pub(crate) fn controls(&self) -> &Controls {
        &self.controls
    }

    pub(crate) fn standing(&self) -> Standing {
        let state = self.state.lock();
        self.standing_of(&state)
    }

    fn standing_of(&self, state: &State) -> Standing {
        let (source, specs) = state.in_force();
        Standing { source, specs: specs.to_vec(), status: self.controls.status(), config: state.config.clone() }
    }

    /// Keeps rules, then puts them in force; `rules` are what `specs` say.
    pub(crate) fn put(&self, specs: Vec<RuleSpec>, rules: Rules) -> io::Result<Standing> {
        let mut state = self.state.lock();
        write(&self.data_dir, &Document { version: VERSION, controls: specs.clone() })?;
        tracing::info!(rules = rules.len(), "rules for the intake were put");
        state.put = Some(specs);
        self.controls.set(rules);
        Ok(self.standing_of(&state))
    }

    /// Goes back to what the configuration says.
    pub(crate) fn clear(&self) -> anyhow::Result<Standing> {
        let mut state = self.state.lock();
        let rules = checked(&state.config)?;
        remove(&self.data_dir)?;
        tracing::info!(rules = rules.len(), "rules for the intake are those of the configuration again");
        state.put = None;
        self.controls.set(rules);
        Ok(self.standing_of(&state))
    }

    /// Takes what the configuration says now, which is in force unless others were put.
    pub(crate) fn reload(&self, config: Vec<RuleSpec>) -> anyhow::Result<()> {
        let rules = checked(&config)?;
        let mut state = self.state.lock();
        if state.config == config {
            return Ok(());
        }
        state.config = config;
        match state.put {
            None => self.controls.set(rules),
            Some(_) => tracing::warn!(
                "controls of the configuration have changed, but those that were put stay in force: DELETE \
                 /api/v1/controls goes back to the configuration"
            ),
        }
        Ok(())
    }
}

fn checked(specs: &[RuleSpec]) -> anyhow::Result<Rules> {
    match rules(specs) {
        Ok(rules) => Ok(rules),
        Err(faults) => bail!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
}

fn read(file: &Path) -> anyhow::Result<Option<Vec<RuleSpec>>> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    let parse = || {
        let document: Document = serde_json::from_slice(&bytes)?;
        if document.version != VERSION {
            bail!("version {} is not known here", document.version);
        }
        checked(&document.controls)?;
        Ok(document.controls)
    };
    let advice = || {
        format!(
            "{} cannot be used: mend it, or remove it to have the rules of the configuration, and start again",
            file.display()
        )
    };
    parse().with_context(advice).map(Some)
}

/// Replaces the file: the old or the new content is there whenever the power goes.
fn write(data_dir: &Path, document: &Document) -> io::Result<()> {
    let (file, partial) = (data_dir.join(FILE_NAME), data_dir.join(format!("{FILE_NAME}.partial")));
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    let mut out = File::create(&partial)?;
    out.write_all(&text)?;
    out.sync_all()?;
    std::fs::rename(&partial, &file)?;
    File::open(data_dir)?.sync_all()
}

fn remove(data_dir: &Path) -> io::Result<()> {
    match std::fs::remove_file(data_dir.join(FILE_NAME)) {
        Ok(()) => File::open(data_dir)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::config::controls::from_json;

    fn specs(json: &str) -> Vec<RuleSpec> {
        from_json(json.as_bytes()).expect("valid")
    }

    fn drop_of(metric: &str) -> Vec<RuleSpec> {
        specs(&format!(r#"[{{"name":"no-{metric}","match":"{metric}","action":"drop"}}]"#))
    }

    fn open(dir: &TempDir, config: Vec<RuleSpec>) -> anyhow::Result<ControlsDesk> {
        ControlsDesk::open(dir.path(), config, Controls::default())
    }

    fn in_force(desk: &ControlsDesk) -> (Source, Vec<String>) {
        let standing = desk.standing();
        let names = standing.status.iter().map(|status| status.rule.name().to_owned()).collect();
        assert_eq!(standing.specs.len(), standing.status.len());
        (standing.source, names)
    }

    fn put(desk: &ControlsDesk, specs: Vec<RuleSpec>) {
        let rules = rules(&specs).expect("valid");
        desk.put(specs, rules).expect("written");
    }

    #[test]
    fn what_was_put_wins_over_the_configuration_until_it_is_cleared() {
        let dir = TempDir::new().expect("a directory");
        let desk = open(&dir, drop_of("a")).expect("opened");
        assert_eq!(in_force(&desk), (Source::Config, vec!["no-a".to_owned()]));
        put(&desk, drop_of("b"));
        assert_eq!(in_force(&desk), (Source::Api, vec!["no-b".to_owned()]));

        desk.reload(drop_of("c")).expect("valid");
        assert_eq!(in_force(&desk), (Source::Api, vec!["no-b".to_owned()]));
        let again = open(&dir, drop_of("c")).expect("opened");
        assert_eq!(in_force(&again), (Source::Api, vec!["no-b".to_owned()]), "over a restart");
        again.clear().expect("removed");
        assert_eq!(in_force(&again), (Source::Config, vec!["no-c".to_owned()]));
        again.clear().expect("nothing to remove");
        again.reload(drop_of("d")).expect("valid");
        assert_eq!(in_force(&again), (Source::Config, vec!["no-d".to_owned()]));
        let left: Vec<_> = std::fs::read_dir(dir.path()).expect("listed").collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn no_rules_that_were_put_are_none_whatever_the_configuration_says() {
        let dir = TempDir::new().expect("a directory");
        put(&open(&dir, drop_of("a")).expect("opened"), Vec::new());
        assert_eq!(in_force(&open(&dir, drop_of("a")).expect("opened")), (Source::Api, Vec::new()));
    }

    #[test]
    fn a_file_that_cannot_be_used_refuses_the_start_and_says_what_to_do() {
        let dir = TempDir::new().expect("a directory");
        let file = dir.path().join(FILE_NAME);
        for (text, what) in [
            ("", "EOF"),
            (r#"{"version":2,"controls":[]}"#, "version 2 is not known here"),
            (r#"{"version":1,"controls":[{"name":"x","match":"up"}]}"#, "rule \"x\": one of action"),
            (r#"{"version":1,"controls":[],"more":1}"#, "unknown field `more`"),
        ] {
            std::fs::write(&file, text).expect("written");
            let error = format!("{:#}", open(&dir, Vec::new()).expect_err(text));
            assert!(error.contains(what) && error.contains("mend it, or remove it"), "{error}");
        }
    }

    #[test]
    fn a_write_that_failed_half_way_changes_nothing() {
        let dir = TempDir::new().expect("a directory");
        let desk = open(&dir, drop_of("a")).expect("opened");
        put(&desk, drop_of("b"));
        // Where the new content would be written first, there is something else.
        std::fs::create_dir(dir.path().join("controls.json.partial")).expect("made");
        let specs = drop_of("c");
        let rules = rules(&specs).expect("valid");
        desk.put(specs, rules).expect_err("not a file");
        assert_eq!(in_force(&desk), (Source::Api, vec!["no-b".to_owned()]));
        assert_eq!(in_force(&open(&dir, Vec::new()).expect("opened")), (Source::Api, vec!["no-b".to_owned()]));
    }

    /// The file of version 1, for ever.
    #[test]
    fn the_file_is_golden() {
        let dir = TempDir::new().expect("a directory");
        put(&open(&dir, Vec::new()).expect("opened"), drop_of("a"));
        let golden = "{\n  \"version\": 1,\n  \"controls\": [\n    {\n      \"name\": \"no-a\",\n      \"match\": \"a\",\n      \
                      \"action\": \"drop\"\n    }\n  ]\n}\n";
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE_NAME)).expect("text"), golden);
    }
}
