//! Where Prometheus' own test files are: in the Go module that `tests/promdiff` pins.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The folder of our Go program.
pub fn promdiff() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../promdiff")
}

/// The module's test files, by name. `None` where there is no Go, unless it must be there (`CI=true`).
pub fn files() -> Result<Option<Vec<PathBuf>>> {
    let Some(module) = folder()? else { return Ok(None) };
    Ok(Some(test_files(&module.join("promql/promqltest/testdata"))?))
}

/// Every `*.test` of a folder, by name.
pub fn test_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("{}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "test") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn folder() -> Result<Option<PathBuf>> {
    if !has_go()? {
        return Ok(None);
    }
    go(&["mod", "download"])?;
    let path = go(&["list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus"])?;
    Ok(Some(PathBuf::from(path.trim())))
}

/// Whether Go is there. An error where it must be, and is not.
pub fn has_go() -> Result<bool> {
    let found = Command::new("go").arg("version").output().is_ok_and(|output| output.status.success());
    ensure!(found || std::env::var("CI").as_deref() != Ok("true"), "go is not installed, and CI=true needs it");
    Ok(found)
}

/// Runs `go` in our Go module; gives what it prints.
pub fn go(args: &[&str]) -> Result<String> {
    let output = Command::new("go").args(args).current_dir(promdiff()).output().context("starting go")?;
    ensure!(output.status.success(), "go {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
