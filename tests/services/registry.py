#!/usr/bin/env python3
"""A schema registry for tests: the part of Confluent's HTTP API that serializers and consumers use, in memory.

    registry.py [--port PORT] [--user NAME:PASSWORD] [--file PATH]

Prints its URL on the first line, then serves until it is killed. Ids are given out in the order of registration, from 1.
With a file it remembers its schemas there, so that one that is killed and started again has never been without them (as
a real one, whose schemas lie in a topic); without a file the same registrations in the same order get the same ids.

    POST /subjects/<subject>/versions          registers; {"id": 1}
    POST /subjects/<subject>                   looks up;  {"subject", "id", "version", "schema"}
    GET  /subjects                             names
    GET  /subjects/<subject>/versions          numbers
    GET  /subjects/<subject>/versions/<n>      n or latest; {"subject", "id", "version", "schema"}
    GET  /schemas/ids/<id>                     {"schema": "..."}
    GET  /config[/<subject>]                   {"compatibilityLevel": "NONE"}
"""
import argparse
import base64
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

SUBJECT_NOT_FOUND, VERSION_NOT_FOUND, SCHEMA_NOT_FOUND = 40401, 40402, 40403


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Registry:
    """Schemas by id, and subjects as lists of ids: the place in the list is the version, from 1."""

    def __init__(self, file=None):
        self.lock = threading.Lock()
        self.file = file
        self.schemas = []
        self.subjects = {}
        if file and os.path.exists(file):
            with open(file) as kept:
                self.schemas, self.subjects = json.load(kept)

    def keep(self):
        """Writes everything to the file, whole or not at all."""
        if self.file:
            with open(self.file + ".new", "w") as kept:
                json.dump([self.schemas, self.subjects], kept)
            os.replace(self.file + ".new", self.file)

    def register(self, subject, body):
        schema = text_of(body)
        with self.lock:
            if schema not in self.schemas:
                self.schemas.append(schema)
            number = self.schemas.index(schema) + 1
            versions = self.subjects.setdefault(subject, [])
            if number not in versions:
                versions.append(number)
                self.keep()
            return self.described(subject, versions.index(number) + 1)

    def look_up(self, subject, body):
        schema = text_of(body)
        with self.lock:
            versions = self.versions(subject)
            if schema not in self.schemas or (number := self.schemas.index(schema) + 1) not in versions:
                raise Refused(SCHEMA_NOT_FOUND, "Schema not found")
            return self.described(subject, versions.index(number) + 1)

    def version(self, subject, version):
        with self.lock:
            versions = self.versions(subject)
            number = len(versions) if version in ("latest", "-1") else int(version) if version.isdigit() else 0
            if not 1 <= number <= len(versions):
                raise Refused(VERSION_NOT_FOUND, f"Version {version} not found")
            return self.described(subject, number)

    def by_id(self, number):
        with self.lock:
            if not number.isdigit() or not 1 <= int(number) <= len(self.schemas):
                raise Refused(SCHEMA_NOT_FOUND, f"Schema {number} not found")
            return {"schema": self.schemas[int(number) - 1]}

    def versions(self, subject):
        if subject not in self.subjects:
            raise Refused(SUBJECT_NOT_FOUND, f"Subject '{subject}' not found")
        return self.subjects[subject]

    def described(self, subject, version):
        number = self.subjects[subject][version - 1]
        return {"subject": subject, "id": number, "version": version, "schema": self.schemas[number - 1]}


def text_of(body):
    schema = body.get("schema")
    if not isinstance(schema, str):
        raise Refused(42201, "Invalid schema")
    return schema


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry = Registry()
    user = None

    def do_GET(self):
        self.answer(self.get)

    def do_POST(self):
        self.answer(self.post)

    def get(self, path):
        match path:
            case ["schemas", "ids", number]:
                return self.registry.by_id(number)
            case ["subjects"]:
                return sorted(self.registry.subjects)
            case ["subjects", subject, "versions"]:
                return list(range(1, len(self.registry.versions(subject)) + 1))
            case ["subjects", subject, "versions", version]:
                return self.registry.version(subject, version)
            case ["config"] | ["config", _]:
                return {"compatibilityLevel": "NONE"}
        raise Refused(404, "HTTP 404 Not Found")

    def post(self, path):
        match path:
            case ["subjects", subject, "versions"]:
                return self.registry.register(subject, self.body)
            case ["subjects", subject]:
                return self.registry.look_up(subject, self.body)
        raise Refused(404, "HTTP 404 Not Found")

    def answer(self, by):
        # The body is read whatever becomes of it: the connection stays open.
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self.user and self.headers.get("Authorization") != self.user:
                raise Refused(401, "Unauthorized")
            self.body = json.loads(sent) if sent else {}
            path = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
            status, told = 200, by(path)
        except json.JSONDecodeError as error:
            status, told = 422, {"error_code": 42201, "message": str(error)}
        except Refused as refused:
            status, told = int(str(refused.code)[:3]), {"error_code": refused.code, "message": str(refused)}
        text = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def serve(port=0, user=None, file=None):
    """A registry of its own that serves in the background; returns the server and its URL."""
    handler = type("OwnHandler", (Handler,), {
        "registry": Registry(file),
        "user": user and "Basic " + base64.b64encode(user.encode()).decode(),
    })
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


def main():
    options = argparse.ArgumentParser(description="A schema registry for tests.")
    options.add_argument("--port", type=int, default=0, help="a free one if not given")
    options.add_argument("--file", help="where to remember the schemas")
    options.add_argument("--user", help="NAME:PASSWORD that every request must bring")
    given = options.parse_args()
    _, url = serve(given.port, given.user, given.file)
    print(url, flush=True)
    # Until the one who started us is gone, or kills us.
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
