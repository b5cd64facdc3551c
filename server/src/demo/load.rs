//! Sends the fleet's points, oldest first, over a few connections.

use std::time::Instant;

use futures::stream::{self, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use schemas::TimestampMs;

use super::client::Client;
use super::fleet::Fleet;

/// Points in time in one request: each is 150 lines.
const TIMES_PER_REQUEST: usize = 64;
const CONNECTIONS: usize = 4;

/// Loads everything; says how fast that was.
pub(super) async fn run(client: &Client, fleet: &Fleet) -> anyhow::Result<String> {
    let begun = Instant::now();
    let bar = ProgressBar::new(fleet.points() as u64);
    bar.set_style(
        ProgressStyle::with_template("  {bar:40} {percent}% {per_sec}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let times: Vec<TimestampMs> = fleet.timestamps(fleet.range()).collect();
    stream::iter(times.chunks(TIMES_PER_REQUEST).map(Ok::<_, anyhow::Error>))
        .try_for_each_concurrent(CONNECTIONS, |chunk| {
            let bar = &bar;
            async move {
                let mut lines = String::new();
                for ts in chunk {
                    fleet.write_lines(*ts, &mut lines);
                }
                let points = lines.lines().count() as u64;
                client.push_lines(lines).await?;
                bar.inc(points);
                Ok(())
            }
        })
        .await?;
    bar.finish_and_clear();
    let (points, seconds) = (fleet.points(), begun.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a few million points")]
    let rate = points as f64 / seconds;
    Ok(format!("{points} points in {seconds:.1} s, {rate:.0} a second, each durable before it was acknowledged"))
}
