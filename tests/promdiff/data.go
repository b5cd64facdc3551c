package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// series is what a line says of one series: its labels, and points in ascending order.
type series struct {
	Labels map[string]string `json:"labels"`
	Points []point           `json:"points"`
}

// point holds a float, or a histogram; and when its counter began, zero where that is not known.
type point struct {
	T int64          `json:"t"`
	S int64          `json:"s,omitempty"`
	F float          `json:"f"`
	H *jsonHistogram `json:"h,omitempty"`
}

// float is written as text; "stale" is the staleness marker.
type float float64

func (f float) MarshalText() ([]byte, error) {
	if value.IsStaleNaN(float64(f)) {
		return []byte("stale"), nil
	}
	return strconv.AppendFloat(nil, float64(f), 'g', -1, 64), nil
}

func (f *float) UnmarshalText(text []byte) error {
	if string(text) == "stale" {
		*f = float(math.Float64frombits(value.StaleNaN))
		return nil
	}
	parsed, err := strconv.ParseFloat(string(text), 64)
	*f = float(parsed)
	return err
}

type jsonHistogram struct {
	Schema        int32           `json:"schema"`
	Count         float           `json:"count"`
	Sum           float           `json:"sum"`
	ZeroThreshold float           `json:"zero_threshold"`
	ZeroCount     float           `json:"zero_count"`
	PositiveSpans []jsonSpan      `json:"positive_spans"`
	Positive      []float         `json:"positive"`
	NegativeSpans []jsonSpan      `json:"negative_spans"`
	Negative      []float         `json:"negative"`
	Custom        []float         `json:"custom"`
	Hint          jsonCounterHint `json:"hint"`
}

// jsonSpan is the offset and the length.
type jsonSpan [2]int64

// jsonCounterHint has Prometheus' numbers: 0 unknown, 1 reset, 2 no reset, 3 gauge.
type jsonCounterHint byte

func describeHistogram(h *histogram.FloatHistogram) *jsonHistogram {
	if h == nil {
		return nil
	}
	return &jsonHistogram{
		Schema: h.Schema, Count: float(h.Count), Sum: float(h.Sum),
		ZeroThreshold: float(h.ZeroThreshold), ZeroCount: float(h.ZeroCount),
		PositiveSpans: describeSpans(h.PositiveSpans), Positive: convert[float](h.PositiveBuckets),
		NegativeSpans: describeSpans(h.NegativeSpans), Negative: convert[float](h.NegativeBuckets),
		Custom: convert[float](h.CustomValues), Hint: jsonCounterHint(h.CounterResetHint),
	}
}

func (h *jsonHistogram) build() *histogram.FloatHistogram {
	return &histogram.FloatHistogram{
		Schema: h.Schema, Count: float64(h.Count), Sum: float64(h.Sum),
		ZeroThreshold: float64(h.ZeroThreshold), ZeroCount: float64(h.ZeroCount),
		PositiveSpans: buildSpans(h.PositiveSpans), PositiveBuckets: convert[float64](h.Positive),
		NegativeSpans: buildSpans(h.NegativeSpans), NegativeBuckets: convert[float64](h.Negative),
		CustomValues: convert[float64](h.Custom), CounterResetHint: histogram.CounterResetHint(h.Hint),
	}
}

func describeSpans(spans []histogram.Span) []jsonSpan {
	out := make([]jsonSpan, len(spans))
	for i, span := range spans {
		out[i] = jsonSpan{int64(span.Offset), int64(span.Length)}
	}
	return out
}

func buildSpans(spans []jsonSpan) []histogram.Span {
	out := make([]histogram.Span, len(spans))
	for i, span := range spans {
		out[i] = histogram.Span{Offset: int32(span[0]), Length: uint32(span[1])}
	}
	return out
}

func convert[To, From ~float64](list []From) []To {
	if len(list) == 0 {
		return nil
	}
	out := make([]To, len(list))
	for i, v := range list {
		out[i] = To(v)
	}
	return out
}

// memory is a storage of series in the order of their labels.
type memory []stored

type stored struct {
	labels  labels.Labels
	samples []chunks.Sample
}

func load(given []series) (memory, error) {
	out := make(memory, 0, len(given))
	for _, one := range given {
		row := stored{labels: labels.FromMap(one.Labels), samples: make([]chunks.Sample, 0, len(one.Points))}
		for _, p := range one.Points {
			sample := memorySample{t: p.T, st: p.S, f: float64(p.F)}
			if p.H != nil {
				sample.h = p.H.build()
				if err := sample.h.Validate(); err != nil {
					return nil, fmt.Errorf("%s at %d: %w", row.labels, p.T, err)
				}
			}
			row.samples = append(row.samples, sample)
		}
		out = append(out, row)
	}
	slices.SortFunc(out, func(a, b stored) int { return labels.Compare(a.labels, b.labels) })
	return out, nil
}

// memorySample is a float, or a histogram where h is there.
type memorySample struct {
	t  int64
	st int64
	f  float64
	h  *histogram.FloatHistogram
}

func (s memorySample) T() int64              { return s.t }
func (s memorySample) ST() int64             { return s.st }
func (s memorySample) F() float64            { return s.f }
func (memorySample) H() *histogram.Histogram { return nil }

// FH gives a copy, since the engine writes over histograms that it has read.
func (s memorySample) FH() *histogram.FloatHistogram {
	if s.h == nil {
		return nil
	}
	return s.h.Copy()
}

func (s memorySample) Copy() chunks.Sample {
	s.h = s.FH()
	return s
}

func (s memorySample) Type() chunkenc.ValueType {
	if s.h != nil {
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
}

// Querier gives the samples between two times, both inclusive.
func (m memory) Querier(mint, maxt int64) (storage.Querier, error) {
	return memoryQuerier{memory: m, mint: mint, maxt: maxt}, nil
}

type memoryQuerier struct {
	memory
	mint, maxt int64
}

func (q memoryQuerier) Select(
	_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher,
) storage.SeriesSet {
	var found []storage.Series
	for _, row := range q.memory {
		if !matches(row.labels, matchers) {
			continue
		}
		var inside []chunks.Sample
		for _, sample := range row.samples {
			if sample.T() >= q.mint && sample.T() <= q.maxt {
				inside = append(inside, sample)
			}
		}
		if len(inside) > 0 {
			found = append(found, storage.NewListSeries(row.labels, inside))
		}
	}
	return &foundSeries{found: found, at: -1}
}

func matches(set labels.Labels, matchers []*labels.Matcher) bool {
	for _, matcher := range matchers {
		if !matcher.Matches(set.Get(matcher.Name)) {
			return false
		}
	}
	return true
}

// LabelValues is not asked for by the engine.
func (memoryQuerier) LabelValues(
	context.Context, string, *storage.LabelHints, ...*labels.Matcher,
) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames is not asked for by the engine.
func (memoryQuerier) LabelNames(
	context.Context, *storage.LabelHints, ...*labels.Matcher,
) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (memoryQuerier) Close() error { return nil }

type foundSeries struct {
	found []storage.Series
	at    int
}

func (s *foundSeries) Next() bool                      { s.at++; return s.at < len(s.found) }
func (s *foundSeries) At() storage.Series              { return s.found[s.at] }
func (*foundSeries) Err() error                        { return nil }
func (*foundSeries) Warnings() annotations.Annotations { return nil }
