#!/usr/bin/python3
"""The pager, or farswap-run, is killed under a program with memory far away.

    launcher_kill_test.py FARSWAP_RUN PAGER PRELOAD FARSWAP_SERVER PROGRAM
"""

import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, "tests/integration")
from launcher import Launcher, children, name_of  # pylint: disable=C0413

LONG = os.environ.get("FARSWAP_TEST_LONG") == "1"
ROUNDS = 50 if LONG else 10
PROGRAM = os.path.abspath(sys.argv[5])
SECONDS = 60


def find(root, name):
    """The process of that name below that one, once it is there."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        for pid in children(root):
            if name_of(pid) == name:
                return pid
        time.sleep(0.005)
    raise AssertionError(f"no {name}")


def gone(pid):
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if name_of(pid) is None:
            return True
        time.sleep(0.005)
    return False


class Kill(unittest.TestCase):

    def test_programs_end_and_never_read_zeros(self):
        launcher = Launcher(*sys.argv[1:5])
        for turn in range(ROUNDS):
            # It says so once all of it was right, and goes on looking; it exits
            # with 1 when a word is wrong.
            run = launcher.start(16, [PROGRAM, "watch", "48"], stdout=-1,
                                 stderr=-1)
            self.assertEqual(run.stdout.readline(), b"right\n")
            program = find(run.pid, os.path.basename(PROGRAM))
            pager = find(run.pid, "farswap-pager")
            victim = pager if turn % 2 == 0 else run.pid
            os.kill(victim, signal.SIGKILL)
            self.assertTrue(gone(program))
            _, errors = run.communicate(timeout=SECONDS)
            self.assertNotIn(b"word", errors)
            if turn % 2 == 0:
                # As the command, which was killed.
                # 1: farswap-run saw its pager's end first, and ended them.
                self.assertIn(run.returncode, (-signal.SIGKILL, 1), errors)
            self.assertTrue(gone(pager))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
