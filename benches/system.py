#!/usr/bin/env python3
"""System benchmarks: the release binary under its own load generator, next to VictoriaMetrics where it is installed.

    benches/system.py [--only NAME,...] [--out FILE] [--scale 0.1]

Server and loader share the machine's cores. CPU is what the operating system accounted to the server process. Each row
says what was run; the raw summary of the load generator stands beside it. Needs `cargo build --release -p thermocline`.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/thermocline/target"))
BINARY = pathlib.Path(os.environ.get("THERMOCLINE_RELEASE_BIN", TARGET / "release/thermocline"))
TICKS = os.sysconf("SC_CLK_TCK")
ROWS = []


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server process on a fresh directory; killed at the end of its `with` block."""

    def __init__(self, command, url, ready):
        self.command, self.url, self.ready = command, url, ready

    def start(self):
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        began = time.monotonic()
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError):
                if urllib.request.urlopen(self.url + self.ready, timeout=1).status < 300:
                    return time.monotonic() - began
            if self.process.poll() is not None:
                sys.exit(f"{self.command[0]} ended, see {self.log_path}")
            time.sleep(0.005)

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("BENCH_DIR"))
        self.log_path = os.path.join(self.dir, "log")
        self.command = [part.replace("{dir}", self.dir) for part in self.command]
        self.start()
        return self

    def __exit__(self, *_):
        self.kill(signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)

    def kill(self, how):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        self.process.wait()
        self.log.close()

    def cpu_s(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_bytes(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        return 0

    def request(self, path, body=None, timeout=900):
        request = urllib.request.Request(self.url + path, data=body, method="POST" if body is not None else "GET")
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.read(), response.headers

    def disk_bytes(self, *parts):
        out = subprocess.run(["du", "-sb", os.path.join(self.dir, *parts)], capture_output=True, text=True, check=True)
        return int(out.stdout.split()[0])


def thermocline(*extra):
    port = free_port()
    command = [str(BINARY), "serve", "--data-dir", "{dir}/data", "--listen", f"127.0.0.1:{port}", *extra]
    return Server(command, f"http://127.0.0.1:{port}", "/-/ready")


def victoria_metrics():
    port = free_port()
    command = ["victoria-metrics", "-storageDataPath={dir}/data", f"-httpListenAddr=127.0.0.1:{port}",
               "-retentionPeriod=100y", "-search.disableCache"]
    return Server(command, f"http://127.0.0.1:{port}", "/health")


def loadgen(server, *arguments):
    command = [str(BINARY), "loadgen", "--server", server.url, "--json", *map(str, arguments)]
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"{' '.join(command)}: {out.stderr}")
    return json.loads(out.stdout), " ".join(command[1:])


def row(name, figure, target, detail):
    ROWS.append((name, figure, target, detail))
    print(f"| {name} | {figure} | {target} | {detail} |", flush=True)


def load(server, *arguments):
    """Loads, and returns (CPU seconds a million points, summary, command)."""
    before = server.cpu_s()
    summary, command = loadgen(server, *arguments)
    cpu = server.cpu_s() - before
    points = summary["points"]
    return cpu / points * 1e6, summary, command.replace(server.url, "URL")


def ingest_rows(scale):
    hosts = max(10, int(1000 * scale))
    cases = [
        ("remote write, 100,000 series × 200 points", "≤ 0.8 s; ≥ 1 M points/s",
         ["--workload", "remote-write-series", "--hosts", hosts, "--past", "2000s", "--prebuilt", "--batch", 10000]),
        ("line protocol, cpu-only 1,000 hosts × 6 h", "≤ 0.40 s",
         ["--workload", "cpu-only", "--hosts", hosts, "--past", "6h", "--prebuilt", "--batch", 10000]),
    ]
    for name, target, arguments in cases:
        with thermocline() as ours:
            ours_cpu, summary, command = load(ours, *arguments)
        rate = summary["points"] / summary["seconds"]
        detail = f"{summary['points']:,} points, {rate / 1e6:.2f} M points/s; `{command}`"
        figure = f"{ours_cpu:.2f} s a million points"
        if shutil.which("victoria-metrics"):
            with victoria_metrics() as peer:
                peer_cpu, peer_summary, _ = load(peer, *arguments)
            peer_rate = peer_summary["points"] / peer_summary["seconds"]
            figure += f"; VictoriaMetrics {peer_cpu:.2f} s ({peer_rate / 1e6:.2f} M points/s), ratio {peer_cpu / ours_cpu:.1f}"
        row(name, figure, target, detail)


def new_series_row(scale):
    hosts = max(100, int(10_000 * scale))
    with thermocline() as ours:
        before = ours.rss_bytes()
        cpu, summary, command = load(ours, "--workload", "remote-write-series", "--hosts", hosts, "--past", "100s", "--batch", 10000)
        series = summary["points"] / 10
        cpu_us = cpu * summary["points"] / series
        memory = (ours.rss_bytes() - before) / series
        row("1 M new series × 10 points", f"{cpu_us:.1f} µs CPU a series, {memory:,.0f} B a series (RSS growth)",
            "≤ 20 µs; ≤ 1 kB", f"{series:,.0f} series; `{command}`")


def storage_and_query_rows(scale):
    hosts = max(10, int(1000 * scale))
    now = int(time.time())
    end = now - now % 3600
    start = end - 24 * 3600
    with thermocline() as ours:
        cpu, summary, command = load(ours, "--workload", "cpu-only", "--hosts", hosts, "--from", start, "--to", end, "--batch", 10000)
        points = summary["points"]
        row("line protocol, cpu-only, a whole day", f"{cpu:.2f} s a million points", "≤ 0.40 s", f"{points:,} points; `{command}`")
        before = ours.cpu_s()
        ours.request("/api/v1/admin/flush", b"")
        ours.request("/api/v1/admin/seal", b"")
        row("flush and seal", f"{(ours.cpu_s() - before) / points * 1e9:.0f} ns CPU a point", "≤ 65", "POST /api/v1/admin/{flush,seal}")
        time.sleep(2)
        inspect = json.loads(ours.request("/api/v1/tiers")[0])
        total = ours.disk_bytes("data", "hot")
        row("bytes a point on disk after seal", f"{total / points:.3f} B, everything in the RocksDB directory included",
            "≤ 0.55 raw, ≤ 0.85 with 1-hour rollups", f"{total:,} bytes")
        query_rows(ours, start, end, hosts)
        before = ours.cpu_s()
        report = json.loads(ours.request("/api/v1/admin/archive", b"")[0])
        row("archive, 10-second data", f"{(ours.cpu_s() - before) / points * 1e9:.0f} ns CPU a point, all tables", "≤ 250",
            f"{json.dumps(report)[:120]}; {ours.disk_bytes('data', 'cold') / points:.2f} B a point in Delta")
        del inspect


def timed(server, path, runs):
    durations = []
    for _ in range(runs):
        began = time.perf_counter()
        body, headers = server.request(path)
        durations.append((time.perf_counter() - began) * 1e3)
    return statistics.median(durations), len(body), headers.get("X-Thermocline-Tiers")


def query_rows(server, start, end, hosts):
    quote = urllib.parse.quote
    path = f"/api/metrics?metric=cpu_usage_user&from={start}&to={end}&granularity=1m&agg=avg&group_by=region&group_agg=sum"
    median, size, tiers = timed(server, path, 15)
    row(f"GET /api/metrics, {hosts} series × 24 h at 10 s, 1-minute average summed by one label", f"{median:.1f} ms", "≤ 40 ms",
        f"{size:,} bytes, tiers {tiers}, median of 15")
    match = quote('{hostname="host_1"}')
    path = f"/api/metrics?metric=cpu_usage_user&match[]={match}&from={end - 3600}&to={end}&granularity=raw"
    median, size, tiers = timed(server, path, 50)
    row("one series, one hour, raw", f"{median:.2f} ms", "≤ 1 ms", f"{size:,} bytes, tiers {tiers}, median of 50")


def latency_row(scale):
    with thermocline() as ours:
        rate = int(200_000 * scale) or 1000
        summary, command = loadgen(ours, "--workload", "fleet", "--hosts", 1000, "--rate", rate, "--for", "20s", "--protocol", "remote-write")
        slow = 0
        for i in range(200):
            now = int(time.time() * 1000)
            value = random.random()
            point = json.dumps({"metric_name": "probe", "value": value, "timestamp": now, "labels": {"server_id": "probe"}}).encode()
            request = urllib.request.Request(ours.url + "/api/metrics", data=point, headers={"Content-Type": "application/json"})
            urllib.request.urlopen(request).read()
            answer = json.loads(ours.request(f"/api/metrics/probe?metric=probe&from={now}&to={now + 1}&granularity=raw")[0])
            slow += not answer or answer[-1]["value"] != value
        row("ack → queryable", f"{200 - slow} of 200 points seen by the next request", "200 of 200", "POST, then GET of the point")
        row("p99 of POST under steady load", f"{summary.get('post_p99_ms', summary)} ms", "≤ 50 ms", f"`{command.replace(ours.url, 'URL')}`")


def restart_row(scale):
    hosts = max(10, int(1000 * scale))
    config = tempfile.NamedTemporaryFile("w", suffix=".yml")
    config.write("head: { max_log: 4GiB, max_age: 1d }\n")
    config.flush()
    with thermocline("--config", config.name) as ours:
        summary, command = loadgen(ours, "--workload", "remote-write-series", "--hosts", hosts, "--past", "2000s", "--batch", 10000)
        count = lambda: json.loads(ours.request("/api/v1/sql", b"select count(*) as n from samples where ts > now() - interval '2 hours'")[0])
        ours.kill(signal.SIGKILL)
        seconds = ours.start()
        row("restart after kill -9, 20 M points in the log", f"{seconds:.2f} s until ready; {count()} of {summary['points']:,} points", "≤ 3 s; none lost",
            f"`{command.replace(ours.url, 'URL')}`")


GROUPS = {
    "ingest": ingest_rows,
    "series": new_series_row,
    "storage": storage_and_query_rows,
    "latency": latency_row,
    "restart": restart_row,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(GROUPS))
    parser.add_argument("--out")
    parser.add_argument("--scale", type=float, default=1.0)
    arguments = parser.parse_args()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown CPU")
    head = [
        f"Date: {datetime.date.today()}. Machine: {os.cpu_count()} cores ({cpu}), {platform.system()} {platform.release()}; server and loader share it.",
        f"Command: `benches/system.py {' '.join(sys.argv[1:])}`. Build: `cargo build --release -p thermocline`.",
        "", "| what | measured | target | how |", "|---|---|---|---|",
    ]
    print("\n".join(head), flush=True)
    for name in arguments.only.split(","):
        GROUPS[name](arguments.scale)
    if arguments.out:
        lines = head + [f"| {' | '.join(r)} |" for r in ROWS]
        pathlib.Path(arguments.out).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
