#!/usr/bin/env python3
"""Makes the golden messages of Kafka's formats with clients that are not ours.

    pip install -r tests/requirements.txt && python3 tests/golden/kafka/make.py
    cd tests/golden/kafka && go run ./remote_write v1 && go run ./telegraf v1

Writes `v1/<format>.<name>.bin`, one message each, and `v1/schemas.json`: the Avro schemas by the id that the messages
bear. Avro is written by confluent-kafka's serializer, which registers its schemas with `tests/services/registry.py`;
remote write by Prometheus' own encoder, JSON and line protocol by Telegraf's serializers (in Go). What
prometheus-kafka-adapter writes is copied from its documentation, for it is a program and no library.
What the messages mean is in the test that reads them (`ingest/tests/kafka_golden.rs`), and never changes: a new message
is a new file.
"""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "services"))

import registry  # noqa: E402
from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: E402
from confluent_kafka.schema_registry.avro import AvroSerializer  # noqa: E402
from confluent_kafka.serialization import MessageField, SerializationContext  # noqa: E402

OUT = HERE / "v1"
NOW = 1_742_221_800_000  # 2025-03-17T14:30:00Z


def record(name, *fields, **more):
    # The third member of a field, where there is one, is its default.
    fields = [dict(zip(("name", "type", "default"), field)) for field in fields]
    return {"type": "record", "name": name, **more, "fields": fields}


MAP = {"type": "map", "values": "string"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
POINT = {"metric_name": "cpu_usage", "value": 72.5, "timestamp": NOW,
         "labels": {"region": "us-east-1", "env": "production"}, "source": "agent"}

AVRO = {
    # The record of the interface, to the letter.
    "point": (
        record("Metric", ("metric_name", "string"), ("value", "double"), ("timestamp", "long"), ("labels", MAP),
               ("source", "string"), namespace="io.example"),
        POINT),
    # A later version: fields added in front and between, other order, source nullable.
    "point_evolved": (
        record("Metric", ("schema_version", "int", 2),
               ("source", ["null", "string"], None),
               ("host", record("Host", ("name", "string"), ("cores", "int"), ("addresses", {"type": "array", "items": "string"}))),
               ("labels", MAP), ("timestamp", MILLIS),
               ("kind", {"type": "enum", "name": "Kind", "symbols": ["GAUGE", "COUNTER"]}),
               ("metric_name", "string"), ("trace", ["null", {"type": "fixed", "name": "Trace", "size": 16}]),
               ("value", "double"), ("comments", {"type": "map", "values": ["null", "string"]}), namespace="io.example"),
        {"schema_version": 2, "source": None, "host": {"name": "a", "cores": 8, "addresses": ["::1", "127.0.0.1"]},
         "labels": {"région": "Zürich"}, "timestamp": NOW, "kind": "COUNTER", "metric_name": "http_requests_total",
         "trace": bytes(range(16)), "value": 1e300, "comments": {"a": None, "b": "c"}}),
    "point_of_ints": (
        record("Counter", ("metric_name", "string"), ("value", "int"), ("timestamp", MICROS)),
        {"metric_name": "restarts", "value": -7, "timestamp": NOW * 1000 + 999}),
    "point_of_longs": (
        record("Counter", ("metric_name", "string"), ("value", ["null", "long"]), ("timestamp", ["long", "null"]),
               ("labels", ["null", {"type": "map", "values": ["null", "string"]}]), namespace="nullable"),
        {"metric_name": "bytes_total", "value": 9_007_199_254_740_991, "timestamp": NOW,
         "labels": {"device": "sda", "serial": None}}),
    "point_of_floats": (
        record("Gauge", ("value", "float"), ("metric_name", "string")),
        {"metric_name": "temperature", "value": -0.5}),
    "point_of_a_union": (
        record("Number", ("metric_name", "string"), ("value", ["null", "long", "double"]), ("timestamp", "long")),
        {"metric_name": "either", "value": 2.5, "timestamp": NOW}),
    "points": (
        record("Batch", ("metric", "string"), ("labels", MAP),
               ("points", {"type": "array", "items": record("Point", ("ts", "long"), ("v", "double"))})),
        {"metric": "cpu_usage", "labels": {"host": "a"},
         "points": [{"ts": NOW + i * 1000, "v": i / 4} for i in range(300)]}),
    "points_evolved": (
        record("Batch", ("source", ["null", "string"]), ("metric", "string"),
               ("points", {"type": "array", "items": record("Point", ("quality", "string"), ("v", "float"), ("ts", MICROS))})),
        {"source": "gateway", "metric": "load",
         "points": [{"quality": "good", "v": 0.5, "ts": NOW * 1000}, {"quality": "bad", "v": float("nan"), "ts": NOW * 1000 + 1000}]}),
    "points_special": (
        record("Batch", ("metric", "string"), ("labels", MAP),
               ("points", {"type": "array", "items": record("Point", ("ts", "long"), ("v", "double"))}), namespace="special"),
        {"metric": "special", "labels": {},
         "points": [{"ts": NOW, "v": float("inf")}, {"ts": NOW + 1, "v": float("-inf")}, {"ts": NOW + 2, "v": -0.0}]}),
}

JSON = {
    "prometheus_kafka_adapter":
        '{"timestamp":"2025-03-17T14:30:00Z","value":"9876543210","name":"up","labels":{"__name__":"up","label1":"value1"}}',
    "server": json.dumps({
        "server_id": "srv-us-east-1-04821", "timestamp": "2025-03-17T14:30:00Z",
        "metrics": [{"name": "cpu_usage", "value": 72.5, "unit": "percent"}, {"name": "network_in", "value": 12400}],
        "tags": {"region": "us-east-1"}}),
    "flat_points": "\n".join(json.dumps({"metric_name": "m", "value": value, "timestamp": NOW + value}) for value in range(3)),
}


def main():
    OUT.mkdir(exist_ok=True)
    for name, message in JSON.items():
        (OUT / f"json.{name}.bin").write_text(message)
    _, url = registry.serve()
    client = SchemaRegistryClient({"url": url})
    for name, (schema, value) in AVRO.items():
        # A subject each: the serializer registers under `<topic>-value`.
        write = AvroSerializer(client, json.dumps(schema))
        message = write(value, SerializationContext(name, MessageField.VALUE))
        (OUT / f"avro.{name}.bin").write_bytes(message)
    ids = range(1, len(AVRO) + 1)
    schemas = {str(number): client.get_schema(number).schema_str for number in ids}
    (OUT / "schemas.json").write_text(json.dumps(schemas, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
