#!/usr/bin/env python3
"""Sends metrics with OpenTelemetry's own SDK and exporter (OTLP over HTTP, protobuf, gzip).

    exporter.py URL cumulative|delta ROUNDS

Each round measures the same things and flushes once. Prints what every flush said, a word a round; `failed` is a request
that the exporter gave up.
"""
import logging
import sys
import time

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import (
    Counter, Histogram, MeterProvider, ObservableCounter, ObservableUpDownCounter, UpDownCounter)
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

INSTRUMENTS = (Counter, UpDownCounter, Histogram, ObservableCounter, ObservableUpDownCounter)


def provider(url, temporality):
    preferred = {instrument: temporality for instrument in INSTRUMENTS}
    exporter = OTLPMetricExporter(
        endpoint=url, compression=Compression.Gzip, preferred_temporality=preferred, timeout=30)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    exponential = View(instrument_name="payload.size", aggregation=ExponentialBucketHistogramAggregation())
    resource = Resource.create({
        "service.name": "shop", "service.namespace": "eu", "service.instance.id": "i-1",
        "deployment.environment": "test", "process.command_args": ["run", "--fast"], "host.cores": 8})
    return MeterProvider(metric_readers=[reader], resource=resource, views=[exponential])


def main():
    url, temporality, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    logging.basicConfig(level=logging.ERROR)
    meters = provider(url, AggregationTemporality[temporality.upper()])
    meter = meters.get_meter("shop.checkout", "1.2.0", schema_url="https://example.org/schema")
    orders = meter.create_counter("shop.orders", "{order}", "Orders that were paid.")
    sent = meter.create_counter("shop.sent", "By", "Bytes that were sent.")
    queue = meter.create_up_down_counter("shop.queue.length", "{item}")
    load = meter.create_gauge("cpu.utilization", "1", "How busy it is.")
    waited = meter.create_histogram("http.server.request.duration", "s", "How long it took.",
                                    explicit_bucket_boundaries_advisory=[0.005, 0.25, 1.0, 10.0])
    size = meter.create_histogram("payload.size", "By", "How large it was.")
    for _ in range(rounds):
        orders.add(5, {"payment": "card"})
        orders.add(2, {"payment": "cash", "first.time": True})
        sent.add(1_500.5)
        queue.add(3)
        queue.add(-1)
        load.set(0.25, {"cpu": 0})
        for seconds in (0.003, 0.2, 0.2, 12.0):
            waited.record(seconds, {"http.method": "GET", "http.status": 200})
        for value in (0, 1, 2, 3, 1_000):
            size.record(value)
        print("ok" if meters.force_flush() else "failed", flush=True)
        # Points of one time are one point.
        time.sleep(0.01)
    # Nothing new is measured: what a shutdown sends is the last round again, or nothing.
    meters.shutdown()


if __name__ == "__main__":
    main()
