#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks each file by itself: licence line, header guard, length, and the width of its lines.

Usage: check_files.py ROOT
"""

import os
import sys

from source_tree import read_lines, report, source_files

SPDX = "SPDX-License-Identifier: Apache-2.0"
SPDX_WITHIN_LINES = 2  # a script's first line is its interpreter
CHECKED_SUFFIXES = (".h", ".cc", ".in", ".cmake", ".py", ".sh", ".1")
MAX_LINES = 600
MAX_TEST_LINES = 800
MAX_COLUMNS = 100  # in C++ sources, whose comments clang-format leaves alone


def is_checked(path, lines):
    return (
        path.endswith(CHECKED_SUFFIXES)
        or os.path.basename(path) == "CMakeLists.txt"
        or bool(lines and lines[0].startswith("#!"))
    )


def check_file(root, path):
    lines = read_lines(root, path)
    if not is_checked(path, lines):
        return
    if not any(SPDX in line for line in lines[:SPDX_WITHIN_LINES]):
        yield f"{path}:1: begins without the line {SPDX}"
    if path.endswith((".h", ".h.in")) and "#pragma once" not in lines:
        yield f"{path}:1: a header without #pragma once"
    limit = MAX_TEST_LINES if path.startswith("tests/") else MAX_LINES
    if len(lines) > limit:
        yield f"{path}:{limit}: {len(lines)} lines, the limit is {limit}: split the file"
    for number, line in enumerate(lines, 1):
        if line.endswith((" ", "\t", "\r")):
            yield f"{path}:{number}: white space at the end of the line"
        if path.endswith((".h", ".cc")) and len(line) > MAX_COLUMNS:
            yield f"{path}:{number}: {len(line)} columns, the limit is {MAX_COLUMNS}"


def main():
    root = sys.argv[1]
    problems = []
    for path in source_files(root):
        problems.extend(check_file(root, path))
    return report("check_files", problems)


if __name__ == "__main__":
    sys.exit(main())
