//! What operators meet: health, self-metrics, stopping, and the commands beside `serve`.

use std::process::Output;

use anyhow::{Context as _, ensure};
use kit::Server;
use serde_json::Value;
use tokio::process::Command;

use crate::api::{Api, HOUR_MS, hour_of, now_ms};

/// The program under test, as the kit runs it.
fn program(server: &Server) -> anyhow::Result<std::path::PathBuf> {
    let pid = server.pid().context("the server runs")?;
    std::fs::read_link(format!("/proc/{pid}/exe")).context("finding the program")
}

async fn run(program: &std::path::Path, args: &[&str]) -> anyhow::Result<Output> {
    Command::new(program).args(args).output().await.with_context(|| format!("running {args:?}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_running_server_tells_of_itself() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let api = Api::of(&server);
    api.works(now_ms()).await?;
    for path in ["/-/healthy", "/-/ready", "/livez", "/readyz", "/health", "/health/live", "/health/ready", "/"] {
        ensure!(api.get(path, &[]).send().await?.status() == 200, "{path}");
    }
    let plain = api.get("/metrics", &[]).send().await?.text().await?;
    for metric in ["thermocline_build_info", "process_resident_memory_bytes", "thermocline_"] {
        ensure!(plain.contains(metric), "/metrics lacks {metric}");
    }
    let samples = plain.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in samples {
        let value = line.rsplit(' ').next().context("a sample has a value")?;
        ensure!(value.parse::<f64>().is_ok(), "not a sample: {line}");
    }
    let open = api.get("/metrics", &[]).header("accept", "application/openmetrics-text").send().await?;
    ensure!(open.text().await?.ends_with("# EOF\n"), "OpenMetrics ends with its mark");

    let document = api.get_json("/api/v1/openapi.json", &[]).await?;
    let paths = document["paths"].as_object().context("an OpenAPI document has paths")?;
    for path in ["/api/metrics", "/api/metrics/{server_id}", "/api/v1/sql", "/api/v1/write", "/write", "/api/v1/tiers"]
    {
        ensure!(paths.contains_key(path), "the OpenAPI document lacks {path}");
    }
    let page = api.get("/api/docs/", &[]).send().await?;
    ensure!(page.status() == 200 && page.text().await?.contains("swagger"), "the page to browse it");
    Ok(())
}

#[tokio::test]
async fn sigterm_ends_a_server_cleanly_with_everything_on_disk() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let now = now_ms();
    Api::of(&server).push_points("a", "m", &[(now - HOUR_MS, 1.0), (now, 2.0)]).await?;
    Api::of(&server).admin("seal").await?;
    let version = Api::of(&server).get_json("/api/v1/tiers", &[]).await?["version"].as_u64().context("a version")?;
    ensure!(version > 1, "the seal changed the tier map");
    let program = program(&server)?;
    let dir = server.data_dir().display().to_string();

    // Another process keeps away from what a running one holds.
    let refused = run(&program, &["inspect", &dir]).await?;
    ensure!(refused.status.code() == Some(1), "{}", text(&refused.stdout));
    ensure!(text(&refused.stderr).contains("running"), "{}", text(&refused.stderr));

    let status = server.terminate().await?;
    ensure!(status.success(), "{status}");
    let inspected = run(&program, &["inspect", &dir, "--json"]).await?;
    ensure!(inspected.status.success(), "{}", text(&inspected.stderr));
    let found: Value = serde_json::from_slice(&inspected.stdout).context("inspect --json prints JSON")?;
    ensure!(found["local"]["series"] == 1 && found["local"]["head_points"] == 0, "{}", found["local"]);
    ensure!(found["tiers"]["version"].as_u64() >= Some(version), "the version goes on: {}", found["tiers"]);
    ensure!(run(&program, &["inspect", &dir]).await?.status.success(), "as text");

    server.restart().await?;
    let points = Api::of(&server).raw("a", "m", now - HOUR_MS, now + 1).await?;
    ensure!(points == [(now - HOUR_MS, 1.0), (now, 2.0)], "{points:?}");
    Ok(())
}

#[tokio::test]
async fn an_older_copy_of_a_data_directory_is_refused() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let old = hour_of(now_ms()) - 5 * HOUR_MS;
    Api::of(&server).push_points("a", "m", &[(old, 1.0)]).await?;
    Api::of(&server).seal_and_archive().await?;
    server.terminate().await?;
    let (hot, copy, newest) =
        (server.data_dir().join("hot"), server.home().join("backup"), server.home().join("newest"));
    let copied = run("cp".as_ref(), &["-r", path(&hot)?, path(&copy)?]).await?;
    ensure!(copied.status.success(), "{}", text(&copied.stderr));
    server.restart().await?;
    Api::of(&server).push_points("a", "m", &[(old + HOUR_MS, 2.0)]).await?;
    Api::of(&server).seal_and_archive().await?;
    server.terminate().await?;

    std::fs::rename(&hot, &newest)?;
    std::fs::rename(&copy, &hot)?;
    let refused = server.restart().await.expect_err("its epochs are not those of the archive");
    let told = format!("{refused:#}");
    ensure!(told.contains("older than its archive") && told.contains("object_store.url"), "{told}");

    std::fs::rename(&hot, &copy)?;
    std::fs::rename(&newest, &hot)?;
    server.restart().await?;
    let points = Api::of(&server).raw("a", "m", old, old + 2 * HOUR_MS).await?;
    ensure!(points == [(old, 1.0), (old + HOUR_MS, 2.0)], "{points:?}");
    Ok(())
}

