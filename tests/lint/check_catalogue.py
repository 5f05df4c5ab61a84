#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the tests which docs/catalogue.md names exist, that each row names something, and that
no entry between the first and the last of its kind is missing.

Usage: check_catalogue.py ROOT
"""

import os
import re
import sys

from source_tree import read_lines, report, source_files

CATALOGUE = "docs/catalogue.md"
GOOGLE_TEST = re.compile(r"^(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", re.MULTILINE)
PYTHON_TEST = re.compile(r"^\s+def (test_\w+)\(", re.MULTILINE)
IN_BACKTICKS = re.compile(r"`([^`]+)`")
# With a suite's instance and a parameter, as the program prints it: All/Suite.Test/0.
PRINTED_TEST = re.compile(r"(?:\w+/)?([A-Za-z]\w*\.\w+)(?:/\w+)?")
NOT_A_TEST = re.compile(r"[\w.]+\.(?:cc|h|py|md|txt|json)")
NUMBERED = re.compile(r"([A-Z](?:\d+\.)?)(\d+)")


def existing_tests(root):
    """The names that may be written: Suite.Test, file_test.py, file_test.py:test_name."""
    names = set()
    for path in source_files(root):
        if not path.startswith("tests/"):
            continue
        base = os.path.basename(path)
        if base.endswith("_test.cc"):
            text = "\n".join(read_lines(root, path))
            names.update(f"{suite}.{test}" for suite, test in GOOGLE_TEST.findall(text))
        elif base.endswith("_test.py"):
            names.add(base)
            text = "\n".join(read_lines(root, path))
            names.update(f"{base}:{test}" for test in PYTHON_TEST.findall(text))
    return names


def looks_like_a_name(word):
    if "/" in word or "_test.py" in word:
        return True
    return PRINTED_TEST.fullmatch(word) and not NOT_A_TEST.fullmatch(word)


def is_there(word, tests, root):
    printed = PRINTED_TEST.fullmatch(word)
    return (word in tests or (printed and printed.group(1) in tests) or
            os.path.exists(os.path.join(root, word)))


def missing_entries(entries):
    """Those that the numbering passes over."""
    numbers = {}
    for entry in entries:
        numbered = NUMBERED.fullmatch(entry)
        if numbered:
            numbers.setdefault(numbered.group(1), set()).add(int(numbered.group(2)))
    for kind, there in sorted(numbers.items()):
        for number in sorted(set(range(1, max(there))) - there):
            yield f"{CATALOGUE}:1: entry {kind}{number} is missing"


def check_catalogue(root):
    tests = existing_tests(root)
    entries = set()
    for number, line in enumerate(read_lines(root, CATALOGUE), 1):
        place = f"{CATALOGUE}:{number}"
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] != "entry":
            if cells[0] in entries:
                yield f"{place}: entry {cells[0]} is there twice"
            entries.add(cells[0])
            if len(cells) != 3 or not cells[-1]:
                yield f"{place}: a row has an entry, what went wrong, and what is here"
        for word in IN_BACKTICKS.findall(line):
            if not looks_like_a_name(word) or is_there(word, tests, root):
                continue
            if word.startswith("tests/run") or "Suite" in word or word.startswith("file_test.py"):
                continue
            yield f"{place}: there is no '{word}'"
    yield from missing_entries(entries)
    if not entries:
        yield f"{CATALOGUE}:1: there is no entry"


def main():
    return report("check_catalogue", list(check_catalogue(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
