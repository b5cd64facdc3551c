#!/usr/bin/env python3
"""System benchmarks: the release binary under its own load generator.

    benches/system.py [--only GROUP,...] [--out FILE] [--scale 0.1]

Each row says what was run. `benches/peers/` repeats the rows of ingestion beside a rival.
"""
import argparse
import concurrent.futures
import json
import re
import signal
import statistics
import tempfile
import time
import urllib.parse
import urllib.request

from harness import FLUSH, finish, load, loadgen, rate, row, table, thermocline


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
            cpu, summary, command = load(ours, *arguments, flush=FLUSH)
        row(name, f"{cpu:.2f} s a million points; {rate(summary)}", target, f"{summary['points']:,} points; `{command}`")


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
        row("line protocol, cpu-only, a whole day, made on the way", f"{cpu:.2f} s a million points", "≤ 0.40 s", f"{points:,} points; `{command}`")
        before = ours.cpu_s()
        for step in "flush", "seal", "retention":
            ours.request(f"/api/v1/admin/{step}", b"")
        row("flush and seal", f"{(ours.cpu_s() - before) / points * 1e9:.0f} ns CPU a point", "≤ 65",
            "POST /api/v1/admin/{flush,seal,retention}; most of the flush was done while loading")
        total = ours.disk_bytes("data", "hot")
        families = json.loads(ours.request("/api/v1/tiers")[0])["local"]["families"]
        hourly = sum(family["bytes"] for family in families if family["name"].startswith("h1_"))
        row("bytes a point on disk after seal, everything included",
            f"{(total - hourly) / points:.3f} B raw, {total / points:.3f} B with 1-hour rollups", "≤ 0.55; ≤ 0.85",
            f"{total:,} bytes in the RocksDB directory, of them {hourly:,} in h1_*; raw1m_* chunks serve 1-minute reads")
        query_rows(ours, start, end, hosts)
        before = ours.cpu_s()
        ours.request("/api/v1/admin/archive", b"")
        spent = ours.cpu_s() - before
        encode = {table: seconds / points * 1e9 for table, seconds in encode_seconds(ours).items()}
        row("archive, 10-second data", f"{spent / points * 1e9:.0f} ns CPU a point, all tables together; {encode['raw']:.0f} ns `raw` alone",
            "≤ 250; ≤ 60", "POST /api/v1/admin/archive; encoding took "
            + ", ".join(f"{table} {ns:.0f}" for table, ns in sorted(encode.items()))
            + f" ns a point (`thermocline_cold_encode_seconds_total`); {ours.disk_bytes('data', 'cold') / points:.2f} B a point in Delta")


def encode_seconds(server):
    """Seconds that encoding took, by table."""
    text = server.request("/metrics")[0].decode()
    return {table: float(seconds) for table, seconds in re.findall(r'^thermocline_cold_encode_seconds_total\{table="(\w+)"\} (\S+)', text, re.M)}


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
    hosts = max(100, int(6_667 * scale))
    with thermocline() as ours, concurrent.futures.ThreadPoolExecutor() as background:
        steady = background.submit(loadgen, ours, "--workload", "fleet", "--hosts", hosts, "--every", "1s", "--rate", 30 * hosts, "--for", "30s")
        probes = [probe(ours, i) for i in range(200)]
        summary, command = steady.result()
    row("p99 of POST under steady load", f"{summary['latency_p99_seconds'] * 1e3:.1f} ms at {rate(summary)}", "≤ 50 ms",
        f"`{command.replace(ours.url, 'URL')}`")
    row("ack → queryable", f"{sum(probes)} of {len(probes)} points seen by the next request", "all",
        "POST of a point, then GET of it, under the load above")


def probe(server, number):
    """Whether a request that begins after a point's ack sees the point."""
    now, value = int(time.time() * 1000), number + 0.5
    point = {"metric_name": "probe", "value": value, "timestamp": now, "labels": {"server_id": "probe", "number": str(number)}}
    body = json.dumps(point).encode()
    urllib.request.urlopen(urllib.request.Request(server.url + "/api/metrics", data=body, headers={"Content-Type": "application/json"}))
    match = urllib.parse.quote(f'{{number="{number}"}}')
    answer, _ = server.request(f"/api/metrics?metric=probe&match[]={match}&from={now - 1000}&to={now + 1000}&granularity=raw")
    return f"{value}" in answer.decode()


def restart_row(scale):
    hosts = max(10, int(1000 * scale))
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as config:
        config.write("head: { max_log: 4GiB, max_age: 1d }\n")
        config.flush()
        with thermocline("--config", config.name) as ours:
            summary, command = loadgen(ours, "--workload", "remote-write-series", "--hosts", hosts, "--past", "2000s", "--batch", 10000)
            ours.kill(signal.SIGKILL)
            seconds = ours.start()
            found = json.loads(ours.request("/api/v1/sql", b"SELECT count(*) AS n FROM samples")[0])
    row("restart after kill -9, 20 M points in the log", f"{seconds:.2f} s until ready; {found} of {summary['points']:,} points", "≤ 3 s; none lost",
        f"`head: {{ max_log: 4GiB, max_age: 1d }}`, `{command.replace(ours.url, 'URL')}`")


GROUPS = {
    "ingest": ingest_rows,
    "series": new_series_row,
    "storage": storage_and_query_rows,
    "latency": latency_row,
    "restart": restart_row,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(GROUPS), help="groups to run, of: %(default)s")
    parser.add_argument("--out", help="also write the table to this file")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the hosts")
    arguments = parser.parse_args()
    table("benches/system.py", ["what", "measured", "target", "how"])
    for name in arguments.only.split(","):
        GROUPS[name](arguments.scale)
    finish(arguments.out)


if __name__ == "__main__":
    main()
