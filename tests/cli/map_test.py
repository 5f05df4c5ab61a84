#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstock map says what qemu-img map says."""

import json
import unittest

import cli_case
import qemu_case
from cli_case import MIB

KIB = 1024
FILL = ("write -P 1 0 256k", "write -z 64k 64k", "write -zu 128k 64k", "write -z 1M 64k",
        "write -c -P 3 2M 128k", "discard 0 64k", "write -P 5 3M 1000")


def comparable(extents, ignored):
    """Without keys that not both have. Where nothing is, QEMU may still say where it would be."""
    merged = []
    for extent in extents:
        extent = {key: value for key, value in extent.items() if key not in ignored}
        if not extent["present"]:
            extent.pop("offset", None)
        before = merged[-1] if merged else None
        alike = before and before.keys() == extent.keys() and all(
            before[key] == extent[key] for key in extent if key not in ("start", "length"))
        if alike and "offset" not in extent:
            before["length"] += extent["length"]
        else:
            merged.append(extent)
    return merged


class MapTest(qemu_case.QemuCase):
    def assert_same_map(self, name, *arguments):
        theirs = json.loads(self.qemu_img("map", "--output=json", *arguments, name))
        ours = self.json_of("map", *arguments, name)
        # Before 8.2 there was no such key.
        ignored = () if "compressed" in theirs[0] else ("compressed",)
        self.assertEqual(comparable(ours, ignored), comparable(theirs, ignored))

    def test_sparse_raw(self):
        with open(self.path("sparse.raw"), "wb") as image:
            image.truncate(4 * MIB)
            for place in (0, 1, 5, 16):
                image.seek(place * 64 * KIB)
                image.write(b"x" * 4096)
        self.assert_same_map("sparse.raw", "-f", "raw")

    def test_all_kinds_of_clusters(self):
        for options in ((), ("-o", "cluster_size=4k"), ("-o", "compat=0.10"),
                        ("-o", "extended_l2=on"), ("-o", "data_file=data.raw")):
            with self.subTest(options):
                self.create("disk.qcow2", "4M", *options)
                fill = [command for command in FILL if "data_file=data.raw" not in options or
                        "-c" not in command]
                self.qemu_io("disk.qcow2", *fill)
                self.assert_same_map("disk.qcow2")

    def test_preallocated_clusters(self):
        for kind in ("metadata", "falloc", "full"):
            with self.subTest(kind):
                self.create("disk.qcow2", "8M", "-o", f"preallocation={kind}")
                self.qemu_io("disk.qcow2", "write -P 7 1M 128k")
                self.assert_same_map("disk.qcow2")

    def test_chain_of_three_with_growing_sizes(self):
        self.create("a.qcow2", "4M")
        self.qemu_io("a.qcow2", *FILL)
        self.create("b.qcow2", "8M", backing="a.qcow2")
        self.qemu_io("b.qcow2", "write -P 2 6M 64k", "write -z 192k 64k")
        self.create("c.qcow2", "12M", "-o", "extended_l2=on", backing="b.qcow2")
        self.qemu_io("c.qcow2", "write -P 2 0 2k", "write -z 4k 2k", "write -P 8 11M 64k")
        for name in ("a.qcow2", "b.qcow2", "c.qcow2"):
            with self.subTest(name):
                self.assert_same_map(name)

    def test_raw_below_qcow2(self):
        with open(self.path("base.raw"), "wb") as image:
            image.truncate(MIB)
            image.seek(64 * KIB)
            image.write(b"x" * 4096)
        self.create("top.qcow2", "2M", backing="base.raw", backing_format="raw")
        self.qemu_io("top.qcow2", "write -P 2 512k 64k")
        self.assert_same_map("top.qcow2")

    def test_part_of_a_disk(self):
        self.create("disk.qcow2")
        self.qemu_io("disk.qcow2", *FILL)
        self.assert_same_map("disk.qcow2", "--start-offset=100000", "--max-length=300000")
        self.assertEqual(self.json_of("map", "--start-offset=1G", "disk.qcow2"), [])

    def test_a_part_says_what_the_whole_says(self):
        self.create("disk.qcow2", "32M", "-o", "preallocation=metadata")
        self.qemu_io("disk.qcow2", "write -P 7 0 1M")
        whole = self.json_of("map", "disk.qcow2")
        for extent in whole:
            with self.subTest(extent["start"]):
                part = self.json_of("map", f"--start-offset={extent['start']}", "--max-length=64k",
                                    "disk.qcow2")
                self.assertEqual([dict(extent, length=64 * KIB)], part)

    def test_table_shows_data_only(self):
        self.create("disk.qcow2")
        self.qemu_io("disk.qcow2", "write -P 1 0 256k", "write -z 64k 128k")
        self.create("top.qcow2", backing="disk.qcow2")
        self.qemu_io("top.qcow2", "write -P 1 1M 64k")
        ours = self.succeed("map", "top.qcow2", cwd=self.folder).stdout
        self.assertEqual(ours, self.qemu_img("map", "top.qcow2"))

    def test_compressed_data_is_shown_as_such(self):
        self.create("disk.qcow2")
        self.qemu_io("disk.qcow2", "write -c -P 3 2M 128k")
        table = self.succeed("map", self.path("disk.qcow2")).stdout
        self.assertEqual(table.splitlines()[1].split(), ["0x200000", "0x20000", "compressed"])
        extents = self.json_of("map", "disk.qcow2")
        self.assertEqual([extent["start"] for extent in extents if extent["compressed"]], [2 * MIB])


if __name__ == "__main__":
    cli_case.main()
