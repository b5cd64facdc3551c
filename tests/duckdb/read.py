#!/usr/bin/env python3
"""Reads the four Delta tables below a local directory with DuckDB, an engine that is not ours.

    read.py COLD_DIR [POINTS_FILE]

With a file: writes every point to it, a line `metric,server_id,ms,value` each, ordered, and prints nothing. Else prints one JSON object: per table, rows of [series_id, hour in ms, count, sum, min, max, rows, distinct timestamps],
ordered; for `series`, rows of [series_id, metric, labels as an object]; for `histograms` (of `raw`), rows of [series_id, ms, BLOB in hex]. Staleness markers (NULL values) are not counted,
as in the API.
"""
import glob
import json
import os
import sys

import duckdb
import duckdb_extension_delta

HOUR_MS = "epoch_ms(time_bucket(INTERVAL 1 HOUR, ts))"
QUERIES = {
    "raw": f"""
        SELECT series_id, {HOUR_MS}, count(value), sum(value), min(value), max(value), count(*), count(DISTINCT ts)
        FROM delta_scan(?) WHERE value IS NOT NULL GROUP BY ALL ORDER BY ALL""",
    "rollup_1m": f"""
        SELECT series_id, {HOUR_MS}, sum(count)::BIGINT, sum(sum), min(min), max(max), count(*), count(DISTINCT ts)
        FROM delta_scan(?) WHERE count > 0 GROUP BY ALL ORDER BY ALL""",
    "rollup_1h": f"""
        SELECT series_id, {HOUR_MS}, sum(count)::BIGINT, sum(sum), min(min), max(max), count(*), count(DISTINCT ts)
        FROM delta_scan(?) WHERE count > 0 GROUP BY ALL ORDER BY ALL""",
    "series": "SELECT series_id, metric, labels FROM delta_scan(?) ORDER BY series_id",
    "histograms": """
        SELECT series_id, epoch_ms(ts), hex(histogram)
        FROM delta_scan(?) WHERE histogram IS NOT NULL AND value IS NULL ORDER BY ALL""",
}


POINTS = """
    COPY (SELECT s.metric, s.labels['server_id'], epoch_ms(r.ts), r.value
          FROM delta_scan($raw) r LEFT JOIN delta_scan($series) s USING (series_id)
          WHERE r.value IS NOT NULL ORDER BY ALL)
    TO '{file}' (HEADER false)"""


def connect():
    con = duckdb.connect()
    pattern = os.path.join(os.path.dirname(duckdb_extension_delta.__file__), "extensions", "*", "delta.duckdb_extension")
    con.execute(f"LOAD '{glob.glob(pattern)[0]}'")
    con.execute("SET TimeZone = 'UTC'")
    return con


def main():
    cold = sys.argv[1]
    con = connect()
    if len(sys.argv) > 2:
        tables = {table: os.path.join(cold, table) for table in ("raw", "series")}
        con.execute(POINTS.format(file=sys.argv[2].replace("'", "''")), tables)
        return
    out = {}
    for name, query in QUERIES.items():
        table = "raw" if name == "histograms" else name
        out[name] = con.execute(query, [os.path.join(cold, table)]).fetchall()
    json.dump(out, sys.stdout, default=str)


if __name__ == "__main__":
    main()
