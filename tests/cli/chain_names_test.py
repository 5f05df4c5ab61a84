#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which files the names inside images may open, and what is said about the others."""

import json
import os
import shutil
import socket
import subprocess
import sys
import unittest

import cli_case
import qemu_case
from cli_case import MIB

FAILED = 1


class ChainCase(qemu_case.QemuCase):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("own"))
        os.mkdir(self.path("own/deeper"))
        os.mkdir(self.path("other"))
        self.top = self.path("own/top.qcow2")

    def make_base(self, name, value=7):
        self.create(name, "1M")
        self.qemu_io(name, f"write -P {value} 0 64k")
        return self.path(name)

    def make_top(self, backing, backing_format="qcow2"):
        self.create("own/top.qcow2", "1M")
        if backing_format:
            self.name_backing("own/top.qcow2", backing, backing_format)
        else:
            self.name_backing_without_format("own/top.qcow2", backing)
        return self.top

    def first_byte(self, *arguments):
        """Of the disk, mounted with these options."""
        self.mount(*arguments, self.top, self.mount_point)
        with open(self.disk, "rb") as disk:
            byte = disk.read(1)[0]
        self.umount()
        return byte

    def refuse(self, message, *arguments):
        for command in ("map", ("info", "--chain")):
            words = (command,) if isinstance(command, str) else command
            result = self.fail_with(FAILED, message, *words, *arguments, self.top)
        self.fail_with(FAILED, message, "mount", *arguments, self.top, self.mount_point)
        self.assertFalse(self.is_mounted())
        return result.stderr


class OwnDirectoryTest(ChainCase):
    def test_names_that_stay_inside(self):
        self.make_base("own/base.qcow2")
        self.make_base("own/deeper/base.qcow2", 8)
        os.symlink("deeper/base.qcow2", self.path("own/link.qcow2"))
        for name, value in (("base.qcow2", 7), ("./base.qcow2", 7), ("deeper/../base.qcow2", 7),
                            (self.path("own/base.qcow2"), 7), ("file:base.qcow2", 7),
                            ("deeper/base.qcow2", 8), ("link.qcow2", 8)):
            with self.subTest(name):
                self.make_top(name)
                self.assertEqual(self.first_byte(), value)

    def test_a_name_is_relative_to_the_image_that_carries_it(self):
        self.make_base("own/deeper/base.qcow2")
        self.create("own/deeper/middle.qcow2", "1M")
        self.name_backing("own/deeper/middle.qcow2", "base.qcow2")
        self.make_top("deeper/middle.qcow2")
        self.assertEqual(self.first_byte(), 7)

    def test_a_linked_image_has_the_directory_that_its_path_says(self):
        self.make_base("own/base.qcow2")
        self.make_base("other/base.qcow2", 9)
        self.make_top("base.qcow2")
        os.symlink(self.top, self.path("other/link.qcow2"))
        self.fail_with(FAILED, "outside of", "map", self.path("other/link.qcow2"))
        extents = self.json_of("map", "--allow-path", self.path("other"),
                               self.path("other/link.qcow2"))
        self.assertEqual(extents[0]["depth"], 1)

    def test_format_that_is_not_said_is_found(self):
        self.make_base("own/base.qcow2")
        self.make_image("own/base.raw", content=b"\x06" * MIB)
        for name, value in (("base.qcow2", 7), ("base.raw", 6)):
            with self.subTest(name):
                self.make_top(name, "")
                self.assertEqual(self.first_byte(), value)
                self.make_top(json_name({"file": {"driver": "file", "filename": name}}), "")
                self.assertEqual(self.first_byte(), value)

    def test_format_that_there_is_not(self):
        self.qemu_img("create", "-q", "-f", "vmdk", "own/base.vmdk", "1M")
        self.make_top("base.vmdk", "vmdk")
        self.refuse("format vmdk is not supported yet")


def json_name(description):
    return "json:" + json.dumps(description)


