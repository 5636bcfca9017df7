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
LIMIT = 128
OBJECTS = 1250000
SECONDS = 540


class Python(unittest.TestCase):

    def test_half_a_gigabyte_of_objects_in_a_quarter_of_it(self):
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
        self.assertGreaterEqual(int(output), 512 * MIB)
        stats = launcher.stats()
        print(f"local at most {peak / MIB:.0f} MiB of {LIMIT}, "
              f"{stats['remote_peak_bytes'] / MIB:.0f} MiB remote, "
              f"{stats['refaults']} refaults")
        self.assertGreaterEqual(stats["remote_peak_bytes"], 300 * MIB)
        self.assertGreater(stats["refaults"], 0)
        self.assertEqual(stats["pages_lost"], 0)
        self.assertGreater(sampler.samples, 100)
        self.assertLessEqual(peak, bound(LIMIT))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
