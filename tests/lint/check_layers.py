#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that include arrows point down the layers.

Usage: check_layers.py ROOT

  cli -> control -> { fuse, drivers } -> block -> iothreads -> base

A file includes its own layer and those below it; fuse and drivers do not see each other; tests,
bench and fuzz may include anything and are included by nobody else. A file of I/O functions
(below block/io, or named *_io) includes no header of global-state functions (below block/graph, or
named *_gs). No header consists of includes alone.
"""

import os
import re
import sys

from source_tree import PRODUCT_LAYERS, cxx_files, read_lines, report

ORDER = ("base", "iothreads", "block", ("drivers", "fuse"), "control", "cli")
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def build_arrows():
    arrows = {}
    below = set()
    for rank in ORDER:
        siblings = (rank,) if isinstance(rank, str) else rank
        for layer in siblings:
            arrows[layer] = below | {layer}
        below = below | set(siblings)
    return arrows


ARROWS = build_arrows()


def layer_of(path):
    return path.split("/", 1)[0]


def stem_of(path):
    return os.path.splitext(os.path.basename(path))[0]


def is_io_file(path):
    return path.startswith("block/io/") or stem_of(path).endswith("_io")


def is_global_state_header(path):
    return path.startswith("block/graph/") or stem_of(path).endswith("_gs")


def is_in_tree(root, target):
    names = (target, target + ".in")  # the second is generated into the build folder
    return any(os.path.isfile(os.path.join(root, name)) for name in names)


def is_foreign(root, path, target):
    """A library's header, such as "absl/status/status.h"."""
    beside = os.path.join(root, os.path.dirname(path), target)
    own_folder = os.path.join(root, layer_of(target))
    return "/" in target and not os.path.exists(beside) and not os.path.exists(own_folder)


def is_umbrella(path, lines, includes):
    if not path.endswith(".h") or len(includes) < 2:
        return False
    text = re.sub(r"/\*.*?\*/", "", "\n".join(lines), flags=re.DOTALL)
    code = [line for line in text.splitlines() if not re.match(r"\s*(//.*|#.*)?$", line)]
    return not code


def check_file(root, path):
    lines = read_lines(root, path)
    includes = []
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if match:
            includes.append((number, match.group(1)))

    layer = layer_of(path)
    for number, target in includes:
        where = f"{path}:{number}"
        if not is_in_tree(root, target):
            if not is_foreign(root, path, target):
                yield f'{where}: "{target}" is no path of a file from the root of the tree'
            continue
        if layer not in PRODUCT_LAYERS:
            continue
        if layer_of(target) not in ARROWS[layer]:
            yield f'{where}: {layer} may not include "{target}": arrows point down only'
        if is_io_file(path) and is_global_state_header(target):
            yield f'{where}: a file of I/O functions includes the global-state header "{target}"'
    if is_umbrella(path, lines, includes):
        yield f"{path}:1: an umbrella header: let users include the headers that they need"


def main():
    root = sys.argv[1]
    problems = []
    for path in cxx_files(root):
        problems.extend(check_file(root, path))
    return report("check_layers", problems)


if __name__ == "__main__":
    sys.exit(main())
