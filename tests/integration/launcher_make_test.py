#!/usr/bin/python3
"""RE2, of Debian's source, built by make -j2 in less memory than one of its
compilers takes.

    launcher_make_test.py FARSWAP_RUN PAGER PRELOAD FARSWAP_SERVER SOURCE

Makes its objects within SOURCE, which must have none. Run it by
launcher_make_outside.sh, which brings the source.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from launcher import MIB, Launcher, Sampler, bound  # pylint: disable=C0413

SOURCE = pathlib.Path(sys.argv[5])
LIMIT = 180  # Less than the largest compiler has; two run at a time.
LEAST_OBJECTS = 15
LEAST_REMOTE = 64 * MIB
SECONDS = 840


def objects():
    """Of what there is a source for: Debian makes tables, by Perl and Python,
    which are no compilers' work."""
    files = list(SOURCE.glob("re2/*.cc"))
    files += [SOURCE / "util/rune.cc", SOURCE / "util/strutil.cc"]
    return sorted(
        f"obj/{file.relative_to(SOURCE).with_suffix('.o')}" for file in files)


def command():
    return ["/usr/bin/make", "-j2", f"OFILES={' '.join(objects())}",
            "obj/libre2.a"]


def environment():
    """Where the compiler's messages are the same, and its objects."""
    return dict(os.environ, LC_ALL="C", CXX="/usr/bin/g++",
                CXXFLAGS="-O3 -g", MAKEFLAGS="")


def said(errors):
    """Without that a server answers slowly, as on a busy machine."""
    slow = ("farswap: warning: server ", "farswap: info: server ")
    return sorted(line for line in errors.splitlines()
                  if not line.startswith(slow))


class Built:
    """What a build has left, which is taken away for the next one."""

    def __init__(self, run):
        self.sampler = Sampler(run.pid, 0.02)
        self.sampler.start()
        try:
            self.output, self.errors = run.communicate(timeout=SECONDS)
        finally:
            run.kill()
            run.wait()
            self.sampler.stop()
        self.code = run.returncode
        made = SOURCE / "obj"
        self.digests = {
            str(path.relative_to(made)):
                hashlib.sha256(path.read_bytes()).hexdigest()
            for path in made.rglob("*") if path.is_file()}
        shutil.rmtree(made)


class Make(unittest.TestCase):

    def test_objects_are_those_of_a_build_with_all_of_its_memory(self):
        options = {"cwd": SOURCE, "stdout": -1, "stderr": -1, "text": True}
        plain = Built(subprocess.Popen(
            command(), env=environment(), **options))
        self.assertEqual(plain.code, 0, plain.errors)
        self.assertGreater(len(plain.digests), LEAST_OBJECTS)
        self.assertGreater(plain.sampler.largest, LIMIT * MIB)
        launcher = Launcher(*sys.argv[1:5])
        launcher.environment.update(environment())
        far = Built(launcher.start(LIMIT, command(), **options))
        stats = launcher.stats()
        print(f"a compiler had {plain.sampler.largest / MIB:.0f} MiB, "
              f"all of them {plain.sampler.peak / MIB:.0f}; "
              f"now at most {far.sampler.peak / MIB:.0f} of {LIMIT}, "
              f"{stats['remote_peak_bytes'] / MIB:.0f} MiB remote, "
              f"{stats['refaults']} refaults")
        self.assertEqual(far.code, 0, far.errors)
        # Else a process was lost, or nobody knew of it.
        self.assertEqual(said(far.errors), said(plain.errors))
        self.assertEqual(far.digests, plain.digests)
        self.assertEqual(sorted(far.output.splitlines()),
                         sorted(plain.output.splitlines()))
        self.assertGreaterEqual(stats["remote_peak_bytes"], LEAST_REMOTE)
        self.assertGreater(stats["refaults"], 0)
        self.assertEqual(stats["pages_lost"], 0)
        self.assertLessEqual(far.sampler.peak, bound(LIMIT))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
