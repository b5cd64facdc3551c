"""What the system benchmarks share: servers on fresh directories, the load generator, and the table of results.

Server and loader share the machine's cores. CPU is what the operating system accounted to the server process. Needs
`cargo build --release -p thermocline`.
"""
import contextlib
import datetime
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/thermocline/target"))
BINARY = pathlib.Path(os.environ.get("THERMOCLINE_RELEASE_BIN", TARGET / "release/thermocline"))
TICKS = os.sysconf("SC_CLK_TCK")
ROWS = []
# Writes the head to a run on disk.
FLUSH = "/api/v1/admin/flush"


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


def loadgen(server, *arguments):
    command = [str(BINARY), "loadgen", "--server", server.url, "--json", *map(str, arguments)]
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"{' '.join(command)}: {out.stderr}")
    return json.loads(out.stdout), " ".join(command[1:])


def load(server, *arguments, flush=None):
    """Loads, and flushes by a request to the path `flush`; returns (CPU seconds a million points, summary, command)."""
    before = server.cpu_s()
    summary, command = loadgen(server, *arguments)
    if flush:
        server.request(flush, b"")
    cpu = server.cpu_s() - before
    points = summary["points"]
    return cpu / points * 1e6, summary, command.replace(server.url, "URL")


def rate(summary):
    return f"{summary['points'] / summary['seconds'] / 1e6:.2f} M points/s"


def table(script, columns):
    """Prints the head of a table of results: date, machine, command. `finish` writes the same to a file."""
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown CPU")
    ROWS[:] = [
        f"Date: {datetime.date.today()}. Machine: {os.cpu_count()} cores ({cpu}), {platform.system()} {platform.release()}; "
        "server and loader share it.  ",
        f"Command: `{' '.join([script, *sys.argv[1:]])}`. Build: `cargo build --release -p thermocline`.",
        "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|",
    ]
    print("\n".join(ROWS), flush=True)


def row(*cells):
    ROWS.append(f"| {' | '.join(cells)} |")
    print(ROWS[-1], flush=True)


def finish(out):
    if out:
        pathlib.Path(out).write_text("\n".join(ROWS) + "\n")
