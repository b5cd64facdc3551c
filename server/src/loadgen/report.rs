//! What is counted on the way, and how it is told in the end.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use schemas::sketch::Sketch;

use super::sender::Sent;

/// Counts of one connection, or of all.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    points: u64,
    rejected: u64,
    requests: u64,
    retries: u64,
    /// Seconds that a successful POST took.
    latency: Option<Sketch>,
    complaint: Option<String>,
}

impl Tally {
    pub(super) fn count(&mut self, points: u64, sent: &Sent) {
        self.points += points;
        self.rejected += sent.rejected;
        self.requests += 1;
        self.retries += sent.retries;
        self.latency.get_or_insert_with(|| Sketch::from_values(&[])).add(sent.took.as_secs_f64());
        if self.complaint.is_none() {
            self.complaint.clone_from(&sent.complaint);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.rejected += other.rejected;
        self.requests += other.requests;
        self.retries += other.retries;
        if let Some(theirs) = &other.latency {
            self.latency.get_or_insert_with(|| Sketch::from_values(&[])).merge(theirs);
        }
        if self.complaint.is_none() {
            self.complaint.clone_from(&other.complaint);
        }
    }

    fn latency(&self, q: f64) -> Option<Duration> {
        let seconds = self.latency.as_ref()?.quantile(q)?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// The result of a run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) tally: Tally,
    pub(super) elapsed: Duration,
}

impl Report {
    fn points_per_second(&self) -> f64 {
        (self.tally.points - self.tally.rejected) as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    pub(super) fn text(&self) -> String {
        let Tally { points, rejected, requests, retries, complaint, .. } = &self.tally;
        let mut text = format!(
            "{} points in {:.2} s: {} points/s\n{requests} requests, {retries} sent again, {rejected} points rejected\n",
            grouped(points - rejected),
            self.elapsed.as_secs_f64(),
            grouped(rounded(self.points_per_second())),
        );
        if let (Some(p50), Some(p99)) = (self.tally.latency(0.5), self.tally.latency(0.99)) {
            text.push_str(&format!("POST latency: p50 {}, p99 {}\n", milliseconds(p50), milliseconds(p99)));
        }
        if let Some(complaint) = complaint {
            text.push_str(&format!("first rejection: {complaint}\n"));
        }
        text
    }

    pub(super) fn json(&self) -> String {
        let seconds = |q: f64| self.tally.latency(q).map(|latency| latency.as_secs_f64());
        let report = serde_json::json!({
            "points": self.tally.points - self.tally.rejected,
            "rejected": self.tally.rejected,
            "requests": self.tally.requests,
            "retries": self.tally.retries,
            "seconds": self.elapsed.as_secs_f64(),
            "points_per_second": self.points_per_second(),
            "latency_p50_seconds": seconds(0.5),
            "latency_p99_seconds": seconds(0.99),
            "first_rejection": self.tally.complaint,
        });
        format!("{report}\n")
    }
}

/// A bar over all points, or a counter where there is no end. Draws only on a terminal.
pub(super) fn progress_bar(points: Option<u64>) -> ProgressBar {
    let (bar, template) = match points {
        Some(points) => (ProgressBar::new(points), "{bar:40} {percent:>3}% {human_pos} points, {per_sec}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} points, {elapsed}"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}

fn milliseconds(latency: Duration) -> String {
    format!("{:.1} ms", latency.as_secs_f64() * 1e3)
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are positive and far below 2^63")]
fn rounded(rate: f64) -> u64 {
    rate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_points_rate_and_latency() {
        let mut tally = Tally::default();
        let sent =
            Sent { rejected: 500, complaint: Some("bad".to_owned()), retries: 1, took: Duration::from_millis(10) };
        tally.count(1_000_500, &sent);
        let mut total = Tally::default();
        total.add(&tally);
        total.count(1_000_000, &Sent { took: Duration::from_millis(10), ..Sent::default() });
        let report = Report { tally: total, elapsed: Duration::from_secs(2) };
        let text = report.text();
        assert!(
            text.starts_with(
                "2,000,000 points in 2.00 s: 1,000,000 points/s\n2 requests, 1 sent again, 500 points rejected\n"
            ),
            "{text}"
        );
        assert!(text.ends_with("first rejection: bad\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!((&json["points"], &json["retries"]), (&2_000_000.into(), &1.into()));
        let p99 = json["latency_p99_seconds"].as_f64().expect("a number");
        assert!((p99 - 0.01).abs() < 0.001, "{p99}");
    }
}
