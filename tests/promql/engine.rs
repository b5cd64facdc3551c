//! Prometheus' engine in a process of its own: `tests/promdiff`, built by Go, asked line by line.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result, anyhow, bail};
use promql::column::Column;
use promql::column::Value;
use promql::eval::{Grid, QueryValue, SeriesValues};
use promql_tests::load::{Data, Loaded};
use promql_tests::module;
use promql_tests::target::{Answer, Target};
use schemas::Labels;
use schemas::histogram::{Buckets, Histogram, ResetHint, Span};
use schemas::points::{is_stale, stale};
use serde_json::{Value as Json, json};

/// Ends with its process.
#[derive(Debug)]
pub(crate) struct Engine {
    process: Child,
    pipes: RefCell<Pipes>,
}

#[derive(Debug)]
struct Pipes {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Pipes {
    /// In one write: a line has thousands of pieces.
    fn send(&mut self, line: &Json) -> Result<()> {
        let mut text = line.to_string();
        text.push('\n');
        Ok(self.input.write_all(text.as_bytes())?)
    }
}

fn build() -> Result<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("promdiff");
    module::go(&["build", "-buildvcs=false", "-o", program.to_str().context("a path in UTF-8")?, "."])?;
    Ok(program)
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Engine {
    /// Builds the program and starts it; `args` are its own.
    pub(crate) fn start(args: &[&str]) -> Result<Self> {
        // Once for all tests of this process.
        static PROGRAM: LazyLock<Result<PathBuf, String>> =
            LazyLock::new(|| build().map_err(|error| format!("{error:#}")));
        let program = PROGRAM.as_ref().map_err(|error| anyhow!("building promdiff: {error}"))?;
        let mut process = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = process.stdin.take().context("its input")?;
        let output = BufReader::new(process.stdout.take().context("its output")?);
        Ok(Self { process, pipes: RefCell::new(Pipes { input, output }) })
    }

    /// The canonical text of a query, and the same in lines. The outer error is of the process, the inner one of the text.
    pub(crate) fn parse(&self, text: &str) -> Result<Result<(String, String), String>> {
        let answer = self.exchange(&json!({ "parse": text }))?;
        let part = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Ok(if answer["error"].is_string() { Err(part("error")) } else { Ok((part("string"), part("lines"))) })
    }

    /// One line there, one line back.
    fn exchange(&self, request: &Json) -> Result<Json> {
        let pipes = &mut *self.pipes.borrow_mut();
        pipes.send(request)?;
        let mut line = String::new();
        pipes.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("{line:?} for {request}"))
    }

    /// The outer error is of the process, the inner one of the question.
    fn answer(&self, text: &str, grid: Grid) -> Result<Result<Answer, String>> {
        let (start, end, step) = match grid {
            Grid::Instant(at) => (at, at, 0),
            Grid::Range { start, end, step } => (start, end, step),
        };
        let answer = self.exchange(&json!({ "query": text, "start": start, "end": end, "step": step }))?;
        if let Some(error) = answer["error"].as_str() {
            return Ok(Err(error.to_owned()));
        }
        Ok(Ok(read_answer(&answer)?))
    }
}

impl Target for Engine {
    fn hold(&mut self, data: &Data) -> Result<()> {
        let series: Vec<Json> = data.points().iter().map(|(labels, points)| describe_series(labels, points)).collect();
        self.pipes.borrow_mut().send(&json!({ "data": series }))
    }

    fn ask(&self, text: &str, grid: Grid) -> Result<Answer, String> {
        self.answer(text, grid).map_err(|error| format!("promdiff: {error:#}"))?
    }
}

fn describe_series(labels: &Labels, points: &BTreeMap<i64, Loaded>) -> Json {
    let pairs = labels.iter().map(|(name, value)| (name.to_owned(), value.into()));
    let labels: serde_json::Map<String, Json> = pairs.collect();
    let describe = |(at, point): (&i64, &Loaded)| {
        let start = point.start_ms.unwrap_or(0);
        match &point.value {
            Value::Float(value) => json!({ "t": at, "s": start, "f": float_text(*value) }),
            Value::Histogram(histogram) => json!({ "t": at, "s": start, "f": "0", "h": describe_histogram(histogram) }),
        }
    };
    json!({ "labels": labels, "points": points.iter().map(describe).collect::<Vec<Json>>() })
}

fn float_text(value: f64) -> String {
    if is_stale(value) { "stale".to_owned() } else { value.to_string() }
}

