#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstock info says what qemu-img info says."""

import json
import os
import unittest

import cli_case
import qemu_case


class InfoTest(qemu_case.QemuCase):
    def assert_same_facts(self, ours, theirs):
        """Where both have a key, and of format-specific facts each."""
        for key, value in ours.items():
            if key == "snapshots":
                self.assertEqual(len(value), len(theirs["snapshots"]))
                for snapshot, other in zip(value, theirs["snapshots"]):
                    self.assertEqual(snapshot, {name: other[name] for name in snapshot})
            else:
                self.assertEqual(value, theirs[key], key)
        missing = set(theirs) - set(ours) - {"children"}
        self.assertFalse(missing)

    def assert_same_info(self, name, cwd=None):
        theirs = json.loads(self.qemu_img("info", "--output=json", name))
        self.assert_same_facts(self.json_of("info", name), theirs)

    def test_images_of_all_kinds(self):
        self.make_image("plain.raw", size=1 << 20)
        self.create("v3.qcow2")
        self.create("v2.qcow2", "4M", "-o", "compat=0.10")
        self.create("small.qcow2", "1M", "-o", "cluster_size=512,refcount_bits=1")
        self.create("lazy.qcow2", "1M", "-o", "lazy_refcounts=on,compression_type=zstd")
        self.create("subclusters.qcow2", "1M", "-o", "extended_l2=on,cluster_size=128k")
        self.create("data.qcow2", "1M", "-o", "data_file=data.raw,data_file_raw=on")
        self.create("none.qcow2", "0")
        self.create("top.qcow2", "8M", backing="v3.qcow2")
        self.create("bitmaps.qcow2", "1M")
        self.qemu_img("bitmap", "--add", "bitmaps.qcow2", "b0")
        for name in sorted(os.listdir(self.folder)):
            if name.endswith((".qcow2", "plain.raw")):
                with self.subTest(name):
                    self.assert_same_info(name)

    def test_snapshots(self):
        self.create("disk.qcow2")
        self.qemu_img("snapshot", "-c", "first", "disk.qcow2")
        self.qemu_io("disk.qcow2", "write 0 64k")
        self.qemu_img("snapshot", "-c", "the second one", "disk.qcow2")
        self.assert_same_info("disk.qcow2")

    def test_whole_chain(self):
        os.mkdir(self.path("below"))
        self.create("below/a.qcow2", "4M")
        self.create("below/b.qcow2", "8M")
        self.name_backing("below/b.qcow2", "a.qcow2")
        self.create("c.qcow2", "12M", backing="below/b.qcow2")
        theirs = json.loads(self.qemu_img("info", "--backing-chain", "--output=json", "c.qcow2"))
        ours = self.json_of("info", "--chain", "c.qcow2")
        self.assertEqual(len(ours), 3)
        for info, other in zip(ours, theirs):
            self.assert_same_facts(info, other)

    def test_text_is_qemu_imgs(self):
        os.mkdir(self.path("below"))
        self.create("below/a.qcow2", "4M", "-o", "compat=0.10")
        self.create("b.qcow2", "12M", "-o", "data_file=data.raw")
        self.create("c.qcow2", "12M", backing="below/a.qcow2")
        for name in ("b.qcow2", "c.qcow2"):
            self.assertEqual(self.succeed("info", name, cwd=self.folder).stdout,
                             self.qemu_img("info", name))
        self.assertEqual(self.succeed("info", "--chain", "c.qcow2", cwd=self.folder).stdout.rstrip(),
                         self.qemu_img("info", "--backing-chain", "c.qcow2").rstrip())

    def test_without_chain_other_files_need_not_be_there(self):
        self.create("a.qcow2")
        self.create("b.qcow2", backing="a.qcow2")
        self.create("c.qcow2", "1M", "-o", "data_file=data.raw")
        os.remove(self.path("a.qcow2"))
        os.remove(self.path("data.raw"))
        self.assertEqual(self.json_of("info", "b.qcow2")["backing-filename"], "a.qcow2")
        self.assert_same_info("c.qcow2")
        for name in ("b.qcow2", "c.qcow2"):
            self.fail_with(1, "No such file or directory", "info", "--chain", self.path(name))

    def test_names_cannot_write_to_the_terminal(self):
        self.create("disk.qcow2")
        self.qemu_img("snapshot", "-c", "\x1b[2Jgone", "disk.qcow2")
        self.name_backing("disk.qcow2", "\x1b[2Jbase", "raw")
        text = self.succeed("info", self.path("disk.qcow2")).stdout
        self.assertNotIn("\x1b", text)
        self.assertIn("\\x1b[2Jgone", text)
        self.assertIn("\\x1b[2Jbase", text)


if __name__ == "__main__":
    cli_case.main()
