#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where io_uring is forbidden the program says so calmly and works on epoll and threads.

Usage: without_io_uring_test.py WRAPPER
"""

import sys
import unittest

import cli_case

WRAPPER = sys.argv.pop(1)  # runs a command with io_uring forbidden by seccomp


class WithoutIoUringTest(cli_case.CliCase):
    def command(self, *arguments):
        return [WRAPPER, cli_case.PROGRAM, *arguments]

    def test_mount_works_and_names_the_cause_once(self):
        image = self.make_image()
        result = self.mount("-w", "-f", "raw", image, self.mount_point)
        self.assertEqual(result.stderr.count("io_uring"), 1, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertEqual(self.listed()["engine"], "epoll")
        self.assertEqual(self.read_file(self.disk), self.read_file(image))
        with open(self.disk, "r+b", buffering=0) as disk:
            disk.write(b"abc")
        self.umount()
        self.assertEqual(self.read_file(image)[:3], b"abc")

    def test_engine_by_name_is_refused(self):
        self.fail_with(1, "io_uring", "mount", "--engine=io_uring", self.make_image(),
                       self.mount_point)

    def test_info(self):
        self.assertIn("file format: raw", self.succeed("info", self.make_image()).stdout)


if __name__ == "__main__":
    cli_case.main()
