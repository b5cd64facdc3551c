// Writes a golden OTLP request with all that the collector's own data model can say, in protobuf and in JSON: all kinds of
// metrics and attributes, names that collide once they are escaped, several resources, points that were not recorded.
//
//	cd tests/golden/push && go run ./otlp_odd v1
package main

import (
	"log"
	"math"
	"os"
	"path/filepath"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

const now = pcommon.Timestamp(1_742_221_800_000_000_000) // 2025-03-17T14:30:00Z

func minutesAgo(minutes pcommon.Timestamp) pcommon.Timestamp { return now - minutes*60_000_000_000 }

func attributes(m pcommon.Map) {
	m.PutStr("a.b", "dot")
	m.PutStr("a-b", "dash")
	m.PutStr("a_b", "plain")
	m.PutBool("is.it", true)
	m.PutInt("2nd", -7)
	m.PutDouble("_private", 1e21)
	m.PutDouble("small", 1.5e-9)
	m.PutDouble("nan", math.NaN())
	m.PutEmpty("nothing")
	m.PutStr("região", "São Paulo <&>")
	m.PutStr("__name__", "not this")
	m.PutStr("le", "mine")
	m.PutStr("job", "overwritten")
	m.PutEmptyBytes("bytes").FromRaw([]byte{0, 255, 16})
	list := m.PutEmptySlice("list")
	list.AppendEmpty().SetStr("x\"<y>")
	list.AppendEmpty().SetDouble(2)
	list.AppendEmpty().SetDouble(0.1)
	inner := list.AppendEmpty().SetEmptyMap()
	inner.PutInt("z", 1)
	inner.PutBool("b", false)
	inner.PutEmpty("e")
}

func fill(metrics pmetric.MetricSlice) {
	add := func(name, unit string) pmetric.Metric {
		metric := metrics.AppendEmpty()
		metric.SetName(name)
		metric.SetUnit(unit)
		metric.SetDescription("About " + name)
		return metric
	}
	gauge := add("disk.io.ratio", "1").SetEmptyGauge().DataPoints()
	for _, value := range []float64{math.Inf(1), math.Copysign(0, -1), 0.1} {
		point := gauge.AppendEmpty()
		point.SetTimestamp(now + pcommon.Timestamp(gauge.Len()*1_999_999))
		point.SetDoubleValue(value)
		attributes(point.Attributes())
	}
	gone := gauge.AppendEmpty()
	gone.SetTimestamp(now)
	gone.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))

	sum := add("network.io", "By/s").SetEmptySum()
	sum.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	sum.SetIsMonotonic(true)
	for minutes := range pcommon.Timestamp(4) {
		point := sum.DataPoints().AppendEmpty()
		point.SetTimestamp(minutesAgo(3 * minutes))
		point.SetIntValue(math.MaxInt64 - int64(minutes))
	}

	explicit := add("wait", "ms").SetEmptyHistogram()
	explicit.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	point := explicit.DataPoints().AppendEmpty()
	point.SetTimestamp(now)
	point.SetCount(10)
	point.SetSum(123.5)
	point.ExplicitBounds().FromRaw([]float64{-1, 0, 1e-7, 2.5, 1e21})
	point.BucketCounts().FromRaw([]uint64{0, 1, 0, 4, 0, 5})
	attributes(point.Attributes())
	unbounded := explicit.DataPoints().AppendEmpty()
	unbounded.SetTimestamp(now)
	unbounded.SetCount(3)
	unbounded.BucketCounts().FromRaw([]uint64{3})
	unbounded.Attributes().PutStr("bounds", "none")

	exponential := add("größe", "By").SetEmptyExponentialHistogram()
	exponential.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for number, scale := range []int32{-4, 0, 8, 11} {
		point := exponential.DataPoints().AppendEmpty()
		point.SetTimestamp(now)
		point.SetScale(scale)
		point.SetCount(17)
		point.SetSum(-4.25)
		point.SetZeroCount(1)
		point.Positive().SetOffset(int32(number*7 - 9))
		point.Positive().BucketCounts().FromRaw([]uint64{1, 0, 0, 0, 0, 2, 3, 0, 4, 0})
		point.Negative().SetOffset(5)
		point.Negative().BucketCounts().FromRaw([]uint64{0, 6})
		point.Attributes().PutInt("scale", int64(scale))
	}
	none := exponential.DataPoints().AppendEmpty()
	none.SetTimestamp(now)

	summary := add("lag", "{thing}").SetEmptySummary().DataPoints().AppendEmpty()
	summary.SetTimestamp(now)
	summary.SetCount(4)
	summary.SetSum(9.75)
	for _, quantile := range []float64{0, 0.5, 0.999, 1} {
		value := summary.QuantileValues().AppendEmpty()
		value.SetQuantile(quantile)
		value.SetValue(quantile * 4)
	}
	attributes(summary.Attributes())
}

func main() {
	metrics := pmetric.NewMetrics()
	for _, service := range []string{"cart", "", "mail"} {
		resource := metrics.ResourceMetrics().AppendEmpty()
		if service != "" {
			resource.Resource().Attributes().PutStr("service.name", service)
		}
		if service == "cart" {
			resource.Resource().Attributes().PutStr("service.namespace", "shop")
			resource.Resource().Attributes().PutInt("service.instance.id", 627)
			attributes(resource.Resource().Attributes())
		}
		scope := resource.ScopeMetrics().AppendEmpty()
		scope.Scope().SetName("lib/" + service)
		scope.Scope().SetVersion("v1")
		scope.Scope().Attributes().PutStr("build.type", "debug")
		scope.SetSchemaUrl("https://example.org/1")
		fill(scope.Metrics())
	}
	request := pmetricotlp.NewExportRequestFromMetrics(metrics)
	for ending, marshal := range map[string]func() ([]byte, error){"bin": request.MarshalProto, "json": request.MarshalJSON} {
		message, err := marshal()
		if err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(os.Args[1], "otlp.odd."+ending), message, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
