#!/usr/bin/python3
"""Debian's own redis-server with half of its data in far memory.

    launcher_redis_test.py FARSWAP_RUN PAGER PRELOAD FARSWAP_SERVER
"""

import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = ["tests/integration", "deploy/examples/redis"]
from launcher import MIB, Launcher, Sampler, bound  # pylint: disable=C0413
from redis_client import Redis, Values  # pylint: disable=C0413
from server_process import ServerProcess  # pylint: disable=C0413

REDIS = "/usr/bin/redis-server"
LONG = os.environ.get("FARSWAP_TEST_LONG") == "1"
# Twice the limit, beside some MiB of Redis's own.
LIMIT = 48 if LONG else 20
VALUES = Values(90 * 1024, 1024) if LONG else Values(2560, 16384)
SECONDS = 600


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

    def end(self, run, redis):
        redis.send([("SHUTDOWN", "NOSAVE")])
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
            self.assertEqual(VALUES.load(redis, halfway=kill), [])
            self.assertEqual(VALUES.verify(redis), [])
            self.end(run, redis)

    def test_a_background_save_is_complete(self):
        run, redis = self.start()
        sampler = Sampler(run.pid)
        sampler.start()
        self.assertEqual(VALUES.load(redis), [])
        self.assertEqual(VALUES.verify(redis), [])
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
        while reader("DBSIZE") != b":%d" % VALUES.count:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        self.assertEqual(reader("DEBUG", "DIGEST"), digest)

    def test_a_daemon_is_paged_for_when_farswap_run_has_ended(self):
        pid_file = f"{self.folder.name}/pid"
        run, redis = self.start(
            extra=("--daemonize", "yes", "--pidfile", pid_file))
        self.assertEqual(run.wait(60), 0)
        self.assertEqual(VALUES.load(redis), [])
        self.assertEqual(VALUES.verify(redis), [])
        redis.send([("SHUTDOWN", "NOSAVE")])
        self.assertGreater(
            self.launcher.stats(60)["remote_peak_bytes"], LIMIT // 2 * MIB)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
