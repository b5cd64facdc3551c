//! Decides which tier answers which part of a range. Pure.
//!
//! (tier map, class, metric, what is needed, range) ─▶ elementary spans between thresholds ─▶ [`Segment`]s
//!
//! Invariant ROUTE-1: the segments of one series are disjoint, ordered, and cover exactly the asked range. Inner
//! boundaries are whole hours. For each hour the cheapest resolution that answers *exactly* is taken, local before
//! cold; if none is kept any more, the finest coarser one answers, and the segment says that it is not exact; if
//! nothing at all is kept, it says that too. Not here: overlays of newer points (`read`), which are looked for in any
//! hour, whoever owns it.

use schemas::tier_map::{Form, Owner, Tier, TierMap};
use schemas::time::HourRange;
use schemas::{Day, DurationMs, Hour, MetricId, Resolution, RetentionClass, TimeRange, TimestampMs};

#[cfg(test)]
mod tests;

/// What a query needs of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Every point.
    Points,
    /// Moments of buckets of a width: whole minutes that divide an hour, or whole hours.
    Moments { width: DurationMs },
    /// Moments of windows `(b, b + w]` and of their multiples: buckets with their edges, of whole minutes that divide an hour, or
    /// of whole hours.
    Windows { width: DurationMs },
    /// The same with sketches, for quantiles. `rollup_1m` in Delta carries a row's sketch only from 100 points on, since
    /// below, p99 is the maximum: `every` asks for the sketches of small buckets too, for other quantiles or to merge.
    Sketches { width: DurationMs, every: bool },
}

impl Need {
    /// Any data at all: what a series of others is named for.
    pub(crate) const ANY: [Self; 3] =
        [Self::Points, Self::Moments { width: DurationMs::MINUTE }, Self::Moments { width: DurationMs::HOUR }];

    /// The width of the buckets; one millisecond for points.
    pub fn width(self) -> DurationMs {
        match self {
            Self::Points => DurationMs(1),
            Self::Moments { width } | Self::Windows { width } | Self::Sketches { width, .. } => width,
        }
    }

    /// The whole buckets of a range, cut to what storage can address; `None` if nothing is left.
    pub(crate) fn cover(self, range: TimeRange) -> Option<TimeRange> {
        addressable().intersect(if self == Self::Points { range } else { range.align_outward(self.width()) })
    }

    /// Stored resolutions, the cheapest to read first, exact ones before coarser ones.
    fn candidates(self) -> &'static [Resolution] {
        use Resolution::{Hour, Minute, Raw};
        match self {
            Self::Points => &[Raw, Minute, Hour],
            _ if self.width() >= DurationMs::HOUR => &[Hour, Minute, Raw],
            Self::Moments { .. } | Self::Windows { .. } | Self::Sketches { .. } => &[Minute, Raw, Hour],
        }
    }

    /// Whether an owner's data of a resolution answers exactly.
    fn is_exact(self, resolution: Resolution, owner: Owner) -> bool {
        let divides = resolution.width().is_none_or(|stored| self != Self::Points && self.width().0 % stored.0 == 0);
        divides && !self.misses_sketches(resolution, owner)
    }

    /// Whether data lacks sketches that are needed.
    fn misses_sketches(self, resolution: Resolution, owner: Owner) -> bool {
        matches!(self, Self::Sketches { every: true, .. }) && (resolution, owner) == (Resolution::Minute, Owner::Cold)
    }
}

/// Where the data of a segment is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// `Local` or `Cold`.
    pub owner: Owner,
    pub resolution: Resolution,
    /// The tier as answers name it.
    pub tier: Tier,
    /// Whether it answers exactly what is needed; otherwise it is coarser.
    pub exact: bool,
}

impl Source {
    pub(crate) fn is_local(&self) -> bool {
        self.owner == Owner::Local
    }
}

/// A part of the range that one source answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub range: TimeRange,
    /// `None`: nothing of it is kept any more.
    pub source: Option<Source>,
}

impl Segment {
    /// The width of the buckets that it gives: what is needed, or the coarser one that is kept.
    pub fn width(&self, need: Need) -> DurationMs {
        let stored = self.source.and_then(|source| source.resolution.width()).unwrap_or(DurationMs(1));
        need.width().max(stored)
    }

    /// The hours it touches.
    pub fn hours(&self) -> HourRange {
        self.range.hours()
    }
}

/// Routes one metric of one class. Only the part of `range` that storage can address is routed; in it ROUTE-1 holds.
pub fn route(map: &TierMap, class: RetentionClass, metric: MetricId, need: Need, range: TimeRange) -> Vec<Segment> {
    let Some(range) = addressable().intersect(range) else { return Vec::new() };
    let router = Router { map, class, metric, need, sealed_end: sealed_end(map) };
    let mut segments: Vec<Segment> = Vec::new();
    for piece in router.elementary(range.hours()) {
        router.push_piece(piece, range, &mut segments);
    }
    segments
}

