#!/usr/bin/env python3
"""Thermocline beside VictoriaMetrics: the same requests by the same load generator, one after the other, in one run.

    benches/peers/victoria_metrics.py [--out FILE] [--scale 0.1]

Needs the Debian package `victoria-metrics` and `cargo build --release -p thermocline`.
"""
import argparse
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import FLUSH, Server, finish, free_port, load, rate, row, table, thermocline  # noqa: E402


def victoria_metrics():
    port = free_port()
    command = ["victoria-metrics", "-storageDataPath={dir}/data", f"-httpListenAddr=127.0.0.1:{port}",
               "-retentionPeriod=100y", "-search.disableCache"]
    return Server(command, f"http://127.0.0.1:{port}", "/health")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="also write the table to this file")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the hosts")
    arguments = parser.parse_args()
    if not shutil.which("victoria-metrics"):
        sys.exit("victoria-metrics is not installed: apt-get install victoria-metrics")
    hosts = max(10, int(1000 * arguments.scale))
    cases = {
        "remote write, 100,000 series × 200 points":
            ["--workload", "remote-write-series", "--hosts", hosts, "--past", "2000s", "--prebuilt", "--batch", 10000],
        "line protocol, cpu-only × 6 h":
            ["--workload", "cpu-only", "--hosts", hosts, "--past", "6h", "--prebuilt", "--batch", 10000],
    }
    table("benches/peers/victoria_metrics.py",
          ["what", "Thermocline, CPU s a million points", "VictoriaMetrics", "ratio", "points/s, Thermocline", "VictoriaMetrics", "how"])
    for name, load_arguments in cases.items():
        with thermocline() as ours:
            cpu, summary, command = load(ours, *load_arguments, flush=FLUSH)
        with victoria_metrics() as peer:
            peer_cpu, peer_summary, _ = load(peer, *load_arguments, flush="/internal/force_flush")
        row(name, f"{cpu:.2f}", f"{peer_cpu:.2f}", f"{peer_cpu / cpu:.1f}", rate(summary), rate(peer_summary), f"`{command}`")
    finish(arguments.out)


if __name__ == "__main__":
    main()
