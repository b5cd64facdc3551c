//! `thermocline healthcheck`: for a container's health command.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::HealthcheckArgs;

const PATIENCE: Duration = Duration::from_secs(5);

/// Exit code 0 if the server is ready, 1 with a line on standard error if not.
pub(super) async fn run(args: &HealthcheckArgs) -> ExitCode {
    match ask(&args.server).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            drop(writeln!(std::io::stderr(), "{why}"));
            ExitCode::FAILURE
        }
    }
}

async fn ask(server: &str) -> Result<(), String> {
    let url = format!("{}/-/ready", server.trim_end_matches('/'));
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(|e| e.to_string())?;
    let response = client.get(&url).send().await.map_err(|e| format!("{url}: {e}"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    Err(format!("{url}: {status}: {}", response.text().await.unwrap_or_default().trim()))
}