fn path(path: &std::path::Path) -> anyhow::Result<&str> {
    path.to_str().context("UTF-8")
}

#[tokio::test]
async fn a_server_whose_listener_dies_ends_with_an_error_and_everything_on_disk() -> anyhow::Result<()> {
    const FATAL: u32 = 300;
    let failpoints = format!("server.listener.accepted={FATAL}");
    let mut server = Server::options().env("FAILPOINTS", failpoints).start().await?;
    let now = now_ms();
    Api::of(&server).push_points("a", "m", &[(now, 2.0)]).await?;
    let (program, dir) = (program(&server)?, server.data_dir().display().to_string());
    // As many connections as may be left until the fatal one.
    let address = Api::of(&server).address().to_owned();
    let mut connections = 0;
    while connections < FATAL && tokio::net::TcpStream::connect(&address).await.is_ok() {
        connections += 1;
    }
    let status = server.wait_for_end().await.context("is the program built with --features failpoints?")?;
    ensure!(status.code() == Some(1), "{status}");
    let log = server.log();
    ensure!(log.contains("ended by itself") && log.contains("listener") && log.contains("msg=stopped"), "{log}");

    let inspected = run(&program, &["inspect", &dir, "--json"]).await?;
    let found: Value = serde_json::from_slice(&inspected.stdout).context("inspect --json prints JSON")?;
    ensure!(found["local"]["head_points"] == 0, "the rest was stopped in order: {}", found["local"]);
    server.restart_with(Server::options()).await?;
    let points = Api::of(&server).raw("a", "m", now, now + 1).await?;
    ensure!(points == [(now, 2.0)], "{points:?}");
    Ok(())
}

#[tokio::test]
async fn commands_exit_as_scripts_expect() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (program, url) = (program(&server)?, server.url(""));
    let end = hour_of(now_ms());
    Api::of(&server).push_points("a", "cpu", &[(end - 1, 4.0), (end - 2, 6.0)]).await?;

    let answered =
        run(&program, &["sql", "--server", &url, "--format", "csv", "SELECT sum(value) AS s FROM samples"]).await?;
    ensure!(text(&answered.stdout) == "s\n10.0\n", "{} {}", text(&answered.stdout), text(&answered.stderr));
    let wrong = run(&program, &["sql", "--server", &url, "SELEKT"]).await?;
    ensure!(wrong.status.code() == Some(1) && !wrong.stderr.is_empty(), "{}", text(&wrong.stderr));
    ensure!(run(&program, &["healthcheck", "--server", &url]).await?.status.code() == Some(0));
    ensure!(run(&program, &["healthcheck", "--server", "http://127.0.0.1:1"]).await?.status.code() == Some(1));
    ensure!(run(&program, &["serve", "--no-such-flag"]).await?.status.code() == Some(2));
    ensure!(text(&run(&program, &["completions", "bash"]).await?.stdout).contains("thermocline"));

    let file = |name: &str, yaml: &str| -> anyhow::Result<String> {
        let path = server.home().join(name);
        std::fs::write(&path, yaml)?;
        Ok(path.display().to_string())
    };
    let good = file("good.yml", "seal: { lateness: 5m }\n")?;
    let checked = run(&program, &["check", "config", &good]).await?;
    ensure!(checked.status.success() && text(&checked.stdout) == format!("{good}: OK\n"), "{}", text(&checked.stdout));
    let bad = file("bad.yml", "durability: normal\nretension: { hot.raw: 1d }\n")?;
    let checked = run(&program, &["check", "config", &bad]).await?;
    let told = text(&checked.stdout);
    ensure!(
        checked.status.code() == Some(1) && told.starts_with(&format!("{bad}:2:")) && told.contains("retension"),
        "{told}"
    );
    Ok(())
}

#[tokio::test]
async fn what_check_finds_is_what_serve_refuses() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let program = program(&server)?;
    let file = server.home().join("wrong.yml").display().to_string();
    for yaml in [
        "object_store: { url: 'ftp://x/y' }\n",
        "object_store: { url: 's3://bucket', options: { endpiont: x } }\n",
        "object_store: { options: { region: x } }\n",
        "log: { level: a=b=c }\n",
        "log: { level: loud }\n",
        "limits: { body: 0 }\n",
        "limits: { query_points: 0 }\n",
    ] {
        std::fs::write(&file, yaml)?;
        let checked = run(&program, &["check", "config", &file]).await?;
        let served = run(&program, &["serve", "--config", &file, "--listen", "127.0.0.1:0"]).await?;
        ensure!(checked.status.code() == Some(1) && served.status.code() == Some(1), "{yaml}");
        ensure!(text(&served.stderr) == format!("thermocline: {}", text(&checked.stdout)), "{yaml}");
    }
    // A variable is laid over the file by both.
    std::fs::write(&file, "object_store: { options: { region: x } }\n")?;
    let mut check = Command::new(&program);
    check.args(["check", "config", &file]).env("THERMOCLINE_OBJECT_STORE", "s3://bucket/prefix");
    let checked = check.output().await?;
    ensure!(checked.status.success(), "{}", text(&checked.stdout));
    Ok(())
}
