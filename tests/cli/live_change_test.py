#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Changes of a disk in use: `penstock resize`, `move`, `iothread`, `throttle` and `filter`."""

import os
import re
import threading
import time

import cli_case
from cli_case import MIB
from control_case import ControlCase


class Writer:
    """Writes to a disk all the time, in another thread; an error is kept."""

    def __init__(self, path):
        self.error = None
        self.count = 0
        self.file = os.open(path, os.O_RDWR)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.stopping.is_set():
                os.pwrite(self.file, b"w" * 4096, (self.count % 64) * 4096)
                self.count += 1
        except OSError as error:
            self.error = error

    def stop(self):
        self.stopping.set()
        self.thread.join()
        os.close(self.file)


class LiveCase(ControlCase):
    def setUp(self):
        super().setUp()
        self.where = self.add_disk()
        self.disk = os.path.join(self.where, "disk")

    def under_load(self):
        writer = Writer(self.disk)
        self.addCleanup(lambda: writer.stopping.is_set() or writer.stop())
        return writer

    def end(self, writer):
        """No write failed, and some were made after what was changed."""
        reached = writer.count
        cli_case.wait_until(lambda: writer.count > reached or writer.error, "another write")
        writer.stop()
        self.assertIsNone(writer.error)


class ResizeTest(LiveCase):
    def wait_for_size(self, size):
        """The kernel is told of a new size, and asks again a moment later."""
        cli_case.wait_until(lambda: os.path.getsize(self.disk) == size, f"the size {size}")

    def test_sizes_are_absolute_or_differences_with_units(self):
        for word, size in (("8M", 8 * MIB), ("+512K", 8 * MIB + 512 * 1024), ("9437184", 9 * MIB),
                           ("+0", 9 * MIB)):
            with self.subTest(word):
                self.here("resize", self.where, word)
                self.wait_for_size(size)
                self.assertEqual(os.path.getsize(self.path("disk.img")), size)

    def test_shrinking_has_to_be_meant(self):
        for word in ("2M", "-2M"):
            self.refused("--shrink", "resize", self.where, word)
            self.assertEqual(os.path.getsize(self.disk), 4 * MIB)
        self.here("resize", self.where, "-2M", "--shrink")
        self.wait_for_size(2 * MIB)
        self.here("resize", self.where, "1M", "--shrink")
        self.assertEqual(os.path.getsize(self.path("disk.img")), MIB)

    def test_in_use(self):
        writer = self.under_load()
        self.here("resize", self.where, "16M")
        self.wait_for_size(16 * MIB)
        self.end(writer)

    def test_what_cannot_be(self):
        self.refused("has only 4194304 bytes", "resize", self.where, "-5M", "--shrink")
        self.refused("cannot be so large", "resize", self.where, "9000000T")
        self.add_disk("locked", writable=False)
        self.refused("is read-only", "resize", "locked-export", "8M")
        self.refused("is no mount point", "resize", "nothing", "8M")

    def test_wrong_usage(self):
        for word in ("x", "", "1X", "+", "--5", "1.5G"):
            with self.subTest(word):
                self.misused("penstock resize --help", "resize", self.where, word)
        self.misused("SIZE is required", "resize", self.where)


class IoThreadTest(LiveCase):
    def users(self, thread):
        threads = {each["id"]: each["users"] for each in self.json("iothread", "ls")}
        return threads.get(thread)

    def test_threads_come_go_and_are_listed(self):
        self.here("iothread", "add", "io0", "--poll-max-ns", "1000")
        [thread] = [each for each in self.json("iothread", "ls") if each["id"] == "io0"]
        self.assertEqual((thread["poll-max-ns"], thread["users"]), (1000, []))
        text = self.here("iothread", "ls").stdout
        self.assertRegex(text, r"(?m)^ID +THREAD +POLL +ENGINE +USERS$")
        self.assertRegex(text, r"(?m)^io0 +\d+ +1000 ns +\w+ +-$")
        self.here("iothread", "rm", "io0")
        self.assertIsNone(self.users("io0"))

    def test_a_disk_moves_while_it_is_used(self):
        for thread in ("io0", "io1"):
            self.here("iothread", "add", thread)
        writer = self.under_load()
        self.here("move", self.where, "--iothreads", "io0,io1")
        self.assertEqual(self.json("status")[0]["iothreads"], ["io0", "io1"])
        self.here("move", self.where, "--iothreads", "io1")
        self.assertEqual(self.json("status")[0]["iothreads"], ["io1"])
        self.assertEqual(self.users("io0"), [])
        self.end(writer)

    def test_a_thread_in_use_is_removed_once_its_disks_have_moved(self):
        for thread in ("io0", "io1"):
            self.here("iothread", "add", thread)
        self.here("move", self.where, "--iothreads", "io0")
        writer = self.under_load()
        self.here("iothread", "rm", "io0", "--move-to", "io1")
        self.assertIsNone(self.users("io0"))
        self.assertEqual(self.json("status")[0]["iothreads"], ["io1"])
        self.end(writer)

    def test_the_server_is_that_of_a_disk(self):
        self.succeed("iothread", "add", "io0", "--on", self.where)
        self.assertEqual(self.users("io0"), [])

    def test_what_cannot_be(self):
        self.refused("stays where it is", "move", self.where, "--iothreads", "none")
        self.here("iothread", "add", "io0")
        self.refused("already", "iothread", "add", "io0")
        self.refused("letters, digits", "iothread", "add", "0")
        self.refused("'none'", "iothread", "rm", "none")

    def test_wrong_usage(self):
        self.misused("subcommand is required", "iothread")
        self.misused("ID is required", "iothread", "add")
        self.misused("--iothreads is required", "move", self.where)


