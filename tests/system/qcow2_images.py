# SPDX-License-Identifier: Apache-2.0
"""qcow2 images for the system tests: made by qemu-img, filled at random places by qemu-io."""

import json
import os
import subprocess

from served_image import run

KIB = 1024
MIB = 1024 * KIB


def create(path, size, options=None, backing=None, backing_format=None):
    command = ["qemu-img", "create", "-q", "-f", "qcow2"]
    if options:
        command += ["-o", ",".join(f"{key}={value}" for key, value in options.items())]
    if backing:
        # -u: the size is given, so that nobody need open the chain below.
        command += ["-b", backing, "-F", backing_format] + (["-u"] if size is not None else [])
    run(*command, path, *([str(size)] if size is not None else []))


def cluster_size(path):
    return image_info(path)["cluster-size"]


def image_info(path):
    return json.loads(run("qemu-img", "info", "--output=json", path))


def random_place(random, size, unit, longest):
    """A range in units of `unit` bytes, of at most `longest` bytes, within the disk."""
    units = size // unit
    start = random.randrange(units)
    length = random.randint(1, max(1, min(longest // unit, units - start)))
    return start * unit, length * unit


def random_commands(random, path, size, count, compressed=True):
    """qemu-io commands that write, zero, discard and compress at random places."""
    cluster = cluster_size(path)
    commands = []
    kinds = ["write", "write", "write", "zero", "unmap", "discard"] + (
        ["compress", "compress"] if compressed and size >= cluster else [])
    for _ in range(count):
        kind = random.choice(kinds)
        if kind == "compress":
            start, _ = random_place(random, size, cluster, cluster)
            # Not a run of one byte: the codec has something to do.
            commands.append(f"write -q -c -P {random.randint(1, 255)} {start} {cluster}")
            continue
        start, length = random_place(random, size, 512, max(4 * cluster, 64 * KIB))
        commands.append({
            "write": f"write -q -P {random.randint(1, 255)} {start} {length}",
            "zero": f"write -q -z {start} {length}",
            "unmap": f"write -q -z -u {start} {length}",
            "discard": f"discard -q {start} {length}",
        }[kind])
    return commands


def fill(random, path, size, count, compressed=True):
    runs = [[]]
    for command in random_commands(random, path, size, count, compressed):
        # QEMU (seen with 7.2) keeps in mind where the last compressed cluster ended, also once
        # that place has been freed and used again, and then writes the next one over live data.
        # A new process has nothing in mind.
        if command.startswith("write -q -c"):
            runs.append([])
        runs[-1].append(command)
    for commands in filter(None, runs):
        arguments = [word for command in commands for word in ("-c", command)]
        # A compressed write refuses a cluster that has data already; the others go on.
        done = subprocess.run(["qemu-io", "-f", "qcow2", "-d", "unmap", *arguments, path],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        if "open" in done.stderr and "fail" in done.stderr:
            raise AssertionError(done.stderr)


def as_raw(path, target, snapshot=None):
    """The bytes that QEMU reads from the image."""
    selected = ["-l", f"snapshot.name={snapshot}"] if snapshot else []
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", *selected, path, target)
    return target


def data_ranges(path):
    """Where qemu-img map sees data, as merged [start, end) pairs."""
    ranges = []
    for extent in json.loads(run("qemu-img", "map", "--output=json", path)):
        if not extent["data"] or extent["zero"]:
            continue
        start, end = extent["start"], extent["start"] + extent["length"]
        if ranges and ranges[-1][1] == start:
            ranges[-1][1] = end
        else:
            ranges.append([start, end])
    return ranges


def seek_ranges(path):
    """Where lseek(2) sees data, as [start, end) pairs."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        ranges = []
        position = 0
        while position < size:
            try:
                start = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError:
                break
            position = os.lseek(descriptor, start, os.SEEK_HOLE)
            ranges.append([start, position])
        return ranges
    finally:
        os.close(descriptor)
