#!/usr/bin/python3
"""Fills a Redis server, reads every value back and compares it, and measures.

    fill.py SOCKET [--values=N] [--bytes=SIZE] [--requests=N]

The values are unique and incompressible; then redis-benchmark sets and gets
them at random. Prints a JSON object: values, value_bytes, wrong_values,
write_seconds, read_seconds, sets_per_second, gets_per_second. Ends with status
1 if a value was wrong or one was refused.
"""

import argparse
import csv
import json
import subprocess
import sys
import time

from redis_client import Redis, Values

BENCHMARK_SECONDS = 300


def timed(function):
    start = time.monotonic()
    return function(), time.monotonic() - start


def benchmark(path, values, requests):
    """Requests per second, by the name of the test."""
    said = subprocess.run(
        ["redis-benchmark", "-s", path, "-t", "set,get", "--csv",
         "-r", str(values.count), "-d", str(values.size), "-n", str(requests)],
        check=True, stdout=subprocess.PIPE, text=True,
        timeout=BENCHMARK_SECONDS).stdout
    return {row["test"]: float(row["rps"])
            for row in csv.DictReader(said.splitlines())}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("socket")
    parser.add_argument("--values", type=int, default=100000)
    parser.add_argument("--bytes", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=50000)
    options = parser.parse_args()
    values = Values(options.values, options.bytes)
    redis = Redis(options.socket)
    wrong, write_seconds = timed(lambda: values.load(redis))
    found, read_seconds = timed(lambda: values.verify(redis))
    wrong += found
    redis.close()
    rates = benchmark(options.socket, values, options.requests)
    print(json.dumps({
        "values": values.count, "value_bytes": values.size,
        "wrong_values": len(wrong),
        "write_seconds": write_seconds, "read_seconds": read_seconds,
        "sets_per_second": rates["SET"], "gets_per_second": rates["GET"],
    }, indent=1))
    if wrong:
        print(f"fill.py: {len(wrong)} values are wrong; the first is of "
              f"{wrong[0]}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
