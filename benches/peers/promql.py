#!/usr/bin/env python3
"""PromQL beside VictoriaMetrics: the same day of data in both, the same queries one after the other, in one run.

    benches/peers/promql.py [--out FILE] [--scale 0.1] [--runs 100] [--only GROUP,...]

The data is `loadgen --workload cpu-only` over 24 hours; the queries are those of TSBS, each over random windows and
hosts, and a figure is the median of its runs as the client sees them. `label_join` keeps the names of several metrics
apart behind a function that drops them: Prometheus refuses the query without it. Needs the Debian package `victoria-metrics` and
`cargo build --release -p thermocline`.
"""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import FLUSH, finish, load, loadgen, rate, row, table, thermocline  # noqa: E402
from victoria_metrics import victoria_metrics  # noqa: E402

FIELDS = ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"]
HOUR = 3600


class Client:
    """Requests over one connection that stays open, with as little work around them as may be."""

    def __init__(self, server):
        url = urllib.parse.urlsplit(server.url)
        self.host = url.netloc
        self.socket = socket.create_connection((url.hostname, url.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path):
        """The seconds that the request took, and the body of its answer."""
        request = f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()
        began = time.perf_counter()
        self.socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, body = data.split(b"\r\n\r\n", 1)
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        chunks = [body]
        if b"content-length" in headers:
            missing = int(headers[b"content-length"]) - len(body)
            while missing > 0:
                chunks.append(self._more())
                missing -= len(chunks[-1])
        else:
            tail = body[-5:]
            while tail != b"0\r\n\r\n":
                chunks.append(self._more())
                tail = (tail + chunks[-1])[-5:]
        took = time.perf_counter() - began
        body = b"".join(chunks)
        if not head.startswith(b"HTTP/1.1 200"):
            sys.exit(f"{path}: {head.decode()}\n{body[:500].decode()}")
        return took, body if b"content-length" in headers else dechunked(body)

    def _more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            sys.exit("the server closed the connection")
        return data


def dechunked(body):
    out = []
    while body:
        size, body = body.split(b"\r\n", 1)
        length = int(size, 16)
        if not length:
            break
        out.append(body[:length])
        body = body[length + 2:]
    return b"".join(out)


def metrics(count):
    names = [f"cpu_usage_{field}" for field in FIELDS[:count]]
    return names[0] if count == 1 else '{__name__=~"%s"}' % "|".join(names)


def select(count, matcher):
    name = metrics(count)
    if not matcher:
        return name
    return f"{name}{{{matcher}}}" if count == 1 else f"{name[:-1]},{matcher}}}"


def named(vector):
    """The same series with their names kept."""
    return f'label_join({vector}, "__name__", "", "__name__")'


class Day:
    """The day of data, and random choices from it."""

    def __init__(self, start, end, hosts, seed=1):
        self.start, self.end, self.hosts = start, end, hosts
        self.random = random.Random(seed)

    def window(self, hours):
        latest = self.end - hours * HOUR
        return (start := self.random.randrange(self.start, latest + 1)), start + hours * HOUR

    def hosts_matcher(self, count):
        chosen = self.random.sample(range(self.hosts), min(count, self.hosts))
        names = "|".join(f"host_{host}" for host in chosen)
        return f'hostname=~"{names}"' if count > 1 else f'hostname="{names}"'


def single_groupby(day, count, hosts, hours):
    query = f"max({named(f'max_over_time({select(count, day.hosts_matcher(hosts))}[1m])')}) by (__name__)"
    return query, *day.window(hours), 60


def cpu_max_all(day, hosts):
    query = f"max({named(f'max_over_time({select(10, day.hosts_matcher(hosts))}[1h])')}) by (__name__)"
    return query, *day.window(8), HOUR


def double_groupby(day, count, on_the_hour=False):
    start, end = day.window(12)
    if on_the_hour:
        start -= start % HOUR
        end = start + 12 * HOUR
    return f"avg({named(f'avg_over_time({metrics(count)}[1h])')}) by (__name__, hostname)", start, end, HOUR


def rate_by_region(day):
    return f"sum by (region) (rate({metrics(10)}[5m]))", day.start, day.end, 60


ON_THE_HOUR = "double-groupby-all, steps on the hour"
# Name, target, runs of a hundred, how a query is made.
QUERIES = [
    ("single-groupby-1-1-1", "≤ 0.5 ms", 1.0, lambda day: single_groupby(day, 1, 1, 1)),
    ("single-groupby-5-8-1", "≤ 1.5 ms", 1.0, lambda day: single_groupby(day, 5, 8, 1)),
    ("cpu-max-all-1", "≤ 1 ms", 1.0, lambda day: cpu_max_all(day, 1)),
    ("cpu-max-all-8", "≤ 3 ms", 1.0, lambda day: cpu_max_all(day, 8)),
    ("double-groupby-1", "≤ 20 ms", 0.5, lambda day: double_groupby(day, 1)),
    ("double-groupby-5", "≤ 80 ms", 0.2, lambda day: double_groupby(day, 5)),
    ("double-groupby-all", "≤ 150 ms", 0.1, lambda day: double_groupby(day, 10)),
    (ON_THE_HOUR, "≤ 20 ms", 0.2, lambda day: double_groupby(day, 10, on_the_hour=True)),
    ("sum by (region) (rate(x[5m])), 10,000 series, 24 h, step 1 m", "≤ 300 ms, ≤ 200 MiB", 0.1, rate_by_region),
]


def path_of(question):
    query, start, end, step = question
    return "/api/v1/query_range?" + urllib.parse.urlencode({"query": query, "start": start, "end": end, "step": step, "nocache": 1})


@contextlib.contextmanager
def stopped(server):
    """The other server computes nothing meanwhile: both merge files in the background."""
    if server:
        server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        if server:
            server.process.send_signal(signal.SIGCONT)


def asked(server, paths):
    """The median of the milliseconds, and the last answer's series."""
    client = Client(server)
    client.get(paths[0])
    took = []
    for path in paths:
        seconds, body = client.get(path)
        took.append(seconds * 1e3)
    return statistics.median(took), json.loads(body)["data"]["result"]


def peak_growth(server, path):
    """Memory that one request takes at its highest, in MiB: the peak of the resident set less what was there before."""
    client = Client(server)
    with open(f"/proc/{server.process.pid}/clear_refs", "w") as refs:
        refs.write("5")
    before = server.rss_bytes()
    client.get(path)
    for line in open(f"/proc/{server.process.pid}/status"):
        if line.startswith("VmHWM"):
            return (int(line.split()[1]) * 1024 - before) / (1 << 20)
    return 0


def merge(peer):
    """Both are asked with their work in the background done: this waits until the peer has merged its parts."""
    peer.request("/internal/force_merge")
    while True:
        time.sleep(1)
        text = peer.request("/metrics")[0].decode()
        if not any(line.split()[-1] != "0" for line in text.splitlines() if line.startswith(("vm_active_merges", "vm_active_force_merges"))):
            return


def disagreement(ours, theirs):
    """The largest relative difference of values at the same place of the same series, or what is missing."""
    by_labels = {json.dumps(series["metric"], sort_keys=True): dict(series["values"]) for series in theirs}
    worst, missing = 0.0, 0
    for series in ours:
        other = by_labels.get(json.dumps(series["metric"], sort_keys=True), {})
        for at, value in series["values"]:
            if at not in other:
                missing += 1
                continue
            a, b = float(value), float(other[at])
            worst = max(worst, abs(a - b) / max(abs(a), abs(b), 1e-300))
    return f"largest difference {worst:.1e}" + (f", {missing} places only here" if missing else "")


def query_rows(arguments, ours, peer, day):
    ours.kill(signal.SIGTERM)
    ours.start()
    # The first query after a start: what it takes at its highest, the blocks that stay cached included.
    with stopped(peer):
        growth = peak_growth(ours, path_of(rate_by_region(day)))
    on_the_hour = []
    for name, target, share, make in QUERIES:
        runs = max(5, int(arguments.runs * share))
        paths = [path_of(make(day)) for _ in range(runs)]
        if name == ON_THE_HOUR:
            on_the_hour = paths
        with stopped(peer):
            mine, answer = asked(ours, paths)
        memory = f", {growth:.0f} MiB" if "MiB" in target else ""
        if peer:
            with stopped(ours):
                theirs, other = asked(peer, paths)
            row(name, f"{mine:.2f} ms{memory}", f"{theirs:.2f} ms", f"{theirs / mine:.1f}", target,
                f"median of {runs}; {len(answer)} series; {disagreement(answer, other)}")
        else:
            row(name, f"{mine:.2f} ms{memory}", "–", "–", target, f"median of {runs}; {len(answer)} series")
    config = os.path.join(ours.dir, "nothing-kept.yml")
    with open(config, "w") as file:
        file.write("head: { rollup_cache: 0 }\n")
    ours.kill(signal.SIGTERM)
    ours.command += ["--config", config]
    ours.start()
    with stopped(peer):
        mine, answer = asked(ours, on_the_hour)
    row(f"{ON_THE_HOUR}, no rollup kept decoded (`head.rollup_cache: 0`)", f"{mine:.2f} ms", "–", "–", "–",
        f"median of {len(on_the_hour)}; {len(answer)} series")


def dashboards_row(arguments):
    hosts, panels, dashboards = max(50, int(20_000 * arguments.scale)), 20, 50
    every, seconds = 10, 60
    with thermocline() as ours, concurrent.futures.ThreadPoolExecutor(dashboards) as viewers:
        loadgen(ours, "--workload", "cpu-only", "--hosts", hosts, "--past", "1h", "--batch", 10000)
        feeder = concurrent.futures.ThreadPoolExecutor(1).submit(
            loadgen, ours, "--workload", "cpu-only", "--hosts", hosts, "--every", "1s", "--rate", 10 * hosts,
            "--for", f"{seconds}s")
        began = time.time()
        took = []

        def view(number):
            chooser = random.Random(number)
            client = Client(ours)
            time.sleep(every * number / dashboards)
            while time.time() < began + seconds:
                round_began = time.time()
                one, eight = f"host_{chooser.randrange(hosts)}", [f"host_{host}" for host in chooser.sample(range(hosts), 8)]
                end = int(time.time())
                for panel in range(panels):
                    field = FIELDS[panel % 10]
                    query = (f'avg_over_time(cpu_usage_{field}{{hostname="{one}"}}[1m])' if panel < 15
                             else f'max by (region) (cpu_usage_{field}{{hostname=~"{"|".join(eight)}"}})')
                    took.append(client.get(path_of((query, end - HOUR, end, 15)))[0])
                time.sleep(max(0.0, round_began + every - time.time()))

        list(viewers.map(view, range(dashboards)))
        summary, command = feeder.result()
    p99 = statistics.quantiles(took, n=100)[98] * 1e3
    row(f"{dashboards} dashboards of {panels} panels every {every} s while points come in, p99 a panel", f"{p99:.1f} ms", "–", "–", "≤ 100 ms",
        f"{len(took)} panels over the last hour at step 15 s, three quarters of one host, the others of eight, among {hosts:,} hosts; {rate(summary)}; "
        f"`{command.replace(ours.url, 'URL')}`")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="also write the table to this file")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the hosts")
    parser.add_argument("--runs", type=int, default=100, help="runs of a quick query; slow ones get fewer")
    parser.add_argument("--only", default="queries,dashboards", help="groups of rows")
    parser.add_argument("--alone", action="store_true", help="without the peer")
    arguments = parser.parse_args()
    if not arguments.alone and not shutil.which("victoria-metrics"):
        sys.exit("victoria-metrics is not installed: apt-get install victoria-metrics, or leave it out with --alone")
    hosts = max(10, int(1000 * arguments.scale))
    end = int(time.time()) // HOUR * HOUR
    day = Day(end - 24 * HOUR, end, hosts)
    data = ["--workload", "cpu-only", "--hosts", hosts, "--from", day.start, "--to", day.end, "--batch", 10000]
    table("benches/peers/promql.py", ["query", "Thermocline", "VictoriaMetrics", "ratio", "target", "how"])
    groups = arguments.only.split(",")
    if "queries" in groups:
        with thermocline() as ours:
            load(ours, *data, flush=FLUSH)
            for job in ("seal", "archive"):
                ours.request(f"/api/v1/admin/{job}", b"")
            if arguments.alone:
                query_rows(arguments, ours, None, day)
            else:
                with victoria_metrics() as peer:
                    load(peer, *data, flush="/internal/force_flush")
                    merge(peer)
                    query_rows(arguments, ours, peer, day)
    if "dashboards" in groups:
        dashboards_row(arguments)
    finish(arguments.out)


if __name__ == "__main__":
    main()
