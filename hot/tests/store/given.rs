//! A store in a temporary directory, an archive in memory that stands for Delta, and the naive model of both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hot::{HourSeal, SealStats, Store, StoreConfig, View};
use runtime::ManualClock;
use schemas::histogram::{Buckets, Histogram, Span};
use schemas::points::{histogram_marker, is_histogram, is_stale};
use schemas::rollup::{Moments, aggregate_by_bucket};
use schemas::tier_map::{DeltaVersions, Form, Owner, Thresholds};
use schemas::time::{HOUR_MS, HourRange};
use schemas::{
    DurationMs, Epoch, Hour, Labels, PointBatch, Points, Resolution, RetentionClass, SeriesAddress, TierMap,
};
use tempfile::TempDir;

pub(crate) const CLASS: RetentionClass = RetentionClass::DEFAULT;
/// An hour at the start of a day and a week, so that stories may cross both.
pub(crate) const FIRST: Hour = Hour(2_940 * 7 * 24);

/// A point of a story: series by number, milliseconds since `FIRST`, value, which may name a native histogram.
pub(crate) type Told = (usize, i64, f64);

/// A NaN that names a native histogram of a story by its number in the low half.
const NATIVE: u64 = 0x7ff8_6869_0000_0000;

/// The name of a native histogram, for the value of a [`Told`].
pub(crate) fn native(number: u32) -> f64 {
    f64::from_bits(NATIVE | u64::from(number))
}

fn named_by(value: f64) -> Option<u32> {
    (value.to_bits() & NATIVE == NATIVE).then(|| u32::try_from(value.to_bits() ^ NATIVE).ok()).flatten()
}

/// The native histogram of this name: neighbours share their layout.
pub(crate) fn histogram(number: u32) -> Histogram {
    let length = 2 + number / 8 % 3;
    let counts: Vec<f64> = (0..length).map(|bucket| f64::from(number * bucket)).collect();
    Histogram {
        schema: 2,
        count: counts.iter().sum(),
        sum: f64::from(number),
        positive: Buckets { spans: vec![Span { offset: -1, length }], counts },
        is_integer: true,
        ..Histogram::default()
    }
}