class OutsideTest(ChainCase):
    def test_refused_with_the_option_that_allows_it(self):
        base = self.make_base("other/base.qcow2")
        os.symlink(base, self.path("own/link.qcow2"))
        os.symlink(self.path("other"), self.path("own/linked"))
        inside_json = json_name({"driver": "qcow2", "file": {"driver": "file", "filename": base}})
        for name in ("../other/base.qcow2", base, "link.qcow2", "linked/base.qcow2",
                     "file:" + base, inside_json):
            with self.subTest(name):
                self.make_top(name)
                text = self.refuse("outside of '%s'" % self.path("own"))
                option = "--allow-path '%s'" % self.path("other")
                self.assertIn(option, text)
                self.assertEqual(self.first_byte("--allow-path", self.path("other")), 7)

    def test_allowed_by_mount_option(self):
        base = self.make_base("other/base.qcow2")
        self.make_top(base)
        self.assertEqual(self.first_byte("-o", "allow-path=" + self.path("other")), 7)

    def test_what_is_no_file_is_refused_even_where_allowed(self):
        os.mkfifo(self.path("own/pipe"))
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(self.path("own/socket"))
        for name, arguments in (("pipe", ()), ("socket", ()), ("deeper", ()),
                                ("pipe", ("--allow-path", self.path("own"))),
                                ("/dev/zero", ("--allow-path", "/dev"))):
            with self.subTest(name):
                self.make_top(name, "raw")
                self.refuse("neither a regular file nor a block device", *arguments)

    def test_devices_are_outside(self):
        self.make_top("/dev/zero", "raw")
        self.refuse("outside of")

    def test_other_protocols_are_never_opened(self):
        for name in ("nbd://localhost/x", "nbd:unix:/x", "http://localhost/x", "fat:/", "x:y"):
            with self.subTest(name):
                self.make_top(name, "raw")
                self.refuse("is not supported", "--allow-path", "/")

    def test_data_file_outside(self):
        self.create("own/top.qcow2", "1M", "-o", "data_file=" + self.path("other/data.raw"))
        self.qemu_io("own/top.qcow2", "write -P 4 0 64k")
        self.refuse("as its data file, which is")
        self.assertEqual(self.first_byte("--allow-path", self.path("other")), 4)


class JsonNameTest(ChainCase):
    def test_known_shapes(self):
        self.make_base("own/base.qcow2")
        self.make_image("own/base.raw", content=bytes(4096) + b"\x06" * MIB)
        plain = {"driver": "file", "filename": "base.qcow2"}
        raw = {"driver": "file", "filename": "base.raw"}
        for name, value in (({"driver": "qcow2", "file": plain}, 7),
                            ({"driver": "qcow2", "file.driver": "file",
                              "file.filename": "base.qcow2"}, 7),
                            ({"driver": "qcow2", "file": plain, "backing": None}, 7),
                            ({"driver": "raw", "offset": 4096, "file": raw}, 6),
                            ({"driver": "qcow2", "file": plain,
                              "backing": {"driver": "raw", "file": raw}}, 7)):
            with self.subTest(name):
                self.make_top(json_name(name), "")
                self.assertEqual(self.first_byte(), value)

    def test_others_are_refused_by_their_key(self):
        for name, message in (({"driver": "nbd", "host": "localhost"}, "'host'"),
                              ({"driver": "qcow2", "file": {"driver": "file", "filename": "x",
                                                            "aio": "native"}}, "'aio'"),
                              ({"driver": "qcow2"}, "'file'")):
            with self.subTest(name):
                self.make_top(json_name(name), "")
                self.refuse(message)

    def test_a_name_of_any_shape_can_be_replaced(self):
        base = self.make_base("other/base.qcow2")
        for description in ({"driver": "nbd", "host": "localhost"},
                            {"driver": "qcow2", "file": {"driver": "file", "filename": "x",
                                                         "aio": "native"}}):
            with self.subTest(description):
                name = json_name(description)
                self.make_top(name)
                self.refuse("--backing OLD=FILE")
                self.assertEqual(self.first_byte("--backing", f"{name}={base}"), 7)

    def test_a_zero_byte_ends_no_name(self):
        self.make_base("own/base.qcow2")
        self.make_top(json_name({"driver": "qcow2", "file.driver": "file",
                                 "file.filename": "base.qcow2\0x"}), "")
        self.refuse("a zero byte is in no file's name")


