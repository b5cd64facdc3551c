//! `thermocline check config FILE…`

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use super::print;
use crate::config::{Overrides, environment, from_file};

/// Prints `FILE: OK` or what is wrong, for each file; exit code 1 if any is wrong.
pub(super) fn config(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let (mut out, mut wrong) = (String::new(), false);
    for file in files {
        match from_file(Some(file), &Overrides::default(), environment()) {
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
