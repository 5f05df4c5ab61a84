#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the C++ sources are as clang-format leaves them.

Usage: check_format.py ROOT

Releases of clang-format differ in details, so that one release decides. Where the machine has
another one only, the check is skipped (exit status 77).
"""

import shutil
import subprocess
import sys

from source_tree import cxx_files

RELEASE = 14
SKIPPED = 77


def find_clang_format():
    for name in (f"clang-format-{RELEASE}", "clang-format"):
        program = shutil.which(name)
        if program:
            version = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=True
            ).stdout
            if f"version {RELEASE}." in version:
                return program
    return None


def main():
    root = sys.argv[1]
    program = find_clang_format()
    if program is None:
        print(f"clang-format {RELEASE} is not installed: formatting not checked")
        return SKIPPED
    files = cxx_files(root)
    if not files:
        return 0
    command = [program, "--dry-run", "--Werror", "--style=file", *files]
    status = subprocess.run(command, cwd=root, check=False).returncode
    if status != 0:
        print(f"check_format: run {program} -i on the files named above")
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
