//! A PromQL query: from its text to the answer.
//!
//! text ─▶ tree ─▶ turn among the evaluators (a bounded queue) ─▶ one view of the store ─▶ `promql::eval` ─▶ answer cut to the limit
//!
//! Evaluation computes for long without a break, so it has threads of its own, which also wait for Delta. It ends at its next
//! series once its time is over, or nobody waits for it any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cold::Archive;
use hot::Store;
use promql::ParseOptions;
use promql::ast::Expr;
use promql::eval::{self, EvalError, Evaluated, Grid, QueryValue};
use promql::notes::Notes;
use promql::storage::StorageError;
use runtime::CpuPool;
use schemas::DurationMs;

use super::storage::Tiers;
use crate::engine::Engine;
use crate::error::QueryError;
use crate::limits::{Budget, QueryLimits, Stop};
use crate::metrics::{Interface, Running};
use crate::provenance::{Provenance, Timings};
use crate::read::{Reader, Wait};
use crate::slow::Asked;

/// What is asked.
#[derive(Debug, Clone)]
pub struct PromqlRequest {
    pub text: String,
    /// When to evaluate.
    pub grid: Grid,
    /// How far back instant selectors look; by default five minutes.
    pub lookback: Option<DurationMs>,
    /// Less than the limit of all queries, or without effect.
    pub timeout: Option<Duration>,
    /// At most so many series are answered with.
    pub limit: Option<usize>,
    /// Whether parts of the language that may still change are allowed.
    pub experimental: bool,
}

impl PromqlRequest {
    /// With the defaults of the interface.
    pub fn new(text: impl Into<String>, grid: Grid) -> Self {
        Self { text: text.into(), grid, lookback: None, timeout: None, limit: None, experimental: false }
    }
}

/// The answer.
#[derive(Debug)]
pub struct PromqlAnswer {
    pub value: QueryValue,
    /// Warnings and infos; their places are bytes of the request's text.
    pub notes: Notes,
    pub provenance: Provenance,
    /// Samples looked at.
    pub samples: u64,
    /// The most samples held at once.
    pub peak_samples: u64,
    /// Whether the limit has cut series off.
    pub truncated: bool,
    pub timings: PromqlTimings,
}

/// How long the steps of a query took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromqlTimings {
    /// Reading the text.
    pub parse: Duration,
    /// Waiting for a turn.
    pub queue: Duration,
    /// Selecting, reading and computing.
    pub evaluate: Duration,
    pub total: Duration,
}

impl Engine {
    /// Evaluates a query. Dropping the future gives the work up.
    pub async fn promql(&self, request: PromqlRequest) -> Result<PromqlAnswer, QueryError> {
        let started = Instant::now();
        let text = request.text.clone();
        let limit = request.timeout.map_or(self.limits.timeout, |asked| asked.min(self.limits.timeout));
        let result = self.within_time(limit, Box::pin(self.evaluate(request, started, limit))).await;
        let told = result.as_ref().map(|answer| &answer.provenance);
        self.ended(&Asked::new(Interface::Promql, &text), started, told);
        result
    }

    async fn evaluate(
        &self,
        request: PromqlRequest,
        started: Instant,
        limit: Duration,
    ) -> Result<PromqlAnswer, QueryError> {
        let options = if request.experimental { ParseOptions::ALL } else { ParseOptions::default() };
        let expr = promql::parse_expr(&request.text, options)?;
        let stop = Stop::default();
        let _given_up = stop.on_drop();
        let evaluation = Evaluation {
            expr,
            request,
            started,
            parse: started.elapsed(),
            store: Arc::clone(&self.store),
            archive: Arc::clone(&self.archive),
            pool: self.pool.clone(),
            evaluators: self.evaluators.clone(),
            limits: self.limits.clone(),
            stop: stop.clone(),
            wait: Wait {
                runtime: tokio::runtime::Handle::current(),
                deadline: tokio::time::Instant::from_std(started + limit),
                limit,
                stop,
            },
            _running: self.metrics.run(),
        };
        self.evaluators.try_run(move || evaluation.run()).await.unwrap_or(Err(QueryError::Overloaded))
    }
}

