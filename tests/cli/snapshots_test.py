#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Internal snapshots of qcow2 images are directories, each with its own size and content."""

import contextlib
import errno
import json
import os
import random
import resource
import signal
import struct
import subprocess
import threading
import unittest

import cli_case
from cli_case import MIB

TABLE = b"""label: gpt
start=2048, size=2048, name=first
"""


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, timeout=cli_case.LONG,
                          **options).stdout


class HistoryCase(cli_case.CliCase):
    def make_qcow2(self, name="disk.qcow2", size="4M", options=()):
        image = self.path(name)
        run("qemu-img", "create", "-q", "-f", "qcow2", *options, image, size)
        return image

    @staticmethod
    def write(image, *commands):
        run("qemu-io", "-f", "qcow2", *[word for command in commands for word in ("-c", command)],
            image)

    @staticmethod
    def take(image, name):
        run("qemu-img", "snapshot", "-c", name, image)

    def make_history(self, **options):
        """An image with three snapshots; the first is smaller than what came after it."""
        image = self.make_qcow2(**options)
        self.expected = {}

        def take(name):
            run("qemu-img", "snapshot", "-c", name, image)
            self.expected[name] = self.by_qemu(image)
        self.write(image, "write -P 1 0 1M", "write -P 2 3M 64k")
        take("first")
        self.write(image, "write -P 3 512k 1M", "write -z 3M 64k")
        run("qemu-img", "resize", "-q", image, "8M")
        self.write(image, "write -P 4 7M 1M")
        take("second one")
        self.write(image, "discard 0 256k", "write -P 5 64k 64k")
        take("third/with slash")
        self.write(image, "write -P 6 0 8M")
        return image

    def by_qemu(self, image, snapshot=None):
        raw = self.path("expected.raw")
        chosen = ["-l", f"snapshot.name={snapshot}"] if snapshot else []
        run("qemu-img", "convert", *chosen, "-f", "qcow2", "-O", "raw", image, raw)
        return self.read_file(raw)


