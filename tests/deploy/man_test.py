#!/usr/bin/python3
"""The manual pages have the options that the programs have, and render.

    man_test.py PROGRAM PAGE [PROGRAM PAGE...]
"""

import os
import re
import shutil
import subprocess
import sys
import unittest

PAIRS = list(zip(sys.argv[1::2], sys.argv[2::2]))


def page_text(page):
    with open(page, encoding="ascii") as file:
        return file.read().replace("\\-", "-")


def said(program, option):
    return subprocess.run([os.path.abspath(program), option], check=True,
                          capture_output=True, text=True, timeout=60).stdout


class ManualPages(unittest.TestCase):

    def test_options_are_those_of_help(self):
        for program, page in PAIRS:
            with self.subTest(page=page):
                helped = re.findall(r"^  (?:-\w,)?(--[a-z-]+)",
                                    said(program, "--help"), re.MULTILINE)
                told = re.findall(r"^\.TP\n\.BI? (--[a-z-]+)",
                                  page_text(page), re.MULTILINE)
                self.assertGreater(len(told), 5)
                self.assertEqual(sorted(told), sorted(helped))

    def test_defaults_are_those_of_help(self):
        for program, page in PAIRS:
            defaults = dict(re.findall(r"^  (--[a-z-]+) \S+?=(\S+)",
                                       said(program, "--help"), re.MULTILINE))
            text = page_text(page)
            for option, default in defaults.items():
                with self.subTest(option=option):
                    entry = text.split(f"\n.BI {option}=")[1].split("\n.TP")[0]
                    self.assertIn(f"Default: {default}", entry)

    def test_version_is_that_of_the_program(self):
        for program, page in PAIRS:
            with self.subTest(page=page):
                version = said(program, "--version").split()[-1]
                self.assertIn(f'"farswap {version}"', page_text(page))

    @unittest.skipUnless(shutil.which("groff"), "NOT TESTED: no groff")
    def test_render_without_warnings(self):
        for _, page in PAIRS:
            with self.subTest(page=page):
                result = subprocess.run(
                    ["groff", "-man", "-Tutf8", "-ww", "-z", page],
                    capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual((result.returncode, result.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
