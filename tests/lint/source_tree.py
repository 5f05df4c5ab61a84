# SPDX-License-Identifier: Apache-2.0
"""Walks a source tree: the files that a person wrote, without builds and version control."""

import os

SKIPPED_FOLDERS = {".git", "build", "__pycache__"}
PRODUCT_LAYERS = ("base", "iothreads", "block", "drivers", "fuse", "control", "cli")


def source_files(root):
    """Yields every file below root as a path relative to it, in a stable order."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(set(subfolders) - SKIPPED_FOLDERS)
        for name in sorted(names):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield os.path.relpath(path, root)


def cxx_files(root):
    return [path for path in source_files(root) if path.endswith((".h", ".cc"))]


def read_lines(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def report(check, problems):
    """Prints the problems, one a line; returns the exit status."""
    for problem in problems:
        print(problem)
    if problems:
        print(f"{check}: {len(problems)} problem(s)")
    return 1 if problems else 0