/// From the first to the last hour of a range in which Delta would answer any of these needs, for a metric of whichever form.
pub(crate) fn delta_hours(map: &TierMap, class: RetentionClass, needs: &[Need], range: TimeRange) -> Option<HourRange> {
    let metric = MetricId(u32::MAX);
    let of_need = |&need: &Need| {
        let router = Router { map, class, metric, need, sealed_end: sealed_end(map) };
        let is_deltas = |form, hour| router.source(form, hour).is_some_and(|source| source.owner == Owner::Cold);
        let mut pieces = router.elementary(need.cover(range)?.hours());
        pieces.retain(|piece| Form::ALL.into_iter().any(|form| is_deltas(form, piece.start)));
        Some(HourRange { start: pieces.first()?.start, end: pieces.last()?.end })
    };
    let both = |a: HourRange, b: HourRange| HourRange { start: a.start.min(b.start), end: a.end.max(b.end) };
    needs.iter().filter_map(of_need).reduce(both)
}

/// All time that points can have.
pub(crate) fn addressable() -> TimeRange {
    TimeRange::new(TimestampMs::MIN, TimestampMs::MAX).expect("the constants are in order")
}

/// The first hour behind every sealed one: from here on all data is in the head and in runs.
fn sealed_end(map: &TierMap) -> Hour {
    map.sealed_through.last_key_value().map_or(Hour(0), |(hour, _)| hour.next())
}

struct Router<'a> {
    map: &'a TierMap,
    class: RetentionClass,
    metric: MetricId,
    need: Need,
    sealed_end: Hour,
}

impl Router<'_> {
    /// Spans of hours between which no threshold lies, so that within one only the day's form makes a difference.
    fn elementary(&self, hours: HourRange) -> Vec<HourRange> {
        let mut cuts = vec![hours.start, hours.end, self.sealed_end];
        for form in Form::ALL {
            for resolution in Resolution::ALL {
                let thresholds = self.map.thresholds(self.class, form, resolution);
                cuts.extend([thresholds.hot_lo, thresholds.cold_lo]);
            }
        }
        cuts.retain(|&cut| hours.start <= cut && cut <= hours.end);
        cuts.sort_unstable();
        cuts.dedup();
        cuts.windows(2).map(|pair| HourRange { start: pair[0], end: pair[1] }).collect()
    }

    fn push_piece(&self, piece: HourRange, within: TimeRange, out: &mut Vec<Segment>) {
        let [raw, raw1m] = Form::ALL.map(|form| self.source(form, piece.start));
        if raw == raw1m {
            push(out, piece, within, raw);
            return;
        }
        let mut start = piece.start;
        while start < piece.end {
            let decided = self.decided_from(start.day()).map_or(piece.end, |day| day.hours().start);
            let decided = decided.clamp(start, piece.end);
            push(out, HourRange { start, end: decided }, within, raw1m);
            let end = decided.day().hours().end.min(piece.end);
            let form = self.map.form(self.class, self.metric, decided.day());
            let source = if form == Form::Raw { raw } else { raw1m };
            push(out, HourRange { start: decided, end }, within, source);
            start = end;
        }
    }

    /// The first day from `day` on that the map has forms of. All before count as identity, and may be very many.
    fn decided_from(&self, day: Day) -> Option<Day> {
        let mut decided = self.map.forms.range((self.class, day, MetricId(0))..).map(|(key, _)| *key);
        decided.next().filter(|(class, ..)| *class == self.class).map(|(_, day, _)| day)
    }

    /// The source of an hour, for a metric of `form`.
    fn source(&self, form: Form, hour: Hour) -> Option<Source> {
        let owner = |resolution| self.map.owner(self.class, form, resolution, hour);
        let candidates = self.need.candidates();
        let exact = |wanted: Owner| {
            let serves = |&r: &Resolution| owner(r) == wanted && self.need.is_exact(r, wanted);
            candidates.iter().copied().find(serves).map(|r| (r, wanted))
        };
        let kept = || candidates.iter().map(|&r| (r, owner(r))).filter(|(_, owner)| *owner != Owner::Expired);
        let with_sketches = || kept().find(|&(r, owner)| !self.need.misses_sketches(r, owner));
        let found = exact(Owner::Local).or_else(|| exact(Owner::Cold)).or_else(with_sketches).or_else(|| kept().next());
        let (resolution, owner) = found?;
        let exact = self.need.is_exact(resolution, owner);
        Some(Source { owner, resolution, tier: self.tier(form, resolution, owner, hour), exact })
    }

    /// How answers name the tier. Chunks that serve 1-minute reads (identity) outlive the raw retention; from then
    /// on they are called warm, as the rows that they stand for would be.
    fn tier(&self, form: Form, resolution: Resolution, owner: Owner, hour: Hour) -> Tier {
        if owner == Owner::Cold {
            return Tier::Cold;
        }
        if hour >= self.sealed_end {
            return Tier::Hot;
        }
        let served_raw = resolution == Resolution::Raw || (form == Form::Raw1m && resolution == Resolution::Minute);
        let raw_is_kept = hour >= self.map.thresholds(self.class, Form::Raw, Resolution::Raw).hot_lo;
        if served_raw && raw_is_kept { Tier::Hot } else { Tier::Warm }
    }
}

/// Appends hours as a segment, or lengthens the last one.
fn push(out: &mut Vec<Segment>, hours: HourRange, within: TimeRange, source: Option<Source>) {
    let Some(range) = hours.time().intersect(within) else { return };
    match out.last_mut() {
        Some(last) if last.source == source => {
            last.range = TimeRange::new(last.range.start(), range.end()).expect("segments are made in order");
        }
        _ => out.push(Segment { range, source }),
    }
}