fn describe_histogram(histogram: &Histogram) -> Json {
    let list = |values: &[f64]| values.iter().copied().map(float_text).collect::<Vec<_>>();
    let spans = |buckets: &Buckets| {
        let pairs = buckets.spans.iter().map(|span| (i64::from(span.offset), i64::from(span.length)));
        pairs.collect::<Vec<_>>()
    };
    json!({
        "schema": histogram.schema,
        "count": float_text(histogram.count),
        "sum": float_text(histogram.sum),
        "zero_threshold": float_text(histogram.zero_threshold),
        "zero_count": float_text(histogram.zero_count),
        "positive_spans": spans(&histogram.positive),
        "positive": list(&histogram.positive.counts),
        "negative_spans": spans(&histogram.negative),
        "negative": list(&histogram.negative.counts),
        "custom": list(&histogram.custom_values),
        "hint": HINTS.iter().position(|hint| *hint == histogram.reset_hint),
    })
}

/// In the order of Prometheus' numbers.
const HINTS: [ResetHint; 4] = [ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge];

fn read_answer(answer: &Json) -> Result<Answer> {
    let mut series = Vec::new();
    for row in list(&answer["series"]) {
        series.push(read_series(row)?);
    }
    let first = || series.first().and_then(|(_, points)| points.first());
    let value = match answer["type"].as_str() {
        Some("scalar") => match first() {
            Some((at, Value::Float(value))) => QueryValue::Scalar(*value, *at),
            _ => bail!("a scalar without a float"),
        },
        Some("string") => QueryValue::String(answer["string"].as_str().unwrap_or_default().to_owned(), 0),
        Some("vector") => {
            let samples = series
                .into_iter()
                .flat_map(|(labels, points)| points.into_iter().map(move |(at, value)| (labels.clone(), at, value)));
            QueryValue::Vector(samples.collect())
        }
        Some("matrix") => QueryValue::Matrix(series.into_iter().map(matrix_row).collect()),
        other => bail!("a value of type {other:?}"),
    };
    let texts = |name: &str| list(&answer[name]).filter_map(Json::as_str).map(str::to_owned).collect();
    Ok(Answer { value, warnings: texts("warnings"), infos: texts("infos") })
}

fn matrix_row((labels, points): (Labels, Vec<(i64, Value)>)) -> SeriesValues {
    let mut column = Column::empty(points.len());
    let timestamps: Vec<i64> = points.iter().map(|(at, _)| *at).collect();
    for (step, (_, value)) in points.into_iter().enumerate() {
        column.set(step, value);
    }
    SeriesValues { labels, timestamps: timestamps.into(), column }
}

/// Points in the order of time.
fn read_series(json: &Json) -> Result<(Labels, Vec<(i64, Value)>)> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for (name, value) in json["labels"].as_object().into_iter().flatten() {
        pairs.push((name, value.as_str().context("a label's value")?));
    }
    pairs.sort_unstable();
    let mut points = BTreeMap::new();
    for point in list(&json["points"]) {
        let value = match &point["h"] {
            Json::Null => Value::Float(read_float(&point["f"])?),
            histogram => Value::Histogram(Arc::new(read_histogram(histogram)?)),
        };
        points.insert(point["t"].as_i64().context("a time")?, value);
    }
    Ok((Labels::from_sorted(pairs.iter().copied()), points.into_iter().collect()))
}

/// The elements of a list; `null` is an empty one.
fn list(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

fn read_float(json: &Json) -> Result<f64> {
    match json.as_str().context("a float as text")? {
        "stale" => Ok(stale()),
        text => Ok(text.parse()?),
    }
}

fn read_histogram(json: &Json) -> Result<Histogram> {
    let floats = |name: &str| list(&json[name]).map(read_float).collect::<Result<Vec<f64>>>();
    let buckets = |spans: &str, counts: &str| -> Result<Buckets> {
        let mut out = Buckets { spans: Vec::new(), counts: floats(counts)? };
        for span in list(&json[spans]) {
            let part = |at: usize| span[at].as_i64().context("a span");
            out.spans.push(Span { offset: part(0)?.try_into()?, length: part(1)?.try_into()? });
        }
        Ok(out)
    };
    let hint = usize::try_from(json["hint"].as_u64().context("a hint")?)?;
    Ok(Histogram {
        schema: json["schema"].as_i64().context("a schema")?.try_into()?,
        count: read_float(&json["count"])?,
        sum: read_float(&json["sum"])?,
        zero_threshold: read_float(&json["zero_threshold"])?,
        zero_count: read_float(&json["zero_count"])?,
        positive: buckets("positive_spans", "positive")?,
        negative: buckets("negative_spans", "negative")?,
        custom_values: floats("custom")?,
        reset_hint: *HINTS.get(hint).context("a hint")?,
        is_integer: false,
    })
}
