//! `thermocline check config FILE…`

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::print;
use crate::cli::{Cli, Command};
use crate::config::{Overrides, environment, from_file};

/// Prints `FILE: OK` or what is wrong, for each file as `serve` would read it here; exit code 1 if any is wrong.
pub(super) fn config(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let overrides = overrides()?;
    let (mut out, mut wrong) = (String::new(), false);
    for file in files {
        match from_file(Some(file), &overrides, environment()) {
            Ok(_) => writeln!(out, "{}: OK", file.display())?,
            Err(error) => {
                wrong = true;
                writeln!(out, "{error}")?;
            }
        }
    }
    print(&out)?;
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What `serve` without flags lays over a file: the `THERMOCLINE_…` variables.
fn overrides() -> anyhow::Result<Overrides> {
    let cli = Cli::try_parse_from(["thermocline", "serve"])?;
    match &cli.command {
        Command::Serve(args) => Ok(args.overrides(&cli.log)),
        _ => unreachable!("asked for above"),
    }
}
