//! The four questions, what their answers must be, and how they are shown.

use std::fmt::Write;

use schemas::{DurationMs, TimeRange, TimestampMs};

use super::client::Answer;
use super::fleet::{Fleet, HOSTS, Metric, region, server_id};

/// Sums in another order may differ in the last digits.
const RELATIVE_ERROR_MAX: f64 = 1e-9;
const HOST: u32 = 7;
const REGION: &str = "eu-west-1";

/// A question whose answer is known.
#[derive(Debug)]
pub(super) struct Question {
    title: &'static str,
    pub(super) path: String,
    /// The tiers that must have answered, as the header names them.
    tiers: &'static str,
    expected: Vec<(i64, f64)>,
    pub(super) plotted: bool,
}

/// One question a tier, and one that crosses all.
pub(super) fn all(fleet: &Fleet, now: TimestampMs) -> Vec<Question> {
    let ago = |hours: i64| fleet.range().end().minus(DurationMs::hours(hours));
    let minutes_ago = |minutes: i64| fleet.range().end().minus(DurationMs::minutes(minutes));
    let span = |from: TimestampMs, to: TimestampMs| TimeRange::new(from, to).expect("from lies before to");
    let (recent, middle) = (span(minutes_ago(5), now), span(ago(40), ago(38)));
    let (old, whole) = (
        span(fleet.range().start().ceil_to(DurationMs::HOUR), ago(50).floor_to(DurationMs::HOUR)),
        span(fleet.range().start(), now),
    );
    let host = server_id(HOST);
    let of_host = |range: TimeRange, rest: &str| {
        format!("/api/metrics/{host}?metric=cpu_usage&from={}&to={}{rest}", range.start().0, range.end().0)
    };
    vec![
        Question {
            title: "The points themselves, of the last five minutes",
            path: of_host(recent, "&granularity=raw"),
            tiers: "hot",
            expected: raw(fleet, recent),
            plotted: false,
        },
        Question {
            title: "1-minute averages, of two hours the day before yesterday",
            path: of_host(middle, "&granularity=1m"),
            tiers: "warm",
            expected: averages(fleet, middle, DurationMs::MINUTE, &[HOST]),
            plotted: false,
        },
        Question {
            title: "1-hour averages over all hosts of a region, of the oldest day",
            path: format!(
                "/api/metrics?metric=cpu_usage&match[]={{region=\"{REGION}\"}}&group_by=region&granularity=1h&from={}&to={}",
                old.start().0,
                old.end().0
            ),
            tiers: "cold",
            expected: averages(
                fleet,
                old,
                DurationMs::HOUR,
                &(0..HOSTS).filter(|h| region(*h) == REGION).collect::<Vec<_>>(),
            ),
            plotted: false,
        },
        Question {
            title: "1-minute averages of all three days: every tier answers its part",
            path: of_host(whole, "&granularity=1m"),
            tiers: "hot,warm,cold",
            expected: averages(fleet, whole, DurationMs::MINUTE, &[HOST]),
            plotted: true,
        },
    ]
}

fn raw(fleet: &Fleet, range: TimeRange) -> Vec<(i64, f64)> {
    fleet.timestamps(range).map(|ts| (ts.0, fleet.value(Metric::CpuUsage, HOST, ts))).collect()
}

/// The naive way: for each bucket, the sum over its points and hosts by their number.
fn averages(fleet: &Fleet, range: TimeRange, width: DurationMs, hosts: &[u32]) -> Vec<(i64, f64)> {
    let mut out: Vec<(i64, f64, f64)> = Vec::new();
    for ts in fleet.timestamps(range.align_outward(width)) {
        let bucket = ts.floor_to(width).0;
        if out.last().is_none_or(|(last, ..)| *last != bucket) {
            out.push((bucket, 0.0, 0.0));
        }
        let Some((_, sum, count)) = out.last_mut() else { continue };
        for host in hosts {
            *sum += fleet.value(Metric::CpuUsage, *host, ts);
            *count += 1.0;
        }
    }
    out.into_iter().map(|(bucket, sum, count)| (bucket, sum / count)).collect()
}

impl Question {
    /// Whether the answer is what it must be, from the tier that it must come from.
    pub(super) fn check(&self, answer: &Answer) -> Result<(), String> {
        if answer.tiers != self.tiers {
            return Err(format!("answered by {:?}, but {:?} was expected", answer.tiers, self.tiers));
        }
        if !answer.complete {
            return Err("the answer is not complete".to_owned());
        }
        if answer.points.len() != self.expected.len() {
            return Err(format!("{} points, but {} were expected", answer.points.len(), self.expected.len()));
        }
        let equal = |a: f64, b: f64| (a - b).abs() <= RELATIVE_ERROR_MAX * b.abs();
        let differing = answer.points.iter().zip(&self.expected).find(|((t, v), (et, ev))| t != et || !equal(*v, *ev));
        match differing {
            None => Ok(()),
            Some((got, expected)) => Err(format!("{got:?}, but {expected:?} was expected")),
        }
    }
}

/// A question with its answer, for the terminal.
pub(super) fn shown(
    number: usize,
    base: &str,
    question: &Question,
    answer: &Answer,
    verdict: &Result<(), String>,
) -> String {
    let mut out = format!("\n{number}. {}\n   GET {base}{}\n", question.title, question.path);
    let Answer { tiers, resolution, points, timing, .. } = answer;
    // Writing to a string cannot fail.
    let _ = writeln!(out, "   from {tiers} at {resolution}, {} points, {timing}", points.len());
    for (timestamp, value) in points.iter().take(3) {
        let _ = writeln!(out, "     {timestamp}  {value:.4}");
    }
    if points.len() > 3 {
        let _ = writeln!(out, "     …");
    }
    let _ = match verdict {
        Ok(()) => write!(out, "   RIGHT: all {} values are those that were sent", points.len()),
        Err(why) => write!(out, "   WRONG: {why}"),
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_742_221_812_345);

    fn answer(question: &Question) -> Answer {
        Answer {
            points: question.expected.clone(),
            tiers: question.tiers.to_owned(),
            resolution: "1m".to_owned(),
            complete: true,
            timing: String::new(),
        }
    }

    #[test]
    fn a_right_answer_is_right_and_every_kind_of_wrong_one_is_wrong() {
        let fleet = Fleet::of_past(DurationMs::days(3), NOW);
        for question in all(&fleet, NOW) {
            let right = answer(&question);
            assert_eq!(question.check(&right), Ok(()), "{}", question.title);
            let mut wrong = [right.clone(), right.clone(), right.clone(), right];
            wrong[0].points[1].1 += 0.01;
            wrong[1].points.pop();
            wrong[2].tiers = "cold,hot".to_owned();
            wrong[3].complete = false;
            for answer in wrong {
                assert!(question.check(&answer).is_err(), "{}", question.title);
            }
        }
    }

    #[test]
    fn the_windows_lie_inside_their_tiers() {
        let fleet = Fleet::of_past(DurationMs::days(3), NOW);
        let lengths: Vec<usize> = all(&fleet, NOW).iter().map(|q| q.expected.len()).collect();
        assert_eq!(lengths, [10, 120, 21, 4_320]);
    }
}