/// The points as a story tells them: native histograms by their names.
fn told(points: &Points) -> impl Iterator<Item = (i64, f64)> + '_ {
    assert_eq!(points.histograms.len(), points.values.iter().filter(|value| is_histogram(**value)).count());
    points.iter().map(|(ts, value)| {
        if !is_histogram(value) {
            return (ts, value);
        }
        let found = points.histograms.get(ts).expect("each value that stands for a histogram has one");
        let number = (0..1_000).find(|&number| f64::from(number).to_bits() == found.sum.to_bits());
        let number = number.expect("a histogram that was told");
        assert_eq!(**found, histogram(number));
        (ts, native(number))
    })
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    dir: PathBuf,
    /// Removes the directory at the end; `None` when it is somebody else's.
    _kept: Option<TempDir>,
    config: Box<dyn Fn(&mut StoreConfig)>,
    store: Option<Arc<Store>>,
    /// What stands for Delta.
    pub(crate) delta: BTreeMap<(Hour, SeriesAddress), Points>,
    delta_version: u64,
    /// Every point that was acknowledged, by the rule of who wins (SET-1).
    pub(crate) model: BTreeMap<(usize, i64), f64>,
    series: BTreeSet<usize>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(config: impl Fn(&mut StoreConfig) + 'static) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("hot");
        Self::of(path, Some(dir), Box::new(config))
    }

    /// The world of a directory that somebody else keeps, with what its story has told so far.
    pub(crate) fn at(dir: &Path) -> Self {
        Self::of(dir.to_owned(), None, Box::new(|_| {}))
    }

    fn of(dir: PathBuf, kept: Option<TempDir>, config: Box<dyn Fn(&mut StoreConfig)>) -> Self {
        let mut world = Self {
            clock: Arc::new(ManualClock::at(FIRST.start().0)),
            dir,
            _kept: kept,
            config,
            store: None,
            delta: BTreeMap::new(),
            delta_version: 0,
            model: BTreeMap::new(),
            series: BTreeSet::new(),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let mut config = StoreConfig::new(&self.dir);
        config.background_flush = false;
        config.readers_patience = DurationMs(0);
        config.block_cache_bytes = 1 << 20;
        (self.config)(&mut config);
        let clock: Arc<dyn runtime::Clock> = Arc::clone(&self.clock) as Arc<dyn runtime::Clock>;
        self.store = Some(Store::open(config, clock).expect("the store opens"));
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        self.store.as_ref().expect("open but while it is opened again")
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Teaches the model points that were acknowledged before.
    pub(crate) fn remember(&mut self, told: &[Told]) {
        for &(series, at, value) in told {
            self.series.insert(series);
            learn(&mut self.model, (series, at), value);
        }
    }

    /// Ends the store without a flush, as `kill -9` would, and opens it again.
    pub(crate) fn reopen(&mut self) {
        let store = self.store.take().expect("open");
        assert_eq!(Arc::strong_count(&store), 1, "nobody else may keep the directory open");
        drop(store);
        self.open();
    }

    pub(crate) fn append(&mut self, told: &[Told]) {
        let mut batch = PointBatch::new();
        let mut entries = BTreeMap::new();
        for &(series, at, value) in told {
            let entry = *entries.entry(series).or_insert_with(|| batch.add_canonical(labels(series).as_bytes()));
            match named_by(value) {
                Some(number) => batch.push_histogram(entry, FIRST.start().0 + at, Arc::new(histogram(number))),
                None => batch.push(entry, FIRST.start().0 + at, value),
            }
        }
        let appended = self.store().append(&batch).expect("there is room");
        assert_eq!(appended.accepted, told.len() as u64, "{appended:?}");
        self.remember(told);
    }

    pub(crate) fn flush(&self) {
        self.store().flush().expect("flushes");
    }

    /// Seals an hour wherever its raw points are; `false` when there was nothing to do.
    pub(crate) fn seal(&mut self, hour: Hour) -> bool {
        self.seal_with_stats(hour).is_some()
    }

    pub(crate) fn seal_with_stats(&mut self, hour: Hour) -> Option<SealStats> {
        let store = Arc::clone(self.store());
        let mut seal: HourSeal = store.begin_seal(hour).expect("begins")?;
        if !is_delta_s(seal.view().map(), hour) {
            seal.write(None, &[], None).expect("writes");
            return Some(seal.finish(None).expect("finishes"));
        }
        let in_delta: BTreeMap<SeriesAddress, Points> =
            self.delta.iter().filter(|((of, _), _)| *of == hour).map(|(key, points)| (key.1, points.clone())).collect();
        let cold_series: Vec<SeriesAddress> = in_delta.keys().copied().collect();
        let mut united: Vec<(SeriesAddress, Points)> = Vec::new();
        let mut cold = |address: SeriesAddress| Ok(in_delta.get(&address).cloned().unwrap_or_default());
        let mut tee = |address: SeriesAddress, points: &Points| {
            united.push((address, points.clone()));
            Ok(())
        };
        seal.write(Some(&mut cold), &cold_series, Some(&mut tee)).expect("writes");
        assert!(united.is_sorted_by(|a, b| a.0 < b.0), "series come by address");
        self.delta.extend(united.into_iter().map(|(address, points)| ((hour, address), points)));
        let versions = self.next_versions();
        Some(seal.finish([(CLASS, versions)]).expect("finishes"))
    }

    /// Copies the base of a sealed hour to what stands for Delta.
    pub(crate) fn archive(&mut self, hour: Hour) -> bool {
        let store = Arc::clone(self.store());
        let Some(guard) = store.lock_hours(one(hour)) else { return false };
        let view = store.view();
        let map = view.map();
        let local = map.owner(CLASS, Form::Raw1m, Resolution::Raw, hour) == Owner::Local;
        let through = map.sealed_through(hour);
        if !local || through == schemas::Epoch::ZERO || map.is_archived(CLASS, hour) {
            return false;
        }
        let addresses = view.base_addresses(hour).expect("reads");
        view.scan_points(hour, &addresses, &mut |at, points| {
            self.delta.insert((hour, addresses[at]), points.clone());
        })
        .expect("scans");
        let versions = self.next_versions();
        store.record_archived(hour, CLASS, through, versions, &guard).expect("records");
        true
    }

    fn next_versions(&mut self) -> DeltaVersions {
        self.delta_version += 1;
        DeltaVersions { raw: Some(self.delta_version), ..DeltaVersions::default() }
    }

    /// Gives every hour before `hot_lo` to Delta, at every resolution, and what is before `cold_lo` to nobody.
    pub(crate) fn raise(&self, hot_lo: Hour, cold_lo: Hour) {
        let store = self.store();
        let guard = store.lock_hours(HourRange { start: Hour(0), end: hot_lo }).expect("nobody works");
        for form in Form::ALL {
            for resolution in Resolution::ALL {
                let to = Thresholds { hot_lo, cold_lo };
                store.raise_thresholds(CLASS, form, resolution, to, &guard).expect("raises");
            }
        }
    }

    pub(crate) fn address(&self, series: usize) -> SeriesAddress {
        let info = self.store().index().by_series_id(labels(series).hash().series_id());
        info.expect("the series is known").address
    }

    pub(crate) fn knows(&self, series: usize) -> bool {
        self.store().index().by_series_id(labels(series).hash().series_id()).is_some()
    }

    /// The points of one series in an hour, by milliseconds since `FIRST`.
    pub(crate) fn read_of(&self, series: usize, hour: Hour) -> BTreeMap<i64, u64> {
        let points = self.settled(&self.store().view(), hour, &[self.address(series)]);
        points.iter().flat_map(told).map(|(ts, value)| (ts - FIRST.start().0, value.to_bits())).collect()
    }

    /// Every point of an hour, by series and milliseconds since `FIRST`, from whoever owns it.
    pub(crate) fn read(&self, hour: Hour) -> BTreeMap<(usize, i64), u64> {
        let view = self.store().view();
        let (series, addresses) = self.by_address();
        let mut all = BTreeMap::new();
        for (points, series) in self.settled(&view, hour, &addresses).iter().zip(&series) {
            for (ts, value) in told(points) {
                all.insert((*series, ts - FIRST.start().0), value.to_bits());
            }
        }
        all
    }

    fn by_address(&self) -> (Vec<usize>, Vec<SeriesAddress>) {
        // A series whose last day is gone is forgotten.
        let known = self.series.iter().filter(|&&series| self.knows(series));
        let mut known: Vec<(SeriesAddress, usize)> = known.map(|&series| (self.address(series), series)).collect();
        known.sort();
        (known.iter().map(|(_, series)| *series).collect(), known.iter().map(|(address, _)| *address).collect())
    }

    /// Base of the owner ⊕ what is newer than its through.
    fn settled(&self, view: &View, hour: Hour, addresses: &[SeriesAddress]) -> Vec<Points> {
        let map = view.map();
        let mut points = vec![Points::default(); addresses.len()];
        match owner(map, addresses, hour, Resolution::Raw) {
            Owner::Local => {
                let mut copy = |at: usize, base: &Points| points[at] = base.clone();
                view.scan_points(hour, addresses, &mut copy).expect("scans");
            }
            Owner::Cold => {
                for (points, &address) in points.iter_mut().zip(addresses) {
                    *points = self.delta.get(&(hour, address)).cloned().unwrap_or_default();
                }
            }
            Owner::Expired => return points,
        }
        let through = through(map, addresses, hour, Resolution::Raw);
        if let Some(overlay) = view.overlay(hour, through).expect("readable") {
            let mut lay = |at: usize, newer: &Points| points[at] = points[at].overlaid_with(newer);
            overlay.read(addresses, &mut lay).expect("readable");
        }
        points
    }

    /// The moments of an hour by series and bucket start: rows where nothing newer touches the series, else raw.
    pub(crate) fn read_moments(&self, hour: Hour, width: DurationMs) -> BTreeMap<(usize, i64), Moments> {
        let view = self.store().view();
        let (series, addresses) = self.by_address();
        let resolution = if width == DurationMs::HOUR { Resolution::Hour } else { Resolution::Minute };
        let mut moments: Vec<Vec<(i64, Moments)>> = vec![Vec::new(); addresses.len()];
        if owner(view.map(), &addresses, hour, resolution) == Owner::Local {
            let mut copy = |at: usize, rows: &[(i64, Moments)]| moments[at] = rows.to_vec();
            view.scan_aggregates(hour, width, &addresses, &mut copy).expect("scans");
        } else {
            for (at, points) in self.settled(&view, hour, &addresses).iter().enumerate() {
                moments[at] = cut(points, width);
            }
        }
        let through = through(view.map(), &addresses, hour, resolution);
        if let Some(overlay) = view.overlay(hour, through).expect("readable") {
            let mut touched = Vec::new();
            overlay.read(&addresses, &mut |at, _| touched.push(at)).expect("readable");
            let raw = self.settled(&view, hour, &addresses);
            for at in touched {
                moments[at] = cut(&raw[at], width);
            }
        }
        let rows = moments.into_iter().zip(series);
        rows.flat_map(|(rows, series)| rows.into_iter().map(move |(start, m)| ((series, start - FIRST.start().0), m)))
            .collect()
    }

    /// What the model says of an hour.
    pub(crate) fn expected(&self, hour: Hour) -> BTreeMap<(usize, i64), u64> {
        let from = hour.start().0 - FIRST.start().0;
        let of_hour = |at: i64| (from..from + HOUR_MS).contains(&at);
        self.model.iter().filter(|((_, at), _)| of_hour(*at)).map(|(&key, value)| (key, value.to_bits())).collect()
    }

    pub(crate) fn expected_moments(&self, hour: Hour, width: DurationMs) -> BTreeMap<(usize, i64), Moments> {
        let mut of_series: BTreeMap<usize, Points> = BTreeMap::new();
        for ((series, at), bits) in self.expected(hour) {
            let value = f64::from_bits(bits);
            let value = if named_by(value).is_some() { histogram_marker() } else { value };
            of_series.entry(series).or_default().push(FIRST.start().0 + at, value);
        }
        let rows = of_series.iter().flat_map(|(&series, points)| {
            cut(points, width).into_iter().map(move |(start, moments)| ((series, start - FIRST.start().0), moments))
        });
        rows.collect()
    }

    /// 1-hour rollups that are kept decoded are those that lie there, in hours where queries read them.
    fn kept_is_stored(&self, hour: Hour) -> Result<(), String> {
        let view = self.store().view();
        let (_, all) = self.by_address();
        let through = view.map().sealed_through(hour);
        let is_local = owner(view.map(), &all, hour, Resolution::Hour) == Owner::Local;
        if through == Epoch::ZERO || !is_local || view.overlay(hour, through).expect("readable").is_some() {
            return Ok(());
        }
        let some: Vec<SeriesAddress> = all.iter().skip(1).step_by(2).copied().collect();
        for addresses in [&all, &some] {
            let (mut kept, mut stored) = (Vec::new(), Vec::new());
            view.scan_decoded_hour(hour, addresses, &mut |at, buckets| kept.push((at, buckets.to_vec())))
                .expect("scans");
            view.scan_bucket_moments(hour, Resolution::Hour, addresses, &mut |at, buckets| {
                stored.push((at, buckets.to_vec()));
            })
            .expect("scans");
            if format!("{kept:?}") != format!("{stored:?}") {
                return Err(format!("1-hour rollups kept of {hour}: {kept:?} instead of {stored:?}"));
            }
        }
        Ok(())
    }

    /// Raw points, minutes and hours of an hour are those of the model.
    pub(crate) fn agrees(&self, hour: Hour) -> Result<(), String> {
        let (got, want) = (self.read(hour), self.expected(hour));
        if got != want {
            return Err(format!("raw points of {hour}: {}", first_difference(&got, &want)));
        }
        for width in [DurationMs::MINUTE, DurationMs::minutes(5), DurationMs::HOUR] {
            let (got, want) = (self.read_moments(hour, width), self.expected_moments(hour, width));
            if !same_moments(&got, &want) {
                return Err(format!("{width} of {hour}: {}", first_difference(&got, &want)));
            }
        }
        self.kept_is_stored(hour)
    }
}

fn first_difference<V: std::fmt::Debug>(got: &BTreeMap<(usize, i64), V>, want: &BTreeMap<(usize, i64), V>) -> String {
    let differs = |key: &&(usize, i64)| format!("{:?}", got.get(*key)) != format!("{:?}", want.get(*key));
    let first = got.keys().chain(want.keys()).filter(differs).min();
    first.map_or_else(String::new, |key| format!("{key:?}: {:?} instead of {:?}", got.get(key), want.get(key)))
}

fn same_moments(got: &BTreeMap<(usize, i64), Moments>, want: &BTreeMap<(usize, i64), Moments>) -> bool {
    got.len() == want.len()
        && got.iter().zip(want).all(|((got_key, got), (want_key, want))| {
            // Sums are compensated, but not associative to the last bit.
            let near = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-9 * b.abs().max(1.0);
            let close = near(got.sum, want.sum) && near(got.reset_adj, want.reset_adj);
            let exact = |m: &Moments| (m.count, m.nan_count, m.min.to_bits(), m.max.to_bits(), m.resets, m.stale_ts);
            let ends =
                |m: &Moments| (m.count > 0).then_some((m.first_ts, m.first.to_bits(), m.last_ts, m.last.to_bits()));
            got_key == want_key && close && exact(got) == exact(want) && ends(got) == ends(want)
        })
}

fn cut(points: &Points, width: DurationMs) -> Vec<(i64, Moments)> {
    let mut out = Vec::new();
    aggregate_by_bucket(&points.timestamps, &points.values, width, |start, moments| out.push((start, moments)));
    out
}

/// Whether Delta owns raw points of an hour, of either form.
pub(crate) fn is_delta_s(map: &TierMap, hour: Hour) -> bool {
    Form::ALL.iter().any(|&form| map.owner(CLASS, form, Resolution::Raw, hour) == Owner::Cold)
}

/// All forms move together in these stories, so one owner answers for all series.
fn owner(map: &TierMap, addresses: &[SeriesAddress], hour: Hour, resolution: Resolution) -> Owner {
    let form = addresses.first().map_or(Form::Raw1m, |address| map.form(CLASS, address.metric, hour.day()));
    map.owner(CLASS, form, resolution, hour)
}

fn through(map: &TierMap, addresses: &[SeriesAddress], hour: Hour, resolution: Resolution) -> schemas::Epoch {
    let form = addresses.first().map_or(Form::Raw1m, |address| map.form(CLASS, address.metric, hour.day()));
    map.owner_through(CLASS, form, resolution, hour)
}

/// SET-1, told naively.
pub(crate) fn learn(model: &mut BTreeMap<(usize, i64), f64>, key: (usize, i64), value: f64) {
    let keeps = model.get(&key).is_some_and(|held| is_stale(value) && !is_stale(*held));
    if !keeps {
        model.insert(key, value);
    }
}

pub(crate) fn labels(series: usize) -> Labels {
    let metric = format!("metric_{}", series % 3);
    Labels::new([("__name__", metric), ("instance", format!("host-{series}"))]).expect("valid labels")
}

pub(crate) fn one(hour: Hour) -> HourRange {
    HourRange { start: hour, end: hour.next() }
}

/// The hour `n` after the first.
pub(crate) fn hour(n: u32) -> Hour {
    Hour(FIRST.0 + n)
}

/// Milliseconds since the first hour.
pub(crate) fn at(hours: i64, ms: i64) -> i64 {
    hours * HOUR_MS + ms
}
