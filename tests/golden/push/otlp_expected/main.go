// Writes what Prometheus makes of golden OTLP requests: the series, times and values that its own converter appends,
// under several settings. And the names that otlptranslator gives metrics of a list.
//
//	cd tests/golden/push && go run ./otlp_expected v1
package main

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
)

// lines takes what is appended, a line a sample.
type lines struct{ out []string }

func (*lines) Commit() error   { return nil }
func (*lines) Rollback() error { return nil }

func (l *lines) Append(_ storage.SeriesRef, ls labels.Labels, _, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	var series []string
	ls.Range(func(label labels.Label) { series = append(series, fmt.Sprintf("%s=%q", label.Name, label.Value)) })
	value := fmt.Sprintf("%016x", math.Float64bits(v))
	if h != nil {
		fh = h.ToFloat(nil)
	}
	if fh != nil {
		value = fmt.Sprintf("schema=%d count=%g sum=%g zero=%g", fh.Schema, fh.Count, fh.Sum, fh.ZeroCount)
		for _, side := range []struct {
			name   string
			bucket histogram.BucketIterator[float64]
		}{{"+", fh.PositiveBucketIterator()}, {"-", fh.NegativeBucketIterator()}} {
			for side.bucket.Next() {
				if bucket := side.bucket.At(); bucket.Count > 0 {
					value += fmt.Sprintf(" %s%d:%g", side.name, bucket.Index, bucket.Count)
				}
			}
		}
		if len(fh.CustomValues) > 0 {
			value += fmt.Sprintf(" bounds=%v", fh.CustomValues)
		}
	}
	l.out = append(l.out, fmt.Sprintf("%s %d %s", strings.Join(series, ","), t, value))
	return 0, nil
}

func converted(path string, settings prometheusremotewrite.Settings) []string {
	bytes, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	request := pmetricotlp.NewExportRequest()
	if err := request.UnmarshalProto(bytes); err != nil {
		log.Fatal(err)
	}
	taken := &lines{}
	converter := prometheusremotewrite.NewPrometheusConverter(taken)
	if _, err := converter.FromMetrics(context.Background(), request.Metrics(), settings); err != nil {
		log.Fatal(err)
	}
	sort.Strings(taken.out)
	return taken.out
}

func write(path string, out []string) {
	if err := os.WriteFile(path, []byte(strings.Join(out, "\n")+"\n"), 0o644); err != nil {
		log.Fatal(err)
	}
}

var strategies = []otlptranslator.TranslationStrategyOption{
	otlptranslator.UnderscoreEscapingWithSuffixes, otlptranslator.UnderscoreEscapingWithoutSuffixes,
	otlptranslator.NoUTF8EscapingWithSuffixes, otlptranslator.NoTranslation,
}

func names() (out []string) {
	kinds := map[string]otlptranslator.MetricType{
		"gauge": otlptranslator.MetricTypeGauge, "counter": otlptranslator.MetricTypeMonotonicCounter,
		"other": otlptranslator.MetricTypeHistogram,
	}
	names := []string{
		"http.server.request.duration", "requests_total", "total.requests", "requests.total", "total", "a.total", "cpu.ratio",
		"memory_bytes", "memory.bytes", "speed_km_per_hour", "__a__b..c__", "_a", "2xx.responses", "job:latency:p99", "größe",
		"per.second", "seconds", "日本", "a b", "ratio", "x", "a__b", "9",
	}
	units := []string{
		"", "1", "s", "By/s", "{request}", "{request}/s", "1/s", "%", "km/h", "$€/min", "/s", " s / m ", "_x_", "a__b/c__d",
	}
	for number, strategy := range strategies {
		namer := otlptranslator.NewMetricNamer("", strategy)
		for _, name := range names {
			for _, unit := range units {
				for _, kind := range []string{"gauge", "counter", "other"} {
					built, err := namer.Build(otlptranslator.Metric{Name: name, Unit: unit, Type: kinds[kind]})
					if err != nil {
						built = "!"
					}
					out = append(out, fmt.Sprintf("%d\t%s\t%s\t%s\t%s", number, name, unit, kind, built))
				}
			}
		}
	}
	return out
}

func labelNames() (out []string) {
	for number, strategy := range strategies {
		for _, sanitize := range []bool{false, true} {
			for _, preserve := range []bool{false, true} {
				namer := otlptranslator.LabelNamer{
					UTF8Allowed: !strategy.ShouldEscape(), UnderscoreLabelSanitization: sanitize, PreserveMultipleUnderscores: preserve,
				}
				for _, name := range []string{
					"a", "http.method", "a..b", "a__b", "_private", "__reserved__", "__re..served__x__", "2nd", "straße", "_", "__", "____",
					"..", "é", "a-b", "_2", "__x", "x__", "9", "日本",
				} {
					built, err := namer.Build(name)
					if err != nil {
						built = "!"
					}
					out = append(out, fmt.Sprintf("%d\t%t\t%t\t%s\t%s", number, sanitize, preserve, name, built))
				}
			}
		}
	}
	return out
}

func unitNames() (out []string) {
	namer := otlptranslator.UnitNamer{}
	for _, unit := range []string{"", "1", "s", "By/s", "{x}", "{x}/h", "1/s", "_x_", "$€/min", "%", "/s", "m/s", " s / m "} {
		out = append(out, unit+"\t"+namer.Build(unit))
	}
	return out
}

func main() {
	dir := os.Args[1]
	write(filepath.Join(dir, "otlp.metric_names.txt"), names())
	write(filepath.Join(dir, "otlp.label_names.txt"), labelNames())
	write(filepath.Join(dir, "otlp.units.txt"), unitNames())
	requests, err := filepath.Glob(filepath.Join(dir, "otlp.*.bin"))
	if err != nil {
		log.Fatal(err)
	}
	for _, path := range requests {
		if strings.Contains(path, "delta") {
			continue // Prometheus does not add differences up.
		}
		for _, strategy := range strategies {
			settings := prometheusremotewrite.Settings{
				AddMetricSuffixes: strategy.ShouldAddSuffixes(), AllowUTF8: !strategy.ShouldEscape(),
				LabelNameUnderscoreSanitization: true, LabelNamePreserveMultipleUnderscores: true,
			}
			write(strings.TrimSuffix(path, "bin")+string(strategy)+".txt", converted(path, settings))
		}
		everything := prometheusremotewrite.Settings{
			AddMetricSuffixes: true, KeepIdentifyingResourceAttributes: true, ConvertHistogramsToNHCB: true, PromoteScopeMetadata: true,
			PromoteResourceAttributes: prometheusremotewrite.NewPromoteResourceAttributes(config.OTLPConfig{
				PromoteAllResourceAttributes: true, IgnoreResourceAttributes: []string{"telemetry.sdk.version"},
			}),
		}
		write(strings.TrimSuffix(path, "bin")+"everything.txt", converted(path, everything))
	}
}