class ThrottleTest(LiveCase):
    def groups(self):
        return self.qmp("x-penstock-query-throttle")

    def test_limits_are_set_shown_changed_and_taken_away(self):
        self.assertEqual(self.here("throttle", self.where).stdout, "no limits\n")
        self.here("throttle", self.where, "--iops", "500", "--bps", "50M", "--burst-iops", "900",
                  "--burst-seconds", "7")
        [throttle] = self.json("throttle", self.where)
        limits = throttle["limits"]
        self.assertEqual((limits["iops-total"], limits["bps-total"]), (500, 50 * MIB))
        self.assertEqual((limits["iops-total-max"], limits["iops-total-max-length"]), (900, 7))
        text = self.here("throttle", self.where).stdout
        self.assertIn("iops 500, bps 50 MiB, burst-iops 900 for 7 s", text)
        self.here("throttle", self.where, "--iops", "400", "--burst-iops", "0")
        [throttle] = self.json("throttle", self.where)
        self.assertEqual(throttle["limits"]["iops-total"], 400)
        self.assertEqual(throttle["limits"]["iops-total-max"], 0)
        self.assertEqual(throttle["limits"]["bps-total"], 50 * MIB)
        self.here("throttle", self.where, "--off")
        self.assertEqual(self.here("throttle", self.where).stdout, "no limits\n")
        self.assertEqual(self.groups(), [])
        self.assertEqual(self.export_node(), "disk")

    def test_it_limits_and_lets_go(self):
        self.here("throttle", self.where, "--iops", "50")
        with open(self.disk, "r+b", buffering=0) as disk:
            begin = time.monotonic()
            for _ in range(25):
                os.pwrite(disk.fileno(), b"t" * 512, 0)
            self.assertGreater(time.monotonic() - begin, 0.25)
        self.here("throttle", self.where, "--iops", "1")
        writer = self.under_load()
        self.here("throttle", self.where, "--off")
        self.end(writer)

    def test_a_refused_limit_leaves_nothing(self):
        self.refused("keeps its limits", "throttle", self.where, "--iops", "5", "--iops-read", "5")
        self.assertEqual(self.groups(), [])
        self.assertEqual(self.export_node(), "disk")

    def test_a_group_that_somebody_made_stays(self):
        self.qmp("object-add", qom_type="throttle-group", id="theirs", limits={"iops-total": 9})
        self.here("filter", "add", self.where, "throttle", "throttle-group=theirs")
        self.here("throttle", self.where, "--iops", "10")
        self.assertEqual(self.groups()[0]["limits"]["iops-total"], 10)
        self.here("throttle", self.where, "--off")
        self.assertEqual([group["id"] for group in self.groups()], ["theirs"])

    def test_wrong_usage(self):
        for words in (["--iops", "x"], ["--iops", "4K"], ["--bps", "1X"], ["--burst-seconds", "3"],
                      ["--off", "--iops", "1"], ["--iops", "-1"]):
            with self.subTest(words):
                self.misused("penstock throttle --help", "throttle", self.where, *words)


class FilterTest(LiveCase):
    def test_a_filter_comes_acts_and_goes_under_load(self):
        writer = self.under_load()
        name = self.here("filter", "add", self.where, "faults", "node-name=f").stdout
        self.assertEqual(name, "f\n")
        self.assertEqual(self.export_node(), "f")
        self.here("filter", "rm", self.where, "f")
        self.assertEqual(self.export_node(), "disk")
        self.end(writer)

    def test_options_reach_the_driver(self):
        self.here("filter", "add", self.where, "faults", "rules.0=read_aio:always:errno=EIO",
                  "align=512")
        with open(self.disk, "rb", buffering=0) as disk:
            with self.assertRaises(OSError):
                disk.read(512)
        self.here("filter", "rm", self.where, "faults")
        self.assertEqual(len(self.read_file(self.disk)), 4 * MIB)

    def test_one_of_two_is_named(self):
        for name in ("f", "g"):
            self.here("filter", "add", self.where, "faults", "node-name=" + name)
        error = self.refused("has several filters 'faults'", "filter", "rm", self.where, "faults")
        self.assertTrue(re.search(r"f \(faults\)", error.stderr), error.stderr)
        self.here("filter", "rm", self.where, "g")
        self.here("filter", "rm", self.where, "faults")

    def test_what_cannot_be(self):
        self.refused("has no filter 'f', nor any other", "filter", "rm", self.where, "f")
        self.refused("There is no driver 'steam'", "filter", "add", self.where, "steam")
        self.refused("has no option 'steam'", "filter", "add", self.where, "faults", "steam=1")
        self.assertEqual(self.export_node(), "disk")

    def test_wrong_usage(self):
        self.misused("must be KEY=VALUE", "filter", "add", self.where, "faults", "word")
        self.misused("DRIVER is required", "filter", "add", self.where)
        self.misused("named once", "filter", "add", self.where, "faults", "driver=raw")


if __name__ == "__main__":
    cli_case.main()
