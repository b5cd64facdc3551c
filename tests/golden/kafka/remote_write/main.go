// Writes golden remote-write messages with Prometheus' own encoder, as its remote storage client does:
// a prompb.WriteRequest, marshalled, in one snappy block.
//
//	cd tests/golden/kafka && go run ./remote_write v1
package main

import (
	"log"
	"math"
	"os"
	"path/filepath"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
)

const now = 1_742_221_800_000 // 2025-03-17T14:30:00Z

func labels(pairs ...string) (labels []prompb.Label) {
	for i := 0; i < len(pairs); i += 2 {
		labels = append(labels, prompb.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return labels
}

func main() {
	scrape := prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{
			{
				Labels:  labels("__name__", "up", "instance", "localhost:9090", "job", "prometheus"),
				Samples: []prompb.Sample{{Value: 1, Timestamp: now}},
			},
			{
				Labels:    labels("__name__", "http_requests_total", "code", "200", "instance", "localhost:9090", "job", "prometheus"),
				Samples:   []prompb.Sample{{Value: 1027, Timestamp: now - 15_000}, {Value: 1030, Timestamp: now}},
				Exemplars: []prompb.Exemplar{{Labels: labels("trace_id", "a"), Value: 0.5, Timestamp: now}},
			},
			{
				Labels:  labels("__name__", "gone", "région", "Zürich"),
				Samples: []prompb.Sample{{Value: math.Float64frombits(value.StaleNaN), Timestamp: now}},
			},
		},
	}
	metadata := prompb.WriteRequest{Metadata: []prompb.MetricMetadata{
		{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "http_requests_total", Help: "Requests by code.", Unit: "requests"},
	}}
	for name, request := range map[string]*prompb.WriteRequest{"scrape": &scrape, "metadata": &metadata} {
		message, err := request.Marshal()
		if err != nil {
			log.Fatal(err)
		}
		path := filepath.Join(os.Args[1], "prom_remote_write."+name+".bin")
		if err := os.WriteFile(path, snappy.Encode(nil, message), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
