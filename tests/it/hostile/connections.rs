//! Hostile connections: slow ones, idle ones, huge headers, and bytes that are no HTTP.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Target;
use crate::api::now_ms;

/// Bounds a hang; nothing is measured.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than a header may have.
const HEADER_BYTES: usize = 1 << 20;

/// Sends bytes as they are and reads until the server closes.
async fn exchange(target: &Target, bytes: &[u8]) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(target.api.address()).await?;
    // The server may answer and close before it has read everything.
    let sent = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut answer)).await.context("the server neither answers nor closes")? {
        Ok(_) => {}
        // What was still under way made a reset of the close.
        Err(error) => ensure!(!answer.is_empty() || sent.is_err(), "no answer: {error}"),
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn clients_that_never_finish_are_cut_off() -> anyhow::Result<()> {
    let target = Target::with("limits: { header_timeout: 1s, body_timeout: 1s }\n").await?;
    // A header that never ends: closed, or told.
    let answer = exchange(&target, b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ").await?;
    ensure!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    // A body that never comes: told, for the head was complete.
    let head =
        "POST /api/metrics HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let answer = exchange(&target, head.as_bytes()).await?;
    ensure!(answer.starts_with("HTTP/1.1 408") && answer.contains("application/problem+json"), "{answer}");
    target.goes_on().await
}

#[tokio::test]
async fn a_request_byte_by_byte_is_a_request() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let now = now_ms();
    let body = format!(r#"{{"server_id":"slow","timestamp":{now},"metrics":[{{"name":"m","value":1}}]}}"#);
    let head = format!(
        "POST /api/metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(target.api.address()).await?;
    stream.set_nodelay(true)?;
    for byte in head.bytes().chain(body.bytes()) {
        stream.write_all(&[byte]).await?;
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.context("no answer")??;
    ensure!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    ensure!(target.api.raw("slow", "m", now, now + 1).await? == [(now, 1.0)]);
    Ok(())
}

#[tokio::test]
async fn a_thousand_idle_connections_stop_nobody() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(TcpStream::connect(target.api.address()).await?);
    }
    target.goes_on().await?;
    // Half of them begin to say something, and stop.
    for stream in idle.iter_mut().step_by(2) {
        stream.write_all(b"POST /api/metrics HTTP/1.1\r\n").await?;
    }
    target.goes_on().await?;
    drop(idle);
    target.goes_on().await
}

#[tokio::test]
async fn headers_beyond_the_bound_are_refused() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let huge = format!("GET / HTTP/1.1\r\nhost: a\r\nx-huge: {}\r\n\r\n", "x".repeat(HEADER_BYTES));
    let many: String = (0..10_000).map(|i| format!("x-{i}: y\r\n")).collect();
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "p".repeat(HEADER_BYTES));
    for request in [huge, format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), long] {
        let answer = exchange(&target, request.as_bytes()).await?;
        let refused = ["", "HTTP/1.1 431", "HTTP/1.1 414", "HTTP/1.1 400"].iter().any(|status| match *status {
            "" => answer.is_empty(),
            status => answer.starts_with(status),
        });
        ensure!(refused, "{}", &answer[..answer.len().min(200)]);
        target.goes_on().await?;
    }
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_no_http_are_dropped() -> anyhow::Result<()> {
    let target = Target::start().await?;
    let cases: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/metrics HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
    ];
    for case in cases {
        let mut stream = TcpStream::connect(target.api.address()).await?;
        stream.write_all(case).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        // Answered or not, it is over.
        drop(timeout(PATIENCE, stream.read_to_end(&mut answer)).await.context("the server holds on")?);
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        target.goes_on().await?;
    }
    Ok(())
}
