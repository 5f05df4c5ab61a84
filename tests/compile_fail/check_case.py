#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles one case of a wrong call, right and wrong.

Usage: check_case.py --compiler CLANG++ [--include FOLDER]... CASE

The case holds a comment "// expect: REGEX". Without WRONG defined it must compile. With WRONG it
must be refused, by the thread-safety analysis alone, with a diagnostic that the expression matches.
"""

import argparse
import re
import subprocess
import sys

EXPECT = re.compile(r"^// expect: (.+)$", re.MULTILINE)
ERROR = re.compile(r"^.*\berror: .*$", re.MULTILINE)
ANALYSIS = "-Wthread-safety"


def compile_case(options, *defines):
    command = [options.compiler, "-std=gnu++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
               ANALYSIS]
    command += [f"-I{folder}" for folder in options.include]
    command += [*defines, options.case]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.returncode, result.stderr


def find_problem(options):
    with open(options.case, encoding="utf-8") as file:
        expected = EXPECT.search(file.read())
    if not expected:
        return 'the case has no line "// expect: REGEX"'

    status, messages = compile_case(options)
    if status != 0:
        return f"the right version does not compile:\n{messages}"
    status, messages = compile_case(options, "-DWRONG")
    if status == 0:
        return "the wrong version compiles"
    errors = ERROR.findall(messages)
    for error in errors:
        if ANALYSIS not in error:
            return f"the wrong version fails for another reason:\n{messages}"
    if not any(re.search(expected.group(1), error) for error in errors):
        return f"no diagnostic matches {expected.group(1)!r}:\n{messages}"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--include", action="append", default=[])
    parser.add_argument("case")
    options = parser.parse_args()

    problem = find_problem(options)
    if problem:
        print(f"{options.case}: {problem}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
