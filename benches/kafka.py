#!/usr/bin/env python3
"""Reading Kafka: the release binary behind a real broker; broker, producer and server share the machine.

    ~/.cache/thermocline/venv/bin/python benches/kafka.py [--only GROUP,...] [--out FILE] [--scale 0.1]

What is read is produced first, so that the server alone decides how fast; the last rows produce while it reads.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from confluent_kafka import Consumer, Producer, TopicPartition
from harness import BINARY, Server, finish, free_port, row, table

STARTER = pathlib.Path(__file__).resolve().parent.parent / "tests/services/kafka.sh"
PARTITIONS = 8
HOSTS = 1_000
METRICS = 10
BATCH = 500


class Broker:
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="bench-kafka-", dir=os.environ.get("BENCH_DIR"))
        port = 20_000 + os.getpid() % 2_000 * 4
        environment = dict(os.environ, KAFKA_PORT=str(port), KAFKA_HEAP="1g")
        out = subprocess.run([STARTER, "start", self.dir], env=environment, capture_output=True, text=True, check=True)
        self.address = out.stdout.strip()
        return self

    def __exit__(self, *_):
        subprocess.run([STARTER, "stop", self.dir], capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def topic(self, name):
        subprocess.run([STARTER, "topic", self.dir, name, str(PARTITIONS)], capture_output=True, check=True)

    def producer(self):
        return Producer({"bootstrap.servers": self.address, "compression.type": "zstd", "linger.ms": 20,
                         "queue.buffering.max.messages": 200_000, "batch.size": 1_000_000})

    def end(self, topic):
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "bench-ends"})
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, p))[1] for p in range(PARTITIONS)]
        consumer.close()
        return sum(ends)


def serve(broker, topic, fmt, delivery="exactly_once", directory=None, group="bench"):
    """A server that reads one topic."""
    config = pathlib.Path(tempfile.mkdtemp(prefix="bench-config-")) / "thermocline.yml"
    config.write_text(f"node: bench\nkafka:\n  brokers: {broker.address}\n  group: {group}\n  delivery: {delivery}\n"
                      f"  topics: [{{ name: {topic}, format: {fmt} }}]\n")
    port = free_port()
    data = directory or "{dir}/data"
    command = [str(BINARY), "serve", "--config", str(config), "--data-dir", data, "--listen", f"127.0.0.1:{port}"]
    return Server(command, f"http://127.0.0.1:{port}", "/-/ready")


def stored(server):
    """Messages stored so far."""
    partitions = json.loads(server.request("/api/v1/kafka")[0])["partitions"]
    return sum(p["next_offset"] or 0 for p in partitions)


def wait_for(server, messages):
    while stored(server) < messages:
        time.sleep(0.05)


# Messages ---------------------------------------------------------------------------------------------------------

def produce(producer, topic, messages):
    for partition, payload in messages:
        while True:
            try:
                producer.produce(topic, payload, partition=partition)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    producer.flush()


def json_single(points, now_ms):
    """One point a message, as a shipper writes it."""
    for n in range(points):
        host, metric = n % HOSTS, n // HOSTS % METRICS
        at = now_ms - points // (HOSTS * METRICS) * 1_000 + n // (HOSTS * METRICS) * 1_000
        text = (f'{{"metric_name":"cpu_{metric}","value":{(n * 7919) % 1000 / 10},"timestamp":{at},'
                f'"labels":{{"host":"host_{host}","region":"r{host % 8}"}},"source":"bench"}}')
        yield host % PARTITIONS, text.encode()


def json_batches(points, now_ms):
    """500 points a message: an array of flat points."""
    for start in range(0, points, BATCH):
        tick = start // (HOSTS * METRICS)
        at = now_ms - points // (HOSTS * METRICS) * 1_000 + tick * 1_000
        first = start % (HOSTS * METRICS)
        text = ",".join(
            f'{{"metric_name":"cpu_{n % METRICS}","value":{(n * 7919 + tick) % 1000 / 10},"timestamp":{at},'
            f'"labels":{{"host":"host_{n // METRICS}","region":"r{n // METRICS % 8}"}}}}'
            for n in range(first, first + BATCH))
        yield (first // BATCH) % PARTITIONS, f"[{text}]".encode()


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def snappy_literal(data):
    """A snappy block of literals: readable by any decoder; the broker's zstd does the compression."""
    out = bytearray(varint(len(data)))
    for start in range(0, len(data), 65_536):
        chunk = data[start:start + 65_536]
        out += bytes([61 << 2]) + struct.pack("<H", len(chunk) - 1) + chunk
    return bytes(out)


