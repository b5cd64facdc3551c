//! The dependency levels of `docs/architecture.md`, compared with what cargo sees.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Which of our crates each crate may use, dev-dependencies aside.
const ALLOWED: &[(&str, &[&str])] = &[
    // No code: one set of dependency features for all (docs/decisions/0004-workspace-hack.md).
    ("thermocline-workspace-hack", &[]),
    ("thermocline-schemas", &[]),
    ("thermocline-runtime", &["workspace-hack"]),
    ("thermocline-ingest", &["schemas", "runtime"]),
    ("thermocline-hot", &["schemas", "runtime"]),
    ("thermocline-cold", &["schemas", "runtime"]),
    ("thermocline-promql", &["schemas", "runtime"]),
    ("thermocline-compactor", &["schemas", "runtime", "hot", "cold"]),
    ("thermocline-query", &["schemas", "runtime", "hot", "cold", "promql"]),
    ("thermocline", &["schemas", "runtime", "ingest", "hot", "cold", "promql", "compactor", "query"]),
    ("thermocline-kit", &["schemas", "runtime"]),
    ("thermocline-promql-tests", &["schemas", "promql"]),
];

/// Crates that exercise everything and that nothing depends on.
const EVERYTHING: &[&str] = &["thermocline-it", "thermocline-benches"];

/// The packages of this workspace, as `cargo metadata` lists them.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs in the workspace");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    metadata["packages"].as_array().expect("packages is a list").clone()
}

fn name_of(value: &Value) -> &str {
    value["name"].as_str().expect("everything in the metadata has a name")
}

#[test]
fn crate_edges_are_those_of_the_architecture() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in packages() {
        let name = name_of(&package);
        if EVERYTHING.contains(&name) {
            continue;
        }
        let Some(edges) = allowed.get(name) else {
            wrong.push(format!("{name} is not in the table of allowed edges"));
            continue;
        };
        let permitted: BTreeSet<String> = edges.iter().map(|edge| format!("thermocline-{edge}")).collect();
        let dependencies = package["dependencies"].as_array().expect("dependencies is a list");
        // A normal dependency has no kind; dev and build dependencies name theirs.
        for dependency in dependencies.iter().filter(|d| d["kind"].is_null()).map(name_of) {
            if dependency.starts_with("thermocline") && !permitted.contains(dependency) {
                wrong.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_of_the_table_exists() {
    let packages = packages();
    let names: BTreeSet<&str> = packages.iter().map(name_of).collect();
    for (name, _) in ALLOWED {
        assert!(names.contains(name), "{name} is in the table but not in the workspace");
    }
}