/// A query that has its turn, or waits for it.
struct Evaluation {
    expr: Expr,
    request: PromqlRequest,
    started: Instant,
    parse: Duration,
    store: Arc<Store>,
    archive: Arc<Archive>,
    pool: CpuPool,
    evaluators: CpuPool,
    limits: QueryLimits,
    stop: Stop,
    wait: Wait,
    _running: Running,
}

impl Evaluation {
    fn run(self) -> Result<PromqlAnswer, QueryError> {
        let begun = Instant::now();
        let halt = Halt { stop: self.stop.clone(), deadline: self.wait.deadline.into_std() };
        eval::Stop::check(&halt).map_err(|error| self.failed(error))?;
        // Half for what is read, half for what is computed of it.
        let (view, memory_bytes) = (self.store.view(), self.limits.memory_bytes / 2);
        let reader = Reader::new(
            view,
            Arc::clone(&self.archive),
            self.pool.clone(),
            Budget::new(memory_bytes),
            self.stop.clone(),
        );
        let reader = Arc::new(reader);
        let tiers = Tiers {
            store: Arc::clone(&self.store),
            reader: Arc::clone(&reader),
            wait: self.wait.clone(),
            series_max: self.limits.series_max,
        };
        let options = eval::Options {
            lookback_ms: self.request.lookback.map_or(eval::Options::default().lookback_ms, |lookback| lookback.0),
            max_samples: self.limits.samples_max as u64,
            memory_bytes,
            threads: self.threads(),
            ..eval::Options::default()
        };
        let evaluated = eval::evaluate(&tiers, &self.expr, &self.request.text, self.request.grid, &options, &halt)
            .map_err(|error| self.failed(error))?;
        Ok(self.answer(evaluated, &reader, begun))
    }

    /// A query that is alone has all threads.
    fn threads(&self) -> usize {
        (self.limits.threads / self.evaluators.running().max(1)).max(1)
    }

    fn answer(&self, evaluated: Evaluated, reader: &Reader, begun: Instant) -> PromqlAnswer {
        let Evaluated { mut value, notes, samples, peak_samples } = evaluated;
        let truncated = truncate(&mut value, self.request.limit.unwrap_or(usize::MAX));
        let (evaluate, total) = (begun.elapsed(), self.started.elapsed());
        let queue = total.saturating_sub(evaluate).saturating_sub(self.parse);
        let mut provenance = reader.provenance.snapshot();
        provenance.timings = Timings { select: self.parse + queue, read: evaluate, total };
        let timings = PromqlTimings { parse: self.parse, queue, evaluate, total };
        PromqlAnswer { value, notes, provenance, samples, peak_samples, truncated, timings }
    }

    fn failed(&self, error: EvalError) -> QueryError {
        match error {
            EvalError::TimedOut => QueryError::Timeout { limit_ms: self.wait.limit.as_millis() },
            EvalError::Canceled | EvalError::Storage(StorageError::Stopped) => {
                QueryError::internal("the query was given up")
            }
            EvalError::TooManySamples | EvalError::TooMuchMemory { .. } => QueryError::TooLarge(error.to_string()),
            EvalError::Invalid(text) => QueryError::BadRequest(text),
            EvalError::Execution(text) | EvalError::Storage(StorageError::Refused(text)) => {
                QueryError::impossible(text)
            }
            EvalError::Storage(StorageError::Failed(source)) => match source.downcast::<QueryError>() {
                Ok(ours) => *ours,
                Err(source) => QueryError::Internal {
                    context: "a query failed".to_owned(),
                    retryable: false,
                    source: Some(source),
                },
            },
        }
    }
}

/// Ends an evaluation that nobody waits for, or whose time is over.
struct Halt {
    stop: Stop,
    deadline: Instant,
}

impl eval::Stop for Halt {
    fn check(&self) -> Result<(), EvalError> {
        self.stop.check().map_err(|_| EvalError::Canceled)?;
        if Instant::now() < self.deadline { Ok(()) } else { Err(EvalError::TimedOut) }
    }
}

/// Keeps the first `limit` series; true if there were more.
fn truncate(value: &mut QueryValue, limit: usize) -> bool {
    match value {
        QueryValue::Vector(samples) => {
            let more = samples.len() > limit;
            samples.truncate(limit);
            more
        }
        QueryValue::Matrix(series) => {
            let more = series.len() > limit;
            series.truncate(limit);
            more
        }
        QueryValue::Scalar(..) | QueryValue::String(..) => false,
    }
}
