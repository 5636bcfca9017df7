"""farswap-run and what it starts, for tests in Python.

Not thread-safe. Every wait has a bound.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time

MIB = 1 << 20


def children(pid):
    """All processes below that one."""
    found = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        for task in tasks:
            path = f"/proc/{pid}/task/{task}/children"
            for child in pathlib.Path(path).read_text().split():
                found += [int(child)] + children(int(child))
    except OSError:
        pass  # It has ended.
    return found


def name_of(pid):
    """What the process's program is called; None if it has ended."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return None


def private_bytes(pid):
    """What of its memory is private and here; what it shares with children
    counts in part."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss_Anon:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


class Sampler(threading.Thread):
    """The most private memory that a tree of programs had at a time, and that
    one of them had (`largest`)."""

    OURS = ("farswap-run", "farswap-pager", "farswap-server")

    def __init__(self, root, interval=0.002):
        super().__init__(daemon=True)
        self._root = root
        self._interval = interval
        self._over = threading.Event()
        self.peak = 0
        self.largest = 0
        self.samples = 0

    def run(self):
        while not self._over.wait(self._interval):
            tree = [pid for pid in set(children(self._root))
                    if name_of(pid) not in self.OURS]
            each = [private_bytes(pid) for pid in tree]
            self.peak = max(self.peak, sum(each))
            self.largest = max([self.largest] + each)
            self.samples += 1

    def stop(self):
        """Returns the peak, in bytes."""
        self._over.set()
        self.join(10)
        return self.peak


class Launcher:
    """Where the programs are; starts farswap-run."""

    def __init__(self, run, pager, preload, server):
        self.run_path = os.path.abspath(run)
        self.environment = dict(
            os.environ, FARSWAP_PAGER=os.path.abspath(pager),
            FARSWAP_PRELOAD=os.path.abspath(preload),
            FARSWAP_SERVER=os.path.abspath(server))
        self._folder = tempfile.TemporaryDirectory(prefix="fs-", dir="/tmp")
        self.stats_path = os.path.join(self._folder.name, "stats.json")

    def start(self, limit_mib, command, *options, **popen):
        """A subprocess.Popen of farswap-run."""
        return subprocess.Popen(
            [self.run_path, f"--local-memory={limit_mib}M",
             f"--stats={self.stats_path}", *options, "--", *command],
            env=self.environment, **popen)

    def stats(self, seconds=20):
        """What the last run wrote, once it has."""
        until = time.monotonic() + seconds
        while True:
            try:
                with open(self.stats_path, encoding="ascii") as file:
                    return json.load(file)
            except (OSError, ValueError):
                if time.monotonic() > until:
                    raise
            time.sleep(0.01)


def bound(limit_mib):
    """What a tree may have with that limit: 5 % and 32 MiB more."""
    return int(limit_mib * 1.05 + 32) * MIB
