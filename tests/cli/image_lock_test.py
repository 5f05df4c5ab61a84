#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""QEMU and Penstock refuse an image that the other one has open for writing."""

import shutil
import subprocess
import unittest

import cli_case


@unittest.skipUnless(shutil.which("qemu-io"), "qemu-io is not installed")
class ImageLockTest(cli_case.CliCase):
    def hold_with_qemu_io(self, image):
        """A qemu-io that has the image open for writing."""
        holder = subprocess.Popen(["qemu-io", "-f", "raw", image], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end_process, holder)
        holder.stdin.write("length\n")
        holder.stdin.flush()
        while "MiB" not in holder.stdout.readline():  # the answer: the image is open
            self.assertIsNone(holder.poll())
        return holder

    def qemu_io(self, image, command, *options):
        return subprocess.run(["qemu-io", "-f", "raw", *options, "-c", command, image], text=True,
                              capture_output=True, check=False)

    def test_image_that_qemu_writes_is_refused_with_the_holder_named(self):
        image = self.make_image()
        holder = self.hold_with_qemu_io(image)
        for options in (["-w", "-f", "raw"], []):
            with self.subTest(options):
                self.fail_with(1, str(holder.pid), "mount", *options, image, self.mount_point)
        self.assertFalse(self.is_mounted())

    def test_force_share_reads_an_image_that_qemu_writes(self):
        image = self.make_image()
        self.hold_with_qemu_io(image)
        self.mount("--force-share", image, self.mount_point)
        self.assertEqual(self.read_file(self.disk), self.read_file(image))
        self.succeed("info", "-U", image)

    def test_qemu_is_refused_while_an_image_is_mounted_writable(self):
        image = self.make_image()
        self.mount("-w", "-f", "raw", image, self.mount_point)
        self.assertIn("lock", self.qemu_io(image, "write 0 4k").stderr)
        self.umount()
        self.assertEqual(self.qemu_io(image, "write 0 4k").returncode, 0)

    def test_two_writable_mounts_of_one_image_are_refused(self):
        image = self.make_image()
        other = self.path("other")
        self.mount("-w", "-f", "raw", image, self.mount_point)
        with open(other, "wb"):
            pass
        self.fail_with(1, image, "mount", "-w", "-f", "raw", image, other)


if __name__ == "__main__":
    cli_case.main()
