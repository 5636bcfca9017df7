#!/usr/bin/python3
"""Debian's own Python with more objects than it has memory.

    launcher_python_test.py FARSWAP_RUN PAGER PRELOAD FARSWAP_SERVER
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, "tests/integration")
from launcher import MIB, Launcher, Sampler, bound  # pylint: disable=C0413

PROGRAM = """
import sys
def text(i, salt): return "object %d of many, its own text %d" % (i, i * salt)
objects = [text(i, 7).ljust(400, chr(97 + i % 26)) for i in range(%d)]
size = sum(map(sys.getsizeof, objects))
for walk in range(3):
    for i, o in enumerate(objects):
        if o != text(i, 7).ljust(400, chr(97 + i %% 26)):
            sys.exit("object %%d is wrong" %% i)
print(size)
"""
LONG = os.environ.get("FARSWAP_TEST_LONG") == "1"
LIMIT = 128 if LONG else 32
OBJECTS = 1250000 if LONG else 200000
LEAST = 512 * MIB if LONG else 80 * MIB
LEAST_REMOTE = 300 * MIB if LONG else 40 * MIB
SECONDS = 840


class Python(unittest.TestCase):

    def test_objects_in_a_quarter_of_their_memory(self):
        launcher = Launcher(*sys.argv[1:5])
        program = PROGRAM.replace("range(%d)", f"range({OBJECTS})")
        program = program.replace("%%", "%")
        run = launcher.start(
            LIMIT, ["/usr/bin/python3", "-c", program], stdout=-1, text=True)
        sampler = Sampler(run.pid)
        sampler.start()
        output, _ = run.communicate(timeout=SECONDS)
        peak = sampler.stop()
        self.assertEqual(run.returncode, 0)
        self.assertGreaterEqual(int(output), LEAST)
        stats = launcher.stats()
        print(f"local at most {peak / MIB:.0f} MiB of {LIMIT}, "
              f"{stats['remote_peak_bytes'] / MIB:.0f} MiB remote, "
              f"{stats['refaults']} refaults")
        self.assertGreaterEqual(stats["remote_peak_bytes"], LEAST_REMOTE)
        self.assertGreater(stats["refaults"], 0)
        self.assertEqual(stats["pages_lost"], 0)
        self.assertGreater(sampler.samples, 100)
        self.assertLessEqual(peak, bound(LIMIT))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
