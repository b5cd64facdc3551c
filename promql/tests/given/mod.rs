//! Data in memory, and answers as text.

use schemas::{Labels, Points};
use thermocline_promql::ParseOptions;
use thermocline_promql::column::Value;
use thermocline_promql::eval::{Grid, NeverStop, Options, QueryValue, evaluate};
use thermocline_promql::memory::MemoryStorage;

pub(crate) fn labels(metric: &str, host: usize) -> Labels {
    let (host, region) = (format!("h{host:04}"), format!("r{}", host % 7));
    Labels::new([("__name__", metric), ("host", &host), ("region", &region)]).expect("labels")
}

/// Two hours at 15 s, rising by about `step` each.
pub(crate) fn rising(step: f64) -> Points {
    let mut points = Points::default();
    let mut value = 0.1;
    for at in 0..480_i32 {
        value += step * (1.0 + f64::from(at % 11) / 7.0);
        points.push(i64::from(at) * 15_000, value);
    }
    points
}

/// `requests_total` of so many hosts.
pub(crate) fn counters(hosts: usize) -> MemoryStorage {
    let mut storage = MemoryStorage::new();
    for host in 0..hosts {
        let step = f64::from(u32::try_from(host).expect("few")) / 3.0 + 0.1;
        *storage.points_mut(&labels("requests_total", host)) = rising(step);
    }
    storage
}

pub(crate) fn answer(storage: &MemoryStorage, text: &str, at: i64) -> QueryValue {
    let expr = thermocline_promql::parse_expr(text, ParseOptions::ALL).expect("parses");
    let evaluated = evaluate(storage, &expr, text, Grid::Instant(at), &Options::default(), &NeverStop);
    evaluated.expect("an answer").value
}

/// Every bit of an answer.
pub(crate) fn shown(value: &QueryValue) -> Vec<String> {
    let bits = |value: &Value| match value {
        Value::Float(value) => format!("{:016x}", value.to_bits()),
        Value::Histogram(histogram) => format!("{histogram:?}"),
    };
    match value {
        QueryValue::Scalar(value, at) => vec![format!("{at}: {:016x}", value.to_bits())],
        QueryValue::String(text, at) => vec![format!("{at}: {text}")],
        QueryValue::Vector(samples) => {
            samples.iter().map(|(labels, at, value)| format!("{labels} {at}: {}", bits(value))).collect()
        }
        QueryValue::Matrix(series) => series
            .iter()
            .map(|one| {
                let points: Vec<String> = one.iter().map(|(at, value)| format!("{at}: {}", bits(&value))).collect();
                format!("{} {}", one.labels, points.join(" "))
            })
            .collect(),
    }
}
