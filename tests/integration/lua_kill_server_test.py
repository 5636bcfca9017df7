#!/usr/bin/python3
"""A Lua program whose memory server is killed under it.

    lua_kill_server_test.py FARLUA FARSWAP_SERVER INDEX_LUA
"""

import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, "tests/integration")
from server_process import ServerProcess  # pylint: disable=C0413

FARLUA, SERVER, INDEX = (os.path.abspath(path) for path in sys.argv[1:4])
PROGRAM = [INDEX, "--heap-mib=32", "--queries=200", "/usr/include"]
SECONDS = 240


def far(server, *options):
    """Starts the program; its lines can be read as it prints them."""
    return subprocess.Popen(
        [FARLUA, f"--servers={server.data_address}", "--local-memory=24M",
         *options, *PROGRAM], stdout=subprocess.PIPE, text=True)


class KillServer(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        plain = subprocess.run([FARLUA, "--plain", *PROGRAM], check=True,
                               capture_output=True, text=True,
                               timeout=SECONDS)
        cls.expected = plain.stdout.splitlines()

    def test_killed_and_started_again_nothing_is_wrong(self):
        with ServerProcess(SERVER, pool="file") as server, \
                far(server) as program:
            lines = []
            kills = 0
            for line in program.stdout:
                lines.append(line.rstrip("\n"))
                # After the text is read, and twice among the queries.
                if len(lines) in (1, 5, 11):
                    self.assertIsNone(program.poll())
                    server.kill()
                    server.start()
                    kills += 1
            self.assertEqual(program.wait(SECONDS), 0)
        self.assertEqual(kills, 3)
        self.assertEqual(lines, self.expected)

    def test_gone_for_good_it_dies_and_says_nothing_wrong(self):
        with ServerProcess(SERVER, pool="file") as server, \
                far(server, "--fault-deadline=2s") as program:
            lines = [program.stdout.readline().rstrip("\n")]
            server.kill()
            lines += program.stdout.read().splitlines()
            self.assertEqual(program.wait(SECONDS), -signal.SIGBUS)
        self.assertLess(len(lines), len(self.expected))
        self.assertEqual(lines, self.expected[:len(lines)])


if __name__ == "__main__":
    if not os.access("/dev/userfaultfd", os.R_OK | os.W_OK):
        print("NOT TESTED: needs /dev/userfaultfd; run as root")
        sys.exit(0)
    unittest.main(argv=sys.argv[:1], verbosity=2)
