#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wrong input gets one line that says what is wrong, and the documented status."""

import os
import subprocess
import unittest

import cli_case
from cli_case import MIB

FAILED = 1
USAGE = 2


class WrongUsageTest(cli_case.CliCase):
    def test_messages_and_status(self):
        image = self.make_image()
        place = self.mount_point
        cases = [
            ([], "subcommand"),
            (["frobnicate"], "no command or option 'frobnicate'"),
            (["--frobnicate"], "no command or option '--frobnicate'"),
            (["mount"], "IMAGE"),
            (["mount", image], "DIR"),
            (["mount", "--frobnicate", image, place], "--frobnicate"),
            (["mount", "-t", "0", image, place], "0 not in range"),
            (["mount", "-t", "x", image, place], "-t"),
            (["mount", "--engine=fast", image, place], "fast"),
            (["mount", "-o", "frobnicate", image, place], "-o frobnicate: there is no such option"),
            (["mount", "-o", "uid=root", image, place], "-o uid=root: takes the number"),
            (["mount", "-o", "mode=999", image, place], "-o mode=999: takes octal"),
            (["mount", "-o", "size=large", image, place], "-o size=large: takes a number of bytes"),
            (["mount", "-o", "subtype=x", image, place], "-o subtype=x"),
            (["mount", "-o", "ro", "-w", image, place], "read-only and writable"),
            (["mount", "-o", "ro,rw", image, place], "read-only and writable"),
            (["mount", "--growable", image, place], "add -w"),
            (["mount", "-U", "-w", image, place], "leave out -w"),
            (["umount"], "DIR"),
            (["ls", "--output=xml"], "xml"),
            (["info"], "IMAGE"),
            (["info", "--backing", "a", image], "takes OLD=NEW"),
            (["info", "--search-path", self.path("none"), image], "there is no such directory"),
            (["map", "--allow-path", image, image], "there is no such directory"),
            (["map", "--start-offset", "x", image], "x is no number of bytes"),
            (["map"], "IMAGE"),
        ]
        for arguments, message in cases:
            with self.subTest(arguments):
                self.fail_with(USAGE, message, *arguments)
        self.assertFalse(self.is_mounted())


class WrongMountTest(cli_case.CliCase):
    def refuse_mount(self, message, *arguments):
        result = self.fail_with(FAILED, message, "mount", *arguments)
        self.assertFalse(self.is_mounted())
        self.assertIsNone(self.listed())
        return result

    def test_missing_image(self):
        self.refuse_mount("No such file or directory", self.path("none.img"), self.mount_point)

    def test_image_that_is_a_directory(self):
        self.refuse_mount("Is a directory", self.folder, self.mount_point)

    def test_image_that_is_a_pipe(self):
        os.mkfifo(self.path("pipe"))
        self.refuse_mount("neither a regular file nor a block device", self.path("pipe"),
                          self.mount_point)

    def test_missing_mount_point(self):
        self.refuse_mount("does not exist; make it with 'mkdir'", self.make_image(),
                          self.path("none"))

    def test_mount_point_that_is_a_device(self):
        self.refuse_mount("neither a directory nor a regular file", self.make_image(), "/dev/null")

    def test_mount_point_in_use_names_image_and_pid(self):
        image = self.make_image()
        self.mount(image, self.mount_point)
        pid = self.listed()["pid"]
        result = self.fail_with(FAILED, f"already has a mount of '{image}'", "mount", image,
                                self.mount_point)
        self.assertIn(f"PID {pid}", result.stderr)
        self.assertEqual(self.read_file(self.disk), self.read_file(image))

    def test_window_that_does_not_fit(self):
        self.refuse_mount("does not fit", "-o", "offset=2M", self.make_image(), self.mount_point)

    def test_fault_rule_that_is_none(self):
        self.refuse_mount("there is no event", "--fault", "frobnicate", self.make_image(),
                          self.mount_point)

    def test_writable_mount_never_guesses_raw(self):
        self.refuse_mount("say -f raw", "-w", self.make_image(), self.mount_point)

    def test_unknown_format(self):
        self.refuse_mount("unknown format 'ext9'; supported: ", "-f", "ext9", self.make_image(),
                          self.mount_point)

    def test_pid_file_that_cannot_be_written(self):
        self.refuse_mount("cannot write the PID file", "--pid-file", self.path("none/pid"),
                          self.make_image(), self.mount_point)

    def test_umount_of_what_is_no_mount(self):
        self.fail_with(FAILED, "nothing is mounted by penstock", "umount", self.mount_point)
        self.fail_with(FAILED, "nothing is mounted by penstock", "umount", self.path("none"))
        self.fail_with(FAILED, "nothing is mounted by penstock", "umount", "/")

    def test_info_of_missing_image(self):
        self.fail_with(FAILED, "No such file or directory", "info", self.path("none.img"))


class UnsupportedFormatTest(cli_case.CliCase):
    def qemu_image(self, name):
        path = self.path("disk." + name)
        subprocess.run(["qemu-img", "create", "-q", "-f", name, path, "1M"], check=True)
        return path

    def test_known_formats_are_refused_by_name(self):
        images = {name: self.qemu_image(name)
                  for name in ("qcow", "qed", "vdi", "vhdx", "vmdk", "vpc", "parallels")}
        images["dmg"] = self.make_image("disk.dmg", content=bytes(MIB) + b"koly" + bytes(508))
        images["ewf"] = self.make_image("disk.E01", content=b"EVF\x09\x0d\x0a\xff\x00" + bytes(MIB))
        for name, image in images.items():
            with self.subTest(name):
                message = f"is a {name} image, and format {name} is not supported yet"
                self.fail_with(FAILED, message, "mount", image, self.mount_point)
                self.fail_with(FAILED, message, "mount", "-w", image, self.mount_point)
                self.fail_with(FAILED, message, "info", image)
                self.fail_with(FAILED, f"format {name} is not supported yet; supported: ",
                               "mount", "-f", name, image, self.mount_point)

    def test_versions_of_qcow2_that_do_not_exist_yet_are_refused(self):
        image = self.make_image(content=b"QFI\xfb\x00\x00\x00\x04" + bytes(MIB))
        for command in (("mount", image, self.mount_point), ("info", image)):
            self.fail_with(FAILED, "the image's version is 4; 2 and 3 are supported", *command)

    def test_raw_by_name_gives_the_bytes_of_any_format(self):
        image = self.qemu_image("qcow2")
        self.mount("-f", "raw", image, self.mount_point)
        self.assertEqual(self.read_file(self.disk), self.read_file(image))


if __name__ == "__main__":
    cli_case.main()
