//! Random questions: expressions of the right types, from the grammar and the table of functions, and when to ask them.
//!
//! The same seed gives the same questions. Left out is what has no one right answer: which of equal values `topk` keeps,
//! `limitk`, digits of rounded numbers as labels, and what a last digit turns into another number. Data are made beside
//! (`data`).

pub mod data;

use promql::ast::ValueType;
use promql::eval::Grid;
use promql::functions::{Arity, FUNCTIONS, Function};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use data::{END_MS, START_MS};

/// An expression, and when to evaluate it.
#[derive(Debug, Clone)]
pub struct Question {
    pub text: String,
    pub grid: Grid,
}

/// See the module.
#[derive(Debug)]
pub struct Generator {
    rng: StdRng,
    /// Whether there are metrics of native histograms to ask for.
    histograms: bool,
}

const AGGREGATORS: [&str; 8] = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
const LABELS: [&str; 5] = ["host", "dc", "le", "nothing", "job"];
const DURATIONS: [&str; 9] = ["15s", "1m", "90s", "2m30s", "5m", "7m", "10m", "20m", "1h"];
const NUMBERS: [&str; 16] =
    ["0", "1", "2", "0.5", "10", "100", "3.7", "1e3", "0.25", "0.9", "0.99", "7", "60", "0x1f", "NaN", "Inf"];

