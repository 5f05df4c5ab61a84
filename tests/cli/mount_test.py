#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstock mount, umount, ls and info do what their help says."""

import json
import os
import re
import subprocess
import unittest

import cli_case
from cli_case import MIB


class MountTest(cli_case.CliCase):
    def test_file_is_readable_when_mount_returns(self):
        image = self.make_image()
        self.mount(image, self.mount_point)
        self.assertEqual(sorted(os.listdir(self.mount_point)), ["disk", "info.json"])
        self.assertEqual(self.read_file(self.disk), self.read_file(image))

    def test_mount_table_names_image_and_type(self):
        image = self.make_image()
        self.mount(image, self.mount_point)
        self.assertIn((self.mount_point, "fuse.penstock", image), cli_case.mount_entries())

    def test_fsname_replaces_the_image_in_the_mount_table(self):
        self.mount("-o", "fsname=a disk", self.make_image(), self.mount_point)
        self.assertIn((self.mount_point, "fuse.penstock", "a\\040disk"), cli_case.mount_entries())

    def test_mount_is_read_only_without_w(self):
        image = self.make_image()
        self.mount(image, self.mount_point)
        with self.assertRaises(OSError):
            with open(self.disk, "r+b", buffering=0) as disk:
                disk.write(b"x")

    def test_written_bytes_are_in_the_image_when_umount_returns(self):
        image = self.make_image()
        expected = bytearray(self.read_file(image))
        expected[5000:5003] = b"abc"
        self.mount("-w", "-f", "raw", image, self.mount_point)
        with open(self.disk, "r+b", buffering=0) as disk:
            disk.seek(5000)
            disk.write(b"abc")
        self.umount()
        self.assertFalse(self.is_mounted())
        self.assertEqual(self.read_file(image), bytes(expected))

    def test_mount_over_a_regular_file(self):
        image = self.make_image()
        place = self.make_image("place", size=1)
        self.mount(image, place)
        self.assertEqual(self.read_file(place), self.read_file(image))
        self.umount(place)
        self.assertEqual(os.path.getsize(place), 1)

    def test_relative_paths(self):
        image = self.make_image()
        self.succeed("mount", "disk.img", "mnt", cwd=self.folder)
        self.assertEqual(self.read_file(self.disk), self.read_file(image))
        self.succeed("umount", "mnt/", cwd=self.folder)
        self.assertFalse(self.is_mounted())

    def test_paths_with_spaces_and_commas(self):
        image = self.make_image("my, disk\\one.img")
        place = self.path("a place, with commas")
        os.mkdir(place)
        self.mount(image, place)
        self.assertEqual(self.read_file(os.path.join(place, "disk")), self.read_file(image))
        self.assertEqual(self.listed(place)["image"], image)
        self.umount(place)

    def test_umount_takes_the_file_in_the_mount(self):
        self.mount(self.make_image(), self.mount_point)
        self.umount(self.disk)
        self.assertFalse(self.is_mounted())

    def test_window_of_a_raw_image(self):
        image = self.make_image(size=4 * MIB)
        self.mount("-o", "offset=1M,size=512K", image, self.mount_point)
        self.assertEqual(self.read_file(self.disk), self.read_file(image)[MIB:MIB + MIB // 2])

    def test_owner_and_mode_as_asked(self):
        self.mount("-o", "uid=1234,gid=2345,mode=640", self.make_image(), self.mount_point)
        facts = os.stat(self.disk)
        self.assertEqual((facts.st_uid, facts.st_gid, facts.st_mode & 0o777), (1234, 2345, 0o640))

    def test_growable_mount_grows_and_shrinks_the_image(self):
        image = self.make_image()
        self.mount("-w", "-f", "raw", "--growable", image, self.mount_point)
        os.truncate(self.disk, 3 * MIB)
        self.assertEqual(os.path.getsize(image), 3 * MIB)
        self.umount()

    def test_every_engine_and_cache_reads_the_same(self):
        image = self.make_image()
        for options in (["--engine=threads"], ["--cache"], ["--direct"], ["-t", "1"], ["-t", "3"]):
            with self.subTest(options):
                self.mount(*options, image, self.mount_point)
                self.assertEqual(self.read_file(self.disk), self.read_file(image))
                self.umount()

    def test_fault_rule_fails_a_read(self):
        self.mount("--fault", "read_aio:always:errno=ENOSPC", self.make_image(), self.mount_point)
        with self.assertRaises(OSError) as failure:
            self.read_file(self.disk)
        self.assertEqual(failure.exception.strerror, "No space left on device")

    def test_two_mounts_of_one_read_only_image(self):
        image = self.make_image()
        other = self.path("other")
        os.mkdir(other)
        self.mount(image, self.mount_point)
        self.mount(image, other)
        self.assertEqual(self.read_file(self.disk), self.read_file(os.path.join(other, "disk")))

    def test_pid_file_lives_as_long_as_the_server(self):
        pid_file = self.path("pid")
        self.mount("--pid-file", pid_file, self.make_image(), self.mount_point)
        self.assertEqual(int(self.read_file(pid_file)), self.listed()["pid"])
        self.umount()
        self.assertFalse(os.path.exists(pid_file))


class ListTest(cli_case.CliCase):
    def test_ls_shows_a_mount_while_it_lives(self):
        image = self.make_image()
        self.mount("-w", "-f", "raw", "-t", "2", image, self.mount_point)
        entry = self.listed()
        self.assertEqual(entry["image"], image)
        self.assertEqual(entry["format"], "raw")
        self.assertEqual(entry["mode"], "rw")
        self.assertEqual(entry["iothreads"], 2)
        self.assertTrue(os.path.exists(f"/proc/{entry['pid']}"))
        table = self.succeed("ls").stdout.splitlines()
        self.assertEqual(table[0].split(), "IMAGE FORMAT MODE MOUNT POINT PID IOTHREADS".split())
        row = next(line for line in table if self.mount_point in line)
        self.assertEqual(row.split(),
                         [image, "raw", "rw", self.mount_point, str(entry["pid"]), "2"])
        self.umount()
        self.assertIsNone(self.listed())


class InfoTest(cli_case.CliCase):
    def qemu_img_info(self, image, *options):
        return subprocess.run(["qemu-img", "info", "-f", "raw", *options, image], text=True,
                              check=True, capture_output=True).stdout

    def test_output_equals_that_of_qemu_img(self):
        sparse = self.path("sparse.img")
        with open(sparse, "wb") as image:
            image.truncate(1500 * MIB)
        for image in (self.make_image(), sparse, self.make_image("odd.img", size=1536)):
            with self.subTest(image):
                ours = json.loads(self.succeed("info", "--output=json", image).stdout)
                theirs = json.loads(self.qemu_img_info(image, "--output=json"))
                self.assertLessEqual(theirs.items(), ours.items())
                self.assertEqual(self.succeed("info", image).stdout, self.qemu_img_info(image))


class ProgramTest(cli_case.CliCase):
    def test_version(self):
        self.assertRegex(self.succeed("--version").stdout, r"^penstock \d+\.\d+\.\d+\n$")

    def test_help_names_defaults_examples_and_exit_status(self):
        for arguments in ([], ["mount"], ["umount"], ["ls"], ["info"]):
            with self.subTest(arguments):
                text = self.succeed(*arguments, "--help").stdout
                self.assertIn("Exit status:", text)
        self.assertRegex(self.succeed("mount", "--help").stdout, "(?s)default.*Examples:")

    def test_every_option_is_in_the_manual(self):
        manual = self.read_file(
            os.path.join(os.environ["PENSTOCK_SOURCE_DIR"], "cli/penstock.1")).decode()
        manual = manual.replace("\\-", "-")
        for command in ("mount", "umount", "ls", "info"):
            for option in re.findall(r"--[a-z-]+", self.succeed(command, "--help").stdout):
                self.assertIn(option, manual, f"{option} of {command}")


if __name__ == "__main__":
    cli_case.main()
