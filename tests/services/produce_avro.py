#!/usr/bin/env python3
"""Produces Avro with Confluent's own client and serializer, which registers the schema.

    produce_avro.py BOOTSTRAP REGISTRY_URL TOPIC SCHEMA < RECORDS

RECORDS: one JSON object a line, {"key": "...", "value": {...}}, a value as the schema says. Prints how many were delivered.
"""
import json
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def main():
    bootstrap, registry, topic, schema = sys.argv[1:]
    serialize = AvroSerializer(SchemaRegistryClient({"url": registry}), schema)
    context = SerializationContext(topic, MessageField.VALUE)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True})
    delivered = 0

    def on_delivery(error, _message):
        nonlocal delivered
        if error is not None:
            raise SystemExit(f"not delivered: {error}")
        delivered += 1

    for line in sys.stdin:
        record = json.loads(line)
        producer.produce(topic, key=record["key"], value=serialize(record["value"], context), on_delivery=on_delivery)
        producer.poll(0)
    left = producer.flush(60)
    if left:
        raise SystemExit(f"{left} messages were not delivered")
    print(delivered)


if __name__ == "__main__":
    main()
