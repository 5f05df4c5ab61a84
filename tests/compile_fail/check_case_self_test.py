#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that check_case.py passes a good case and refuses each kind of bad one.

Usage: check_case_self_test.py CLANG++
"""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
COMPILER = sys.argv.pop(1)

CASE = """// expect: requires holding role 'role'
struct __attribute__((capability("role"))) Role {};
inline Role role;
void needs() __attribute__((requires_capability(role)));
#ifdef WRONG
void caller() { needs(); }
#else
void caller() __attribute__((requires_capability(role)));
void caller() { needs(); }
#endif
"""


class CheckCaseTest(unittest.TestCase):
    def check(self, text):
        with tempfile.TemporaryDirectory() as folder:
            case = os.path.join(folder, "case.cc")
            with open(case, "w", encoding="utf-8") as file:
                file.write(text)
            return subprocess.run(
                [sys.executable, "-B", os.path.join(HERE, "check_case.py"), "--compiler", COMPILER,
                 case],
                capture_output=True, text=True, check=False)

    def assert_refuses(self, text, reason):
        result = self.check(text)
        self.assertEqual(result.returncode, 1)
        self.assertIn(reason, result.stdout)

    def test_passes_a_good_case(self):
        result = self.check(CASE)
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_refuses_a_wrong_version_that_compiles(self):
        self.assert_refuses(CASE.replace("{ needs(); }", "{}"), "the wrong version compiles")

    def test_refuses_a_right_version_that_does_not(self):
        self.assert_refuses(CASE.replace("#ifdef WRONG", "#if 1"), "the right version does not")

    def test_refuses_another_error(self):
        wrong = CASE.replace("#ifdef WRONG", "#ifdef WRONG\nint a = unknown;")
        self.assert_refuses(wrong, "for another reason")

    def test_refuses_another_diagnostic(self):
        self.assert_refuses(CASE.replace("role 'role'\n", "role 'other'\n", 1), "no diagnostic")

    def test_refuses_a_case_without_expectation(self):
        self.assert_refuses(CASE.replace("// expect", "// wants"), "no line")


if __name__ == "__main__":
    unittest.main()
