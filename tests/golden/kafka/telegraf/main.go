// Writes golden messages with Telegraf's own serializers, as its Kafka output does: JSON, one metric and a batch, and
// line protocol.
//
//	cd tests/golden/kafka && go run ./telegraf v1
package main

import (
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/plugins/serializers/influx"
	"github.com/influxdata/telegraf/plugins/serializers/json"
)

var now = time.Unix(1_742_221_800, 250_000_000).UTC() // 2025-03-17T14:30:00.25Z

func main() {
	cpu := metric.New("cpu", map[string]string{"host": "a", "cpu": "cpu-total"},
		map[string]interface{}{"usage_idle": 99.1, "n_cpus": 8, "ok": true, "model": "x"}, now)
	disk := metric.New("disk", map[string]string{"host": "a", "path": `C:\Program Files`},
		map[string]interface{}{"value": uint64(1 << 53), "used": int64(-1)}, now)
	both := []telegraf.Metric{cpu, disk}

	seconds := &json.Serializer{}
	check(seconds.Init())
	write("json.telegraf", must(seconds.Serialize(cpu)))
	write("json.telegraf_batch", must(seconds.SerializeBatch(both)))
	nanos := &json.Serializer{TimestampUnits: config.Duration(time.Nanosecond)}
	check(nanos.Init())
	write("json.telegraf_nanoseconds", must(nanos.Serialize(disk)))
	lines := &influx.Serializer{SortFields: true, UintSupport: true}
	check(lines.Init())
	write("influx.telegraf", must(lines.SerializeBatch(both)))
}

func write(name string, message []byte) {
	check(os.WriteFile(filepath.Join(os.Args[1], name+".bin"), message, 0o644))
}

func must(message []byte, err error) []byte {
	check(err)
	return message
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