class MovedTest(ChainCase):
    def test_missing_layer_is_named_with_what_helps(self):
        self.make_top("base.qcow2")
        text = self.refuse("'%s'" % self.path("own/base.qcow2"))
        for part in ("image '%s' names 'base.qcow2' as its backing file" % self.top,
                     "--backing 'base.qcow2=FILE'", "--search-path DIR"):
            self.assertIn(part, text)

    def test_backing_names_the_new_place(self):
        moved = self.make_base("other/new.qcow2")
        self.make_top("/old/place/base.qcow2")
        for old in ("/old/place/base.qcow2", "base.qcow2"):
            with self.subTest(old):
                self.assertEqual(self.first_byte("--backing", f"{old}={moved}"), 7)
        self.assertEqual(self.first_byte("-o", f"backing=base.qcow2={moved}"), 7)

    def test_backing_for_a_lower_layer_by_its_path(self):
        self.create("own/middle.qcow2", "1M")
        self.name_backing("own/middle.qcow2", "base.qcow2")
        self.make_top("middle.qcow2")
        moved = self.make_base("other/new.qcow2")
        old = self.path("own/base.qcow2")
        self.assertEqual(self.first_byte("--backing", f"{old}={moved}"), 7)

    def test_backing_in_place_of_a_network(self):
        moved = self.make_base("other/new.qcow2")
        self.make_top("nbd://host/export")
        self.assertEqual(self.first_byte("--backing", f"nbd://host/export={moved}"), 7)

    def test_backing_that_is_missing_itself(self):
        self.make_top("base.qcow2")
        self.refuse(self.path("none"), "--backing", "base.qcow2=" + self.path("none"))

    def test_what_was_said_in_vain_is_mentioned(self):
        base = self.make_base("own/base.qcow2")
        self.make_top("base.qcow2")
        result = self.succeed("map", "--backing", f"bse.qcow2={base}", self.top)
        self.assertIn("no image names 'bse.qcow2'", result.stderr)
        self.assertNotIn("no image", self.succeed("map", "--backing", f"base.qcow2={base}",
                                                  self.top).stderr)
        os.remove(base)
        self.refuse("no image names 'bse.qcow2'", "--backing", "bse.qcow2=" + self.top)

    def test_a_chain_that_moved_together(self):
        self.make_base("other/base.qcow2")
        self.create("other/middle.qcow2", "1M")
        self.name_backing("other/middle.qcow2", "base.qcow2")
        self.make_top("/old/place/middle.qcow2")
        self.assertEqual(self.first_byte("--search-path", self.path("other")), 7)
        moved = "middle.qcow2=" + self.path("other/middle.qcow2")
        self.assertEqual(self.first_byte("--backing", moved), 7)

    def test_search_paths_lead_nowhere_else(self):
        os.mkdir(self.path("store"))
        self.make_base("other/base.qcow2")
        os.symlink("../other/base.qcow2", self.path("store/base.qcow2"))
        self.make_top("/old/place/base.qcow2")
        self.refuse("outside of", "--search-path", self.path("store"))

    def test_search_paths_are_tried_in_order_and_only_for_missing_files(self):
        os.mkdir(self.path("empty"))
        os.mkdir(self.path("third"))
        self.make_base("other/base.qcow2", 8)
        self.make_base("third/base.qcow2", 9)
        paths = [word for name in ("empty", "other", "third")
                 for word in ("--search-path", self.path(name))]
        self.make_top("/old/place/base.qcow2")
        self.assertEqual(self.first_byte(*paths), 8)
        self.make_base("own/base.qcow2")
        self.make_top("base.qcow2")
        self.assertEqual(self.first_byte(*paths), 7)


class SwappedImageTest(ChainCase):
    def test_a_directory_is_trusted_for_the_image_in_it_only(self):
        """Who may write to the image's directory gets no other image's files shown."""
        secret = self.make_base("other/secret.qcow2")
        self.make_top(secret)
        self.make_base("other/vm.qcow2")
        os.symlink("../other/vm.qcow2", self.path("own/link"))
        swapper = subprocess.Popen([sys.executable, "-c", SWAP, self.top, self.path("own/link")])
        try:
            for _ in range(60):
                result = self.run_program("info", "--chain", "--output=json", self.top)
                self.assertNotIn(secret, result.stdout)
        finally:
            swapper.kill()
            swapper.wait()


# Exchanges two names as fast as it can, until it is killed.
SWAP = """
import ctypes, sys
libc = ctypes.CDLL(None)
names = [name.encode() for name in sys.argv[1:]]
while True:
    libc.renameat2(-100, names[0], -100, names[1], 2)
"""


class ChainShapeTest(ChainCase):
    def test_damage_in_a_lower_layer_names_the_file(self):
        base = self.make_base("own/base.qcow2")
        self.make_top("base.qcow2")
        with open(base, "r+b") as image:
            image.seek(20)  # the size of clusters
            image.write(b"\xff\xff\xff\xff")
        self.refuse("(of '%s') with driver 'qcow2'" % base)

    def test_loops(self):
        self.create("own/middle.qcow2", "1M")
        self.name_backing("own/middle.qcow2", "top.qcow2")
        for name in ("top.qcow2", "middle.qcow2"):
            with self.subTest(name):
                self.make_top(name)
                self.refuse("the chain is a loop")

    def test_loop_by_hard_link(self):
        self.make_top("twin.qcow2")
        os.link(self.top, self.path("own/twin.qcow2"))
        self.refuse("the chain is a loop")

    def test_256_images_and_no_more(self):
        self.make_base("own/0.qcow2")
        self.create("own/empty.qcow2", "1M")
        for number in range(1, 257):
            shutil.copy(self.path("own/empty.qcow2"), self.path(f"own/{number}.qcow2"))
            self.name_backing_without_format(f"own/{number}.qcow2", f"{number - 1}.qcow2")
        self.top = self.path("own/255.qcow2")
        self.assertEqual(self.first_byte(), 7)
        self.assertEqual(len(self.json_of("info", "--chain", self.top)), 256)
        self.top = self.path("own/256.qcow2")
        self.refuse("is longer than 256 images")


if __name__ == "__main__":
    cli_case.main()
