// Writes golden requests of remote write 2.0 with Prometheus' own encoder, as its remote storage client does: an
// io.prometheus.write.v2.Request with a table of symbols, marshalled, in one snappy block.
//
//	cd tests/golden/push && go run ./remote_write_v2 v1
package main

import (
	"log"
	"math"
	"os"
	"path/filepath"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

const now = 1_742_221_800_000 // 2025-03-17T14:30:00Z

// request gathers series as the queue manager does.
type request struct {
	symbols writev2.SymbolsTable
	series  []writev2.TimeSeries
}

func (r *request) add(series writev2.TimeSeries, pairs ...string) {
	series.LabelsRefs = r.symbols.SymbolizeLabels(labels.FromStrings(pairs...), nil)
	r.series = append(r.series, series)
}

func (r *request) said(kind writev2.Metadata_MetricType, help, unit string) writev2.Metadata {
	return writev2.Metadata{Type: kind, HelpRef: r.symbols.Symbolize(help), UnitRef: r.symbols.Symbolize(unit)}
}

func scrape() *request {
	r := &request{symbols: writev2.NewSymbolTable()}
	r.add(writev2.TimeSeries{
		Samples:  []writev2.Sample{{Value: 1, Timestamp: now}},
		Metadata: r.said(writev2.Metadata_METRIC_TYPE_GAUGE, "Whether the target answers.", ""),
	}, "__name__", "up", "instance", "localhost:9090", "job", "prometheus")
	r.add(writev2.TimeSeries{
		Samples: []writev2.Sample{
			{Value: 1027, Timestamp: now - 15_000, StartTimestamp: now - 60_000},
			{Value: 1030, Timestamp: now, StartTimestamp: now - 60_000},
		},
		Exemplars: []writev2.Exemplar{{
			LabelsRefs: r.symbols.SymbolizeLabels(labels.FromStrings("trace_id", "a"), nil), Value: 0.5, Timestamp: now,
		}},
		Metadata: r.said(writev2.Metadata_METRIC_TYPE_COUNTER, "Requests by code.", "requests"),
	}, "__name__", "http_requests_total", "code", "200", "instance", "localhost:9090", "job", "prometheus")
	r.add(writev2.TimeSeries{
		Samples: []writev2.Sample{{Value: math.Float64frombits(value.StaleNaN), Timestamp: now}},
	}, "__name__", "gone", "région", "Zürich")
	return r
}

func histograms() *request {
	r := &request{symbols: writev2.NewSymbolTable()}
	spans := []histogram.Span{{Offset: -1, Length: 2}, {Offset: 3, Length: 1}}
	integer := &histogram.Histogram{
		Schema: 2, ZeroThreshold: 0.001, ZeroCount: 1, Count: 12, Sum: 18.4,
		PositiveSpans: spans, PositiveBuckets: []int64{3, 1, -2},
		NegativeSpans: []histogram.Span{{Offset: 0, Length: 1}}, NegativeBuckets: []int64{2},
	}
	custom := &histogram.Histogram{
		Schema: histogram.CustomBucketsSchema, Count: 6, Sum: 7.5, CustomValues: []float64{0.5, 1, 2.5},
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 1}, {Offset: 1, Length: 2}}, PositiveBuckets: []int64{1, 1, 1},
	}
	gone := &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}
	add := func(name string, histograms ...writev2.Histogram) {
		r.add(writev2.TimeSeries{
			Histograms: histograms,
			Metadata:   r.said(writev2.Metadata_METRIC_TYPE_HISTOGRAM, "Sizes.", "bytes"),
		}, "__name__", name, "job", "prometheus")
	}
	add("integer", writev2.FromIntHistogram(now-60_000, now-15_000, integer), writev2.FromIntHistogram(now-60_000, now, gone))
	add("float", writev2.FromFloatHistogram(0, now, integer.ToFloat(nil)))
	add("custom", writev2.FromIntHistogram(0, now, custom))
	return r
}

func main() {
	for name, r := range map[string]*request{"scrape": scrape(), "histograms": histograms()} {
		request := writev2.Request{Symbols: r.symbols.Symbols(), Timeseries: r.series}
		message, err := request.Marshal()
		if err != nil {
			log.Fatal(err)
		}
		path := filepath.Join(os.Args[1], "remote_write_v2."+name+".bin")
		if err := os.WriteFile(path, snappy.Encode(nil, message), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