def remote_write_batches(points, now_ms):
    """500 points a message: a remote-write request of 500 series with a sample each."""
    label_sets = []
    for n in range(HOSTS * METRICS):
        pairs = [("__name__", f"cpu_{n % METRICS}"), ("host", f"host_{n // METRICS}"), ("region", f"r{n // METRICS % 8}")]
        label_sets.append(b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in pairs))
    for start in range(0, points, BATCH):
        tick = start // (HOSTS * METRICS)
        at = varint(now_ms - points // (HOSTS * METRICS) * 1_000 + tick * 1_000)
        first = start % (HOSTS * METRICS)
        body = b"".join(
            field(1, label_sets[n] + field(2, b"\x09" + struct.pack("<d", (n * 7919 + tick) % 1000 / 10) + b"\x10" + at))
            for n in range(first, first + BATCH))
        yield (first // BATCH) % PARTITIONS, snappy_literal(body)


# Rows -------------------------------------------------------------------------------------------------------------

def drain(broker, topic, fmt, messages, delivery="exactly_once"):
    """Reads a topic that is there; returns (CPU seconds, seconds)."""
    with serve(broker, topic, fmt, delivery, group=f"drain-{time.monotonic_ns()}") as server:
        # Joining the group is not reading.
        while stored(server) == 0:
            time.sleep(0.005)
        cpu, began = server.cpu_s(), time.monotonic()
        before = stored(server)
        wait_for(server, messages)
        took = time.monotonic() - began
        share = messages / (messages - before)
        return (server.cpu_s() - cpu) * share, took * share


def batched_rows(broker, scale):
    points = int(10_000_000 * scale) // BATCH * BATCH
    for fmt, make in ("prom_remote_write", remote_write_batches), ("json", json_batches):
        topic = f"batched-{fmt.replace('_', '-')}"
        broker.topic(topic)
        produce(broker.producer(), topic, make(points, int(time.time() * 1000)))
        cpu, took = drain(broker, topic, fmt, points // BATCH)
        per_million = cpu / points * 1e6
        row(f"{BATCH} points a message, {fmt}, zstd", f"{per_million:.2f} s CPU a million points; {1.5 / per_million:.2f} M points/s "
            f"of capacity on a core and a half; read in {took:.1f} s", "≤ 0.7 s; ≥ 1 M points/s", f"{points:,} points")


def single_row(broker, scale):
    points = int(3_000_000 * scale)
    broker.topic("single")
    produce(broker.producer(), "single", json_single(points, int(time.time() * 1000)))
    cpu, took = drain(broker, "single", "json", points)
    row("one point a message, JSON", f"{points / cpu:,.0f} messages/s a core; read in {took:.1f} s", "≥ 250,000", f"{points:,} messages")


def delivery_row(broker, scale):
    points = int(10_000_000 * scale) // BATCH * BATCH
    broker.topic("levels")
    produce(broker.producer(), "levels", remote_write_batches(points, int(time.time() * 1000)))
    levels = ["at_most_once", "at_least_once", "no_duplicates", "exactly_once"]
    cpu = {level: [] for level in levels}
    for turn in range(5):
        for level in levels if turn % 2 else reversed(levels):
            cpu[level].append(drain(broker, "levels", "prom_remote_write", points // BATCH, level)[0])
    # The least of five: what the level costs, and not what else the machine did.
    least = {level: min(of) / points * 1e6 for level, of in cpu.items()}
    base = least["at_least_once"]
    told = ", ".join(f"{level} {s:.3f} s ({(s / base - 1) * 100:+.1f} %)" for level, s in least.items())
    row("CPU a million points by delivery level", told, "exactly_once ≤ +3 %", "least of five each, in turns; the same topic as above")


def latency_row(broker, scale):
    """Produced → queryable, at 100,000 points a second."""
    broker.topic("steady")
    seconds = max(10, int(60 * scale))
    producer = broker.producer()
    producer_probe = Producer({"bootstrap.servers": broker.address, "linger.ms": 0})
    took, failed = [], []
    with serve(broker, "steady", "json", group="steady") as server:
        stop = threading.Event()
        threading.Thread(target=load_steadily, args=(producer, "steady", stop), daemon=True).start()
        time.sleep(5)
        began_at, before = time.monotonic(), stored(server)
        end = began_at + seconds
        number = 0
        while time.monotonic() < end:
            number += 1
            at = int(time.time() * 1000)
            probe = json.dumps({"metric_name": "probe", "value": number, "timestamp": at, "labels": {"host": "probe"}})
            began = time.monotonic()
            producer_probe.produce("steady", probe, partition=number % PARTITIONS)
            producer_probe.poll(0)
            path = f"/api/metrics/probe?metric=probe&granularity=raw&from={at}&to={at + 1}"
            while json.loads(server.request(path)[0]) == []:
                producer_probe.poll(0)
                if time.monotonic() - began > 10:
                    failed.append(number)
                    break
                time.sleep(0.002)
            took.append(time.monotonic() - began)
            time.sleep(0.03)
        stop.set()
        beside = (stored(server) - before - number) * BATCH / (time.monotonic() - began_at)
    took.sort()
    p99 = took[int(len(took) * 0.99)] * 1e3
    row("produced → queryable at 100,000 points/s", f"p50 {took[len(took) // 2] * 1e3:.0f} ms, p99 {p99:.0f} ms; {len(failed)} of {len(took)} not seen in 10 s",
        "p99 ≤ 300 ms", f"{len(took)} probes over {seconds} s; {beside:,.0f} points/s were stored beside them, {BATCH} a message")


def load_steadily(producer, topic, stop):
    """100,000 points a second: 200 messages of 500."""
    rendered = list(json_batches(HOSTS * METRICS, 0))
    began, sent = time.monotonic(), 0
    while not stop.is_set():
        due = int((time.monotonic() - began) * 100_000 / BATCH)
        now = str(int(time.time() * 1000)).encode()
        while sent < due:
            partition, payload = rendered[sent % len(rendered)]
            with contextlib.suppress(BufferError):
                producer.produce(topic, payload.replace(b'"timestamp":-1000', b'"timestamp":' + now), partition=partition)
                sent += 1
            producer.poll(0)
        time.sleep(0.005)


def catch_up_row(broker, scale):
    """What came in ten minutes at 100,000 points a second, after a start."""
    points = int(60_000_000 * scale) // BATCH * BATCH
    broker.topic("backlog")
    produce(broker.producer(), "backlog", remote_write_batches(points, int(time.time() * 1000)))
    with serve(broker, "backlog", "prom_remote_write", group="backlog") as server:
        began = time.monotonic()
        wait_for(server, points // BATCH)
        took, cpu = time.monotonic() - began, server.cpu_s()
    row("catch-up after 10 minutes down at 100,000 points/s", f"{took:.0f} s", "≤ 60 s",
        f"{points:,} points from the start of the server, joining included; {cpu:.0f} s of its CPU")


GROUPS = {"batched": batched_rows, "single": single_row, "delivery": delivery_row, "latency": latency_row, "catch-up": catch_up_row}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help=f"groups of rows: {', '.join(GROUPS)}")
    parser.add_argument("--out", help="also write the table to this file")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the points")
    args = parser.parse_args()
    if unknown := set(args.only.split(",")) - set(GROUPS):
        sys.exit(f"unknown groups: {', '.join(unknown)}")
    table("benches/kafka.py", ["what", "measured", "target", "how"])
    for name in args.only.split(","):
        # Each on a broker of its own, so that none reads what another left.
        with Broker() as broker:
            GROUPS[name](broker, args.scale)
    finish(args.out)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
