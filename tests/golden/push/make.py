#!/usr/bin/env python3
"""Makes the golden requests of push protocols with clients that are not ours.

    pip install -r tests/requirements.txt && python3 tests/golden/push/make.py
    cd tests/golden/push && go run ./remote_write_v2 v1 && go run ./otlp_odd v1 && go run ./otlp_expected v1

Writes `v1/otlp.<name>.bin`: what OpenTelemetry's SDK and exporter for Python send (`tests/it/otlp/exporter.py`), one request
each. The second line writes requests of remote write 2.0 by Prometheus' own encoder, and what Prometheus' own converter makes
of the OTLP requests: the expectations of `ingest/tests/push_golden.rs`. They never change: a new request is a new file.
"""
import gzip
import http.server
import pathlib
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
EXPORTER = HERE.parents[1] / "it" / "otlp" / "exporter.py"


class Capture(http.server.BaseHTTPRequestHandler):
    bodies = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(gzip.decompress(body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Capture)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1/metrics"
    for temporality, rounds in (("cumulative", 1), ("delta", 2)):
        Capture.bodies.clear()
        subprocess.run([sys.executable, EXPORTER, url, temporality, str(rounds)], check=True)
        for number, body in enumerate(Capture.bodies[:rounds], 1):
            name = f"otlp.python_{temporality}_{number}.bin" if rounds > 1 else f"otlp.python_{temporality}.bin"
            (HERE / "v1" / name).write_bytes(body)


if __name__ == "__main__":
    main()