impl Generator {
    pub fn new(seed: u64, histograms: bool) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), histograms }
    }

    pub fn question(&mut self) -> Question {
        let text = self.text();
        let start = self.rng.random_range(START_MS - 300_000..END_MS);
        let grid = match self.rng.random_range(0..3) {
            0 => Grid::Instant(start),
            _ => {
                let step = self.pick(&[1_000, 15_000, 30_000, 47_500, 60_000, 300_000, 1_200_000]);
                let steps = self.rng.random_range(0..40);
                Grid::Range { start, end: start + step * steps, step }
            }
        };
        Question { text, grid }
    }

    fn text(&mut self) -> String {
        let depth = self.rng.random_range(0..4);
        let text = match self.rng.random_range(0..12) {
            0 => self.scalar(depth),
            _ => self.vector(depth),
        };
        let has = |names: &[&str]| names.iter().any(|name| text.contains(name));
        if has(&["stddev", "stdvar"]) && has(&["ts_of", "timestamp(", "time()", "start()", "end()"]) {
            // The spread of large numbers is made of their last digits.
            return self.text();
        }
        if has(&["histogram_count", "histogram_sum", "histogram_avg"]) {
            // Prometheus reads no buckets then, and finds fewer resets in a gauge.
            return text.replace("native_gauge", "native");
        }
        text
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        *list.choose(&mut self.rng).expect("a list of choices is not empty")
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.rng.random_ratio(1, one_in)
    }

    fn of_type(&mut self, kind: ValueType, depth: u32) -> String {
        match kind {
            ValueType::Scalar => self.scalar(depth),
            ValueType::Vector => self.vector(depth),
            ValueType::Matrix => self.matrix(depth),
            ValueType::String => format!("{:?}", self.pick(&LABELS)),
        }
    }

    fn scalar(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.number();
        }
        match self.rng.random_range(0..8) {
            0 | 1 => self.number(),
            2 => self.pick(&["time()", "time()", "pi()", "step()", "range()", "start()", "end()"]).to_owned(),
            3 => format!("scalar({})", self.vector(depth - 1)),
            4 => format!("-{}", self.scalar(depth - 1)),
            5 => format!("({})", self.scalar(depth - 1)),
            6 => {
                let name = self.pick(&["max_of", "min_of"]);
                format!("{name}({}, {})", self.scalar(depth - 1), self.scalar(depth - 1))
            }
            _ => {
                let op = self.pick(&["+", "-", "*", "/", "atan2", "== bool", "> bool", "<= bool"]);
                format!("{} {op} {}", self.scalar(depth - 1), self.scalar(depth - 1))
            }
        }
    }

    fn number(&mut self) -> String {
        let sign = if self.chance(6) { "-" } else { "" };
        format!("{sign}{}", self.pick(&NUMBERS))
    }

    fn vector(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.selector();
        }
        match self.rng.random_range(0..20) {
            0 => self.selector(),
            1 => format!("vector({})", self.scalar(depth - 1)),
            2 => format!("-{}", self.vector(depth - 1)),
            3 => format!("({})", self.vector(depth - 1)),
            4..=8 => self.aggregation(depth - 1),
            9..=12 => self.binary(depth - 1),
            13 => self.over_time(depth - 1),
            14..=16 => self.rate(depth - 1),
            _ => self.call(depth - 1),
        }
    }

    fn selector(&mut self) -> String {
        let matchers = self.matchers();
        let modifiers = self.modifiers();
        format!("{}{matchers}{modifiers}", self.metric())
    }

    fn metric(&mut self) -> &'static str {
        let floats =
            ["gauge", "gauge_b", "requests_total", "errors_total", "latency_bucket", "latency_count", "sparse"];
        let histograms = ["native", "native_gauge", "native_custom", "mixed"];
        if self.histograms && self.chance(2) { self.pick(&histograms) } else { self.pick(&floats) }
    }

    fn matchers(&mut self) -> String {
        let list = [
            "{host=\"a\"}",
            "{host!=\"a\"}",
            "{host=~\"a|c\"}",
            "{dc!~\"e.*\"}",
            "{host=~\".+\",dc=\"west\"}",
            "{le!=\"+Inf\"}",
            "{nothing=\"\"}",
        ];
        if self.chance(2) { self.pick(&list).to_owned() } else { String::new() }
    }

    fn modifiers(&mut self) -> String {
        let mut out = String::new();
        if self.chance(8) {
            let sign = if self.chance(4) { "-" } else { "" };
            out += &format!(" offset {sign}{}", self.pick(&DURATIONS));
        }
        if self.chance(12) {
            let seconds = self.rng.random_range(START_MS..END_MS) / 1000;
            let fixed = format!("{seconds}");
            out += &format!(" @ {}", self.pick(&["start()", "end()", fixed.as_str()]));
        }
        out
    }

    fn matrix(&mut self, depth: u32) -> String {
        let modifiers = self.modifiers();
        let range = if self.chance(10) { "step() * 3 + 1m" } else { self.pick(&DURATIONS) };
        if depth == 0 || !self.chance(4) {
            return format!("{}{}[{range}]{modifiers}", self.metric(), self.matchers());
        }
        let step = if self.chance(3) { "" } else { self.pick(&["20s", "30s", "1m", "100s"]) };
        let inner = self.vector(depth - 1);
        format!("({inner})[{range}:{step}]{modifiers}")
    }

    /// A function of ranges that is most used.
    fn rate(&mut self, depth: u32) -> String {
        if self.chance(6) {
            let edges = self.pick(&["anchored", "smoothed"]);
            let name = self.pick(if edges == "smoothed" {
                &["rate", "increase", "delta"]
            } else {
                &["rate", "increase", "delta", "resets", "changes"]
            });
            return format!("{name}({}{}[{}] {edges})", self.metric(), self.matchers(), self.pick(&DURATIONS));
        }
        let name = self.pick(&["rate", "increase", "irate", "delta", "resets", "changes", "deriv"]);
        format!("{name}({})", self.matrix(depth))
    }

    fn over_time(&mut self, depth: u32) -> String {
        let name = self.pick(&["avg", "min", "max", "sum", "count", "last", "first", "present", "stddev", "mad"]);
        format!("{name}_over_time({})", self.matrix(depth))
    }

    /// Any function, by its types.
    fn call(&mut self, depth: u32) -> String {
        let functions: Vec<&Function> = FUNCTIONS.iter().filter(|f| f.returns == ValueType::Vector).collect();
        let function = self.pick(&functions);
        let special = match function.name {
            "label_replace" => {
                let (to, from) = (self.pick(&LABELS), self.pick(&LABELS));
                let to = if self.chance(4) { "__name__" } else { to };
                let pattern = self.pick(&["(.*)", "(a|b).*", "w(.+)t", ""]);
                Some(format!("{}, \"{to}\", \"x$1\", \"{from}\", \"{pattern}\"", self.vector(depth)))
            }
            "label_join" => Some(format!("{}, \"joined\", \"-\", \"host\", \"dc\"", self.vector(depth))),
            "histogram_quantile" => Some(format!("{}, {}", self.share(), self.buckets(depth))),
            "histogram_quantiles" => Some(format!("{}, \"q\", 0.75, {}", self.buckets(depth), self.share())),
            "histogram_fraction" => Some(format!("{}, {}, {}", self.number(), self.number(), self.buckets(depth))),
            "quantile_over_time" => Some(format!("{}, {}", self.share(), self.matrix(depth))),
            "double_exponential_smoothing" => Some(format!("{}, 0.3, 0.6", self.matrix(depth))),
            // Of numbers that are no time, Go's answer depends on the processor.
            name if name.starts_with("day") || ["hour", "minute", "month", "year"].contains(&name) => Some(
                self.pick(&["", "timestamp(gauge)", "sparse * 86400", "vector(time())", "-errors_total * 1e5"])
                    .to_owned(),
            ),
            // With `@` and `offset` both, Prometheus forgets the offset.
            "timestamp" => Some(format!("{}{}", self.metric(), self.matchers())),
            // Steep where they begin and end.
            "acos" | "acosh" | "asin" | "atanh" => Some(format!("gauge{} / 300", self.matchers())),
            // Of large numbers, the last digit of the number is all of the answer.
            "sin" | "cos" | "tan" => Some(format!("gauge{} / 10", self.matchers())),
            "sort_by_label" | "sort_by_label_desc" => Some(format!("{}, \"host\"", self.selector())),
            "info" => {
                let selector = self.pick(&["", ", {version=~\".+\"}", ", {dc=\"west\"}", ", {nothing=\"x\"}"]);
                Some(format!("{}{selector}", self.vector(depth)))
            }
            _ => None,
        };
        let args = special.unwrap_or_else(|| {
            let count = match function.arity {
                Arity::Exact | Arity::Any => function.args.len(),
                Arity::UpTo(_) => function.args.len() - usize::from(self.chance(2)),
            };
            let list: Vec<String> = function.args[..count].iter().map(|kind| self.of_type(*kind, depth)).collect();
            list.join(", ")
        });
        format!("{}({args})", function.name)
    }

    /// A quantile; seldom one that is none.
    fn share(&mut self) -> &'static str {
        self.pick(&["0", "0.1", "0.5", "0.9", "0.95", "0.99", "1", "-1", "2", "NaN"])
    }

    fn buckets(&mut self, depth: u32) -> String {
        let classic = ["latency_bucket", "rate(latency_bucket[5m])", "sum by (le, dc) (rate(latency_bucket[2m]))"];
        let native = ["native", "rate(native[5m])", "native_custom", "sum(rate(native_custom[5m]))", "native_gauge"];
        match self.rng.random_range(0..4) {
            0 => self.vector(depth),
            1 if self.histograms => self.pick(&native).to_owned(),
            _ => self.pick(&classic).to_owned(),
        }
    }

    /// Series of which hardly any two are equal at one time.
    fn distinct(&mut self) -> String {
        let matchers = self.matchers();
        match self.rng.random_range(0..3) {
            0 => format!("avg_over_time(gauge{matchers}[{}])", self.pick(&DURATIONS)),
            1 => format!("gauge_b{matchers} / 7"),
            _ => format!("deriv(gauge{matchers}[{}])", self.pick(&DURATIONS)),
        }
    }

    fn labels(&mut self) -> String {
        let count = self.rng.random_range(0..3);
        let list: Vec<&str> = (0..count).map(|_| self.pick(&LABELS)).collect();
        list.join(", ")
    }

    fn aggregation(&mut self, depth: u32) -> String {
        let grouping = match self.rng.random_range(0..3) {
            0 => String::new(),
            1 => format!(" by ({})", self.labels()),
            _ => format!(" without ({})", self.labels()),
        };
        let inner = self.vector(depth);
        match self.rng.random_range(0..12) {
            0 => format!("quantile{grouping} ({}, {inner})", self.share()),
            1 => {
                let (name, most) = (self.pick(&["topk", "bottomk"]), self.pick(&["1", "2", "3", "7", "-1"]));
                format!("{name}{grouping} ({most}, {})", self.distinct())
            }
            2 => format!("count_values{grouping} (\"value\", {})", self.selector()),
            3 => format!("limit_ratio{grouping} ({}, {inner})", self.pick(&["0.3", "-0.6", "0.9", "1", "-1"])),
            _ => format!("{}{grouping} ({inner})", self.pick(&AGGREGATORS)),
        }
    }

    fn binary(&mut self, depth: u32) -> String {
        if self.chance(10) {
            let (op, number) = (self.pick(&["%", "^", "% -", "^ -"]), self.pick(&["2", "3", "0.5", "7"]));
            return format!("{} {op}{number}", self.selector());
        }
        let left = self.operand(depth);
        let right = self.operand(depth);
        if self.chance(4) {
            let op = self.pick(&["and", "or", "unless"]);
            let (left, right) = (self.vector(depth), self.vector(depth));
            return format!("{left} {op}{} {right}", self.matching(false));
        }
        let arithmetic = ["+", "-", "*", "/", "atan2"];
        let comparison = ["==", "!=", ">", "<", ">=", "<="];
        let op = if self.chance(3) {
            format!("{}{}", self.pick(&comparison), self.pick(&["", " bool"]))
        } else {
            self.pick(&arithmetic).to_owned()
        };
        if self.chance(3) {
            // The same vector at both sides: there every series finds its other.
            return format!("{left} {op} {}", self.vector(0));
        }
        if self.chance(2) {
            let (left, right) = (self.vector(depth), self.vector(depth));
            return format!("{left} {op}{} {right}", self.matching(true));
        }
        let matched = "sum by (host) (gauge)";
        match self.rng.random_range(0..4) {
            0 => format!("{matched} {op} {right}"),
            1 => format!("{left} {op} on (host) group_left () {matched}"),
            2 => format!("{matched} {op} on (host) group_right () {right}"),
            _ => format!("sum by (dc) ({}) {op} sum by (dc) ({})", self.vector(depth), self.vector(depth)),
        }
    }

    fn operand(&mut self, depth: u32) -> String {
        if self.chance(5) { self.scalar(depth) } else { self.vector(depth) }
    }

    fn matching(&mut self, may_fill: bool) -> String {
        let mut out = match self.rng.random_range(0..3) {
            0 => String::new(),
            1 => format!(" on ({})", self.labels()),
            _ => format!(" ignoring ({})", self.labels()),
        };
        if may_fill && !out.is_empty() && self.chance(3) {
            out += self.pick(&[" group_left ()", " group_right ()", " group_left (dc)"]);
        }
        if may_fill && self.chance(4) {
            out += self.pick(&[" fill (0)", " fill_left (1)", " fill_right (-2)"]);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::PARSING;

    #[test]
    fn questions_parse_have_every_function_and_a_seed_gives_them_again() {
        let (mut one, mut two) = (Generator::new(7, true), Generator::new(7, true));
        let (mut refused, mut texts) = (0, String::new());
        for _ in 0..6_000 {
            let (a, b) = (one.question(), two.question());
            assert_eq!((&a.text, a.grid), (&b.text, b.grid));
            // A few break a rule of types (`or` beside a scalar); an engine must refuse them all the same.
            refused += usize::from(promql::parse_expr(&a.text, PARSING).is_err());
            texts += &a.text;
        }
        assert!(refused < 300, "{refused} of 6,000 do not parse");
        let names = FUNCTIONS.iter().map(|function| function.name).chain(AGGREGATORS).chain(["topk", "quantile"]);
        let missing: Vec<&str> = names.filter(|name| !texts.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
