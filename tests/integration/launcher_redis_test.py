#!/usr/bin/python3
"""Debian's own redis-server with half of its data in far memory.

    launcher_redis_test.py FARSWAP_RUN PAGER PRELOAD FARSWAP_SERVER
"""

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, "tests/integration")
from launcher import MIB, Launcher, Sampler, bound  # pylint: disable=C0413
from server_process import ServerProcess  # pylint: disable=C0413

REDIS = "/usr/bin/redis-server"
LONG = os.environ.get("FARSWAP_TEST_LONG") == "1"
# Twice the limit, beside some MiB of Redis's own.
LIMIT = 48 if LONG else 20
VALUE = 1024 if LONG else 16384
KEYS = 90 * 1024 if LONG else 2560
BATCH = 64
SECONDS = 600


class Redis:
    """A client of one server."""

    def __init__(self, path):
        until = time.monotonic() + 60
        while True:
            try:
                self._socket = socket.socket(socket.AF_UNIX)
                self._socket.settimeout(SECONDS)
                self._socket.connect(path)
                break
            except OSError:
                self._socket.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        self._file = self._socket.makefile("rb")

    def close(self):
        self._file.close()
        self._socket.close()

    def _read(self):
        line = self._file.readline()
        if line[:1] == b"$":
            size = int(line[1:])
            return None if size < 0 else self._file.read(size + 2)[:-2]
        if line[:1] == b"*":
            return [self._read() for _ in range(int(line[1:]))]
        return line.strip()

    def all(self, commands):
        """Sends them in one go, and returns the answers."""
        words = []
        for command in commands:
            words.append(b"*%d\r\n" % len(command))
            for word in command:
                word = word if isinstance(word, bytes) else word.encode()
                words.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self._socket.sendall(b"".join(words))
        return [self._read() for _ in commands]

    def __call__(self, *command):
        return self.all([command])[0]


def value(i):
    """Of that key: its own, and incompressible."""
    return random.Random(i).randbytes(VALUE)


def batches():
    for first in range(0, KEYS, BATCH):
        yield range(first, min(first + BATCH, KEYS))


def options(folder):
    return ["--port", "0", "--unixsocket", f"{folder}/redis", "--save", "",
            "--dir", folder, "--enable-debug-command", "yes",
            "--loglevel", "warning"]


class RedisTest(unittest.TestCase):

    def setUp(self):
        self.launcher = Launcher(*sys.argv[1:5])
        self.folder = tempfile.TemporaryDirectory(prefix="fs-", dir="/tmp")
        self.addCleanup(self.folder.cleanup)

    def start(self, *launcher_options, extra=()):
        run = self.launcher.start(
            LIMIT, [REDIS, *options(self.folder.name), *extra],
            *launcher_options)
        self.addCleanup(run.wait, 60)
        self.addCleanup(run.kill)
        redis = Redis(f"{self.folder.name}/redis")
        self.addCleanup(redis.close)
        return run, redis

    def load(self, redis, halfway=lambda: None):
        for batch in batches():
            if batch.start == KEYS // BATCH // 2 * BATCH:
                halfway()
            answers = redis.all([("SET", f"key:{i}", value(i)) for i in batch])
            self.assertEqual(set(answers), {b"+OK"})

    def verify(self, redis):
        for batch in batches():
            found = redis.all([("GET", f"key:{i}") for i in batch])
            for i, got in zip(batch, found):
                self.assertEqual(got, value(i), f"key:{i}")

    def end(self, run, redis):
        redis._socket.sendall(b"*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n")
        self.assertEqual(run.wait(60), 0)
        stats = self.launcher.stats()
        self.assertEqual(stats["pages_lost"], 0)
        self.assertGreater(stats["remote_peak_bytes"], LIMIT // 2 * MIB)
        self.assertGreater(stats["refaults"], 0)

    def test_its_server_is_killed_in_the_middle_of_a_load(self):
        with ServerProcess(sys.argv[4], pool="file") as server:

            def kill():
                server.kill()
                server.start()

            run, redis = self.start(f"--servers={server.data_address}")
            self.load(redis, halfway=kill)
            self.verify(redis)
            self.end(run, redis)

    def test_a_background_save_is_complete(self):
        run, redis = self.start()
        sampler = Sampler(run.pid)
        sampler.start()
        self.load(redis)
        self.verify(redis)
        self.assertEqual(redis("BGSAVE"), b"+Background saving started")
        until = time.monotonic() + SECONDS
        while b"rdb_bgsave_in_progress:0" not in redis("INFO", "persistence"):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        self.assertIn(b"rdb_last_bgsave_status:ok",
                      redis("INFO", "persistence"))
        self.assertLessEqual(sampler.stop(), bound(LIMIT))
        digest = redis("DEBUG", "DIGEST")
        self.end(run, redis)
        rdb = f"{self.folder.name}/dump.rdb"
        subprocess.run(["/usr/bin/redis-check-rdb", rdb], check=True,
                       stdout=subprocess.DEVNULL, timeout=SECONDS)
        # Read by a Redis that has all of its memory.
        plain = subprocess.Popen([REDIS, *options(self.folder.name)])
        self.addCleanup(plain.wait, 60)
        self.addCleanup(plain.kill)
        reader = Redis(f"{self.folder.name}/redis")
        self.addCleanup(reader.close)
        while reader("DBSIZE") != b":%d" % KEYS:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        self.assertEqual(reader("DEBUG", "DIGEST"), digest)

    def test_a_daemon_is_paged_for_when_farswap_run_has_ended(self):
        pid_file = f"{self.folder.name}/pid"
        run, redis = self.start(
            extra=("--daemonize", "yes", "--pidfile", pid_file))
        self.assertEqual(run.wait(60), 0)
        self.load(redis)
        self.verify(redis)
        redis._socket.sendall(b"*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n")
        self.assertGreater(
            self.launcher.stats(60)["remote_peak_bytes"], LIMIT // 2 * MIB)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
