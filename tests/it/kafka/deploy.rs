//! `deploy/compose.yaml` and what it mounts are right, as far as that can be said without containers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(repository().join(path)).with_context(|| path.to_owned())
}

fn compose() -> anyhow::Result<Value> {
    serde_saphyr::from_str(&read("deploy/compose.yaml")?).context("compose.yaml is YAML")
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn every_service_finds_what_it_names() -> anyhow::Result<()> {
    let compose = compose()?;
    let services = compose["services"].as_object().context("services")?;
    let names: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    ensure!(names.is_superset(&BTreeSet::from(["grafana", "kafka", "s3", "thermocline"])), "{names:?}");
    let declared = compose["volumes"].as_object().context("volumes")?;
    for (name, service) in services {
        ensure!(service["image"].is_string() != service["build"].is_object(), "{name}: an image or a build");
        for other in service["depends_on"].as_object().into_iter().flatten() {
            ensure!(names.contains(other.0.as_str()), "{name} depends on {}, which is no service", other.0);
        }
        for volume in texts(&service["volumes"]) {
            let from = volume.split(':').next().unwrap_or_default();
            let is_there = if from.starts_with('.') {
                repository().join("deploy").join(from).exists()
            } else {
                declared.contains_key(from)
            };
            ensure!(is_there, "{name} mounts {from}, which is not there");
        }
        for port in texts(&service["ports"]) {
            ensure!(port.starts_with("127.0.0.1:"), "{name} opens {port} to the network");
        }
    }
    let build = &services["thermocline"]["build"];
    ensure!(*build == json!({ "context": "..", "dockerfile": "deploy/Dockerfile" }), "{build}");
    ensure!(repository().join("deploy/Dockerfile").is_file(), "the Dockerfile is there");
    Ok(())
}

#[test]
fn its_brokers_and_its_store_are_those_that_the_tests_run() -> anyhow::Result<()> {
    let compose = compose()?;
    let pom = read("tests/services/pom.xml")?;
    let kafka = pom.split("<kafka.version>").nth(1).and_then(|rest| rest.split('<').next()).context("a version")?;
    let script = read("tests/services/s3.sh")?;
    let s3 = script.lines().find_map(|line| line.strip_prefix("VERSION=")).context("a version")?;
    ensure!(compose["services"]["kafka"]["image"] == format!("apache/kafka:{kafka}"));
    ensure!(compose["services"]["s3"]["image"] == format!("versity/versitygw:{s3}"));
    Ok(())
}

#[tokio::test]
async fn the_configuration_that_it_mounts_is_one() -> anyhow::Result<()> {
    let mut check = Command::new(kit::process::program()?);
    check.args(["check", "config"]).arg(repository().join("deploy/thermocline.yml"));
    let output = check.env("S3_ACCESS_KEY", "a").env("S3_SECRET_KEY", "b").output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test]
async fn compose_itself_takes_it_where_it_is_installed() -> anyhow::Result<()> {
    let installed = Command::new("docker").args(["compose", "version"]).output().await;
    if !installed.is_ok_and(|output| output.status.success()) {
        // The tests above read the file in any case.
        return Ok(());
    }
    let file = repository().join("deploy/compose.yaml");
    let output = Command::new("docker").args(["compose", "-f"]).arg(file).args(["config", "--quiet"]).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
