//! `thermocline sql`: one query to a server, printed as a table, CSV or JSON.

use std::io::Read;

use anyhow::{Context, bail};
use arrow::ipc::reader::StreamReader;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use reqwest::header::ACCEPT;

use super::print;
use crate::cli::{RowFormat, SqlArgs};

/// Sends the query and prints the rows.
pub(super) async fn run(args: SqlArgs) -> anyhow::Result<()> {
    let query = match args.query {
        Some(query) => query,
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("reading the query from standard input")?;
            text
        }
    };
    let accept = match args.format {
        RowFormat::Table => "application/vnd.apache.arrow.stream",
        RowFormat::Csv => "text/csv",
        RowFormat::Json => "application/json",
    };
    let url = format!("{}/api/v1/sql", args.server.trim_end_matches('/'));
    let request = reqwest::Client::new().post(&url).header(ACCEPT, accept).json(&serde_json::json!({ "query": query }));
    let response = request.send().await.with_context(|| format!("asking {url}"))?;
    if !response.status().is_success() {
        let status = response.status();
        bail!("{}", told(status, &response.bytes().await?));
    }
    let body = response.bytes().await.context("the server broke its answer off")?;
    match args.format {
        RowFormat::Table => print(&table(&body)?),
        RowFormat::Csv | RowFormat::Json => print(&String::from_utf8_lossy(&body)),
    }
}

fn table(body: &[u8]) -> anyhow::Result<String> {
    let reader = StreamReader::try_new(body, None).context("reading the Arrow stream")?;
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().context("reading the Arrow stream")?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    Ok(format!("{}\n({rows} {})\n", pretty_format_batches(&batches)?, if rows == 1 { "row" } else { "rows" }))
}

/// A problem's own words, where the body is one.
fn told(status: reqwest::StatusCode, body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|p| p["detail"].as_str());
    match detail {
        Some(detail) => {
            let errors = problem.as_ref().and_then(|p| p["errors"].as_array()).map_or(&[][..], Vec::as_slice);
            let errors: Vec<String> =
                errors.iter().map(|e| e.as_str().map_or_else(|| e.to_string(), str::to_owned)).collect();
            if errors.is_empty() { detail.to_owned() } else { format!("{detail}: {}", errors.join("; ")) }
        }
        None => format!("{status}: {}", String::from_utf8_lossy(body).trim()),
    }
}