class SnapshotsTest(HistoryCase):
    def below(self, *names):
        return os.path.join(self.mount_point, "snapshots", *names)

    def check_history(self, image):
        directories = {"first": "first", "second one": "second one",
                       "third/with slash": "third\\x2fwith slash"}
        self.assertEqual(sorted(os.listdir(self.below())), sorted(directories.values()))
        for snapshot, directory in directories.items():
            with self.subTest(snapshot):
                expected = self.expected[snapshot]
                disk = self.below(directory, "disk")
                self.assertEqual(os.path.getsize(disk), len(expected))
                self.assertEqual(self.read_file(disk), expected)
                # qemu-img gives every snapshot the size of the newest state.
                self.assertEqual(self.by_qemu(image, snapshot)[:len(expected)], expected)
        self.assertEqual(self.read_file(self.disk), self.by_qemu(image))

    def test_each_snapshot_is_a_directory_with_its_own_size(self):
        image = self.make_history()
        before = self.read_file(image)
        self.mount(image, self.mount_point)
        self.check_history(image)
        self.assertEqual(os.path.getsize(self.below("first", "disk")), 4 * MIB)
        self.assertEqual(os.path.getsize(self.below("second one", "disk")), 8 * MIB)
        self.umount()
        self.assertEqual(self.read_file(image), before)

    def test_snapshots_over_a_backing_file(self):
        base = self.make_qcow2("base.qcow2")
        self.write(base, "write -P 9 0 4M")
        image = self.make_history(options=["-b", "base.qcow2", "-F", "qcow2"])
        self.mount(image, self.mount_point)
        self.check_history(image)

    def test_snapshots_have_partitions_of_their_own(self):
        raw = self.make_image(content=bytes(4 * MIB))
        run("sfdisk", "--quiet", "--no-reread", raw, input=TABLE)
        image = self.path("disk.qcow2")
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image)
        self.write(image, "write -P 7 1M 1M")
        self.take(image, "with table")
        self.write(image, "write -P 0 0 4M")
        self.take(image, "without")
        self.mount(image, self.mount_point)
        self.assertEqual(sorted(os.listdir(self.below("with table"))),
                         ["by-partname", "disk", "p1"])
        self.assertEqual(self.read_file(self.below("with table", "p1")), b"\x07" * MIB)
        self.assertEqual(os.readlink(self.below("with table", "by-partname", "first")), "../p1")
        self.assertEqual(os.listdir(self.below("without")), ["disk"])
        self.assertEqual(sorted(os.listdir(self.mount_point)),
                         ["disk", "info.json", "snapshots"])

    def test_a_disk_with_a_cut_off_snapshot_table_is_shown_with_a_warning(self):
        image = self.make_history()
        with open(image, "r+b") as opened:
            opened.seek(64)
            opened.write(struct.pack(">Q", 1 << 40))
        warning = f"'{image}': its snapshots are not shown: qcow2: the file of "
        for command in ("info", "map"):
            self.assertIn(warning, self.succeed(command, image).stderr)
        self.assertIn(warning, self.mount(image, self.mount_point).stderr)
        self.assertEqual(sorted(os.listdir(self.mount_point)), ["disk", "info.json"])
        with open(self.disk, "rb") as disk:
            disk.seek(7 * MIB)
            self.assertEqual(disk.read(MIB), b"\x06" * MIB)

    def test_a_corrupt_mark_is_warned_of(self):
        image = self.make_qcow2()
        with open(image, "r+b") as opened:
            opened.seek(79)
            opened.write(b"\x02")
        self.assertIn(f"'{image}': the image is marked corrupt",
                      self.mount(image, self.mount_point).stderr)

    def test_snapshots_are_read_only(self):
        image = self.make_history()
        self.mount(image, self.mount_point)
        with self.assertRaises(OSError):
            os.open(self.below("first", "disk"), os.O_RDWR)

    def test_names_that_several_snapshots_have(self):
        image = self.make_qcow2()
        for pattern in (1, 2, 3):
            self.write(image, f"write -P {pattern} 0 64k")
            self.take(image, "same")
        self.mount(image, self.mount_point)
        self.assertEqual(sorted(os.listdir(self.below())), ["same", "same-2", "same-3"])
        for name, byte in (("same", 1), ("same-2", 2), ("same-3", 3)):
            with open(self.below(name, "disk"), "rb") as disk:
                self.assertEqual(disk.read(100), bytes([byte]) * 100)

    def test_an_image_without_snapshots_has_no_directory(self):
        self.mount(self.make_qcow2(), self.mount_point)
        self.assertEqual(sorted(os.listdir(self.mount_point)), ["disk", "info.json"])

    def test_many_look_at_once(self):
        image = self.make_history()
        expected = self.expected["first"]
        self.mount(image, self.mount_point)
        results = []

        def look(name):
            results.append(self.read_file(self.below(name, "disk")))
        threads = [threading.Thread(target=look, args=(name,))
                   for name in ("first", "second one") * 8]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(results), 16)
        self.assertEqual(results.count(expected), 8)

    def add_snapshots(self, image, names):
        """Writes a table of snapshots that all show the newest state."""
        with open(image, "r+b") as file:
            header = file.read(104)
            size, = struct.unpack_from(">Q", header, 24)
            l1_entries, l1_offset = struct.unpack_from(">IQ", header, 36)
            table = b""
            for number, name in enumerate(names, 1):
                words = (str(number).encode(), name.encode())
                entry = struct.pack(">QIHHIIQII", l1_offset, l1_entries, len(words[0]),
                                    len(words[1]), 0, 0, 0, 0, 16)
                entry += struct.pack(">QQ", 0, size) + b"".join(words)
                table += entry + bytes(-len(entry) % 8)
            place = max(4 * MIB, -(-os.path.getsize(image) // (2 * MIB)) * 2 * MIB)
            file.seek(place)
            file.write(table)
            file.seek(60)
            file.write(struct.pack(">IQ", len(names), place))

    def test_more_snapshots_than_can_be_open_are_refused_one_by_one(self):
        image = self.make_qcow2()
        self.write(image, "write -P 1 0 64k")
        self.add_snapshots(image, [f"s{number}" for number in range(1026)])
        self.mount("--no-partitions", image, self.mount_point)
        self.assertEqual(len(os.listdir(self.below())), 1026)
        for number in range(1024):
            with open(self.below(f"s{number}", "disk"), "rb") as disk:
                self.assertEqual(disk.read(4096), bytes([1]) * 4096)
        for number in (1024, 1025):
            with self.assertRaises(OSError) as failure:
                os.stat(self.below(f"s{number}", "disk"))
            self.assertEqual(failure.exception.errno, errno.EMFILE)
        self.assertTrue(os.path.exists(self.below("s0", "disk")))
        self.umount()

    def make_image_with_partition(self, options=()):
        raw = self.make_image(content=bytes(MIB) + random.Random(1).randbytes(15 * MIB))
        run("sfdisk", "--quiet", "--no-reread", "--wipe=never", raw, input=TABLE)
        image = self.path("disk.qcow2")
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, image)
        return image

    @unittest.skipIf("UBSAN_OPTIONS" in os.environ,
                     "UBSan needs descriptors of its own, and calls objects invalid without them")
    def test_partitions_that_could_not_be_looked_for_are_found_later(self):
        image = self.make_image_with_partition()
        self.take(image, "one")
        self.mount(image, self.mount_point)
        server = self.listed()["pid"]
        limits = resource.prlimit(server, resource.RLIMIT_NOFILE)
        used = {int(name) for name in os.listdir(f"/proc/{server}/fd")}
        lowest_free = min(set(range(len(used) + 1)) - used)
        resource.prlimit(server, resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
        self.assertEqual(os.listdir(self.below("one")), ["disk"])
        resource.prlimit(server, resource.RLIMIT_NOFILE, limits)
        self.assertEqual(os.path.getsize(self.below("one", "disk")), 16 * MIB)
        cli_case.wait_until(lambda: "p1" in os.listdir(self.below("one")), "the partition")
        self.assertEqual(sorted(os.listdir(self.below("one"))), ["by-partname", "disk", "p1"])
        self.umount()

    def test_the_server_ends_while_many_look_for_partitions(self):
        image = self.make_image_with_partition(["-c", "-o", "cluster_size=2M"])
        self.add_snapshots(image, [f"s{number}" for number in range(40)])
        server = self.start_program("mount", "--foreground", image, self.mount_point)
        self.assertIn("is mounted", self.first_message(server))
        names = os.listdir(self.below())
        self.assertEqual(len(names), 40)

        def look(name):
            with contextlib.suppress(OSError):
                os.listdir(self.below(name))
        threads = [threading.Thread(target=look, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        server.send_signal(signal.SIGTERM)
        _, messages = server.communicate(timeout=cli_case.LONG)
        for thread in threads:
            thread.join()
        self.assertEqual(server.returncode, 0, messages)
        self.assertFalse(self.is_mounted())

    def test_a_name_cannot_forge_a_line_of_the_log(self):
        image = self.make_qcow2()
        self.add_snapshots(image, ["evil\npenstock: forged"])
        with open(image, "r+b") as file:  # an L1 table that is not there
            place, = struct.unpack_from(">Q", file.read(104), 64)
            file.seek(place)
            file.write(struct.pack(">Q", 1 << 60))
        server = self.start_program("mount", "--foreground", image, self.mount_point)
        self.assertIn("is mounted", self.first_message(server))
        with self.assertRaises(OSError):
            os.listdir(self.below("evil\npenstock: forged"))
        self.succeed("umount", self.mount_point)
        _, messages = server.communicate(timeout=cli_case.LONG)
        self.assertIn("evil\\x0apenstock: forged", messages)
        self.assertNotIn("\npenstock: forged", messages)

    def test_info_lists_the_snapshots(self):
        image = self.make_history()
        self.mount(image, self.mount_point)
        facts = json.loads(self.read_file(os.path.join(self.mount_point, "info.json")))
        theirs = json.loads(run("qemu-img", "info", "-U", "--output=json", image))
        for key in ("virtual-size", "format", "cluster-size"):
            self.assertEqual(facts[key], theirs[key], key)
        for ours, their in zip(facts["snapshots"], theirs["snapshots"], strict=True):
            self.assertLessEqual(ours.items(), their.items())
        self.assertEqual(facts["partitions"], [])


class SnapshotOptionTest(HistoryCase):
    def test_one_snapshot_is_the_disk(self):
        image = self.make_history()
        for options in (["--snapshot", "second one"], ["-o", "snapshot=second one"],
                        ["--snapshot", "2"]):
            with self.subTest(options):
                self.mount(*options, image, self.mount_point)
                self.assertEqual(self.read_file(self.disk), self.expected["second one"])
                self.assertEqual(sorted(os.listdir(self.mount_point)), ["disk", "info.json"])
                self.umount()

    def test_over_a_regular_file(self):
        image = self.make_history()
        place = self.make_image("place", size=1)
        self.mount("--snapshot=first", image, place)
        self.assertEqual(self.read_file(place), self.expected["first"])
        self.umount(place)

    def test_a_snapshot_that_is_not_there_is_named(self):
        self.fail_with(1, "nosuch", "mount", "--snapshot=nosuch", self.make_history(),
                       self.mount_point)
        self.assertFalse(self.is_mounted())

    def test_a_snapshot_cannot_be_written(self):
        self.fail_with(2, "a snapshot cannot be written", "mount", "-w", "--snapshot=first",
                       self.make_history(), self.mount_point)

    def test_an_empty_name_is_refused(self):
        for options in (["--snapshot", ""], ["-o", "snapshot="]):
            with self.subTest(options):
                self.fail_with(2, "the name or the id of a snapshot", "mount", *options,
                               self.make_history(), self.mount_point)
                self.assertFalse(self.is_mounted())

    def test_raw_images_have_none(self):
        self.fail_with(1, "--snapshot is for qcow2 images", "mount", "--snapshot=first",
                       self.make_image(), self.mount_point)


if __name__ == "__main__":
    cli_case.main()
