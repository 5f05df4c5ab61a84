#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`penstock check`: what it prints, and its exit status.

Its counts are compared with QEMU's in tests/system/qcow2_check_test.py.
"""

import json
import os
import subprocess

import cli_case
from cli_case import MIB


class CheckTest(cli_case.CliCase):
    def make_qcow2(self, name="disk.qcow2", *options):
        path = self.path(name)
        self.run_tool("qemu-img", "create", "-q", "-f", "qcow2", *options, path, "4M")
        self.run_tool("qemu-io", "-c", "write 0 300k", path)
        return path

    def run_tool(self, *command):
        subprocess.run(command, check=True, capture_output=True, timeout=cli_case.LONG)

    def put(self, path, offset, number, size=8):
        with open(path, "r+b") as image:
            image.seek(offset)
            image.write(number.to_bytes(size, "big"))

    def get(self, path, offset):
        with open(path, "rb") as image:
            image.seek(offset)
            return int.from_bytes(image.read(8), "big")

    def test_sound_image(self):
        image = self.make_qcow2()
        before = self.read_file(image)
        result = self.succeed("check", image)
        self.assertIn("No errors were found.\n", result.stdout)
        self.assertIn("5 of 64 clusters are allocated (7.81%)", result.stdout)
        self.assertEqual(self.succeed("check", "-q", image).stdout, "")
        self.assertEqual(self.read_file(image), before)

    def test_corruption_is_status_2(self):
        image = self.make_qcow2()
        self.put(image, self.get(image, 40), self.get(image, self.get(image, 40)) & ~(1 << 63))
        result = self.run_program("check", "--output=json", image)
        self.assertEqual(result.returncode, 2)
        self.assertEqual(json.loads(result.stdout)["corruptions"], 1)
        self.assertIn("penstock: entry 0 (0x40000) of the L1 table at offset 0x30000 lacks the "
                      "copied flag, though the L2 table's refcount is 1", result.stderr)
        self.assertIn("1 error was found", self.run_program("check", image).stdout)

    def test_leak_is_status_3(self):
        image = self.make_qcow2()
        os.truncate(image, os.path.getsize(image) + 65536)
        block = self.get(image, self.get(image, 48))
        self.put(image, block + 2 * 10, 1, size=2)
        result = self.run_program("check", image)
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn("1 cluster is leaked", result.stdout)
        self.assertIn("cluster 10 (offset 0xa0000): refcount 1, but 0 references: leaked",
                      result.stderr)

    def test_nothing_is_counted_without_the_snapshot_table(self):
        image = self.make_qcow2()
        self.run_tool("qemu-img", "snapshot", "-c", "one", image)
        os.truncate(image, self.get(image, 64) + 20)
        result = self.run_program("check", image)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("ends inside the snapshot table", result.stderr)
        self.assertNotIn("leaked", result.stderr)

    def test_missing_backing_file_is_not_needed(self):
        base = self.make_qcow2("base.qcow2")
        image = self.make_qcow2("top.qcow2", "-b", base, "-F", "qcow2")
        os.unlink(base)
        self.succeed("check", image)

    def test_formats_without_a_check(self):
        self.fail_with(63, "images of the format 'raw' have no metadata to check", "check",
                       self.make_image(size=MIB))

    def test_what_cannot_be_opened_is_status_1(self):
        self.fail_with(1, "No such file", "check", self.path("missing.qcow2"))
        image = self.make_qcow2()
        self.put(image, 4, 4, size=4)
        self.fail_with(1, "version is 4", "check", "-f", "qcow2", image)
        self.fail_with(1, "--frobnicate", "check", "--frobnicate", image)


if __name__ == "__main__":
    cli_case.main()
