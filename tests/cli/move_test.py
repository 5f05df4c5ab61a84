#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The queues of a mount move between threads, and threads go, while fio verifies what it wrote."""

import random
import shutil
import subprocess
import unittest

import cli_case
from cli_case import LONG, MIB
from qmp_test import QmpCase

THREADS = ["io0", "io1", "io2", "io3"]


@unittest.skipUnless(shutil.which("fio"), "fio is not installed")
class MoveTest(QmpCase):
    def fio(self, disk, seconds):
        """fio writes and verifies with two jobs, each in its own half, for so long."""
        process = subprocess.Popen(
            ["fio", "--name=verify", "--verify_state_save=0",
             f"--filename={disk}", "--rw=randrw", "--bsrange=4k-128k",
             f"--size={8 * MIB}", f"--offset_increment={8 * MIB}", "--numjobs=2", "--direct=1",
             "--ioengine=libaio", "--iodepth=8", "--verify=crc32c", "--verify_backlog=64",
             "--verify_fatal=1", "--verify_dump=0", "--time_based", f"--runtime={seconds}",
             "--allow_file_create=0", "--group_reporting", "--fsync=128"],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self.end_process, process)
        return process

    def verified(self, process):
        output, _ = process.communicate(timeout=LONG)
        self.assertEqual(process.returncode, 0, output)
        self.assertIn("err= 0", output)

    def test_queues_move_and_threads_go_under_a_verified_load(self):
        self.start_daemon()
        client = self.connect()
        for thread in THREADS:
            client.command("object-add", qom_type="iothread", id=thread)
        image = self.make_image(content=bytes(16 * MIB))
        client.command("blockdev-add", driver="file", node_name="n", filename=image)
        client.command("block-export-add", type="fuse", id="e", node_name="n", writable=True,
                       mountpoint=self.mount_point, iothread=["io0", "io1"])
        client.command("x-blockdev-set-iothread", node_name="n", iothread="io0")
        fio = self.fio(self.disk, 6)
        moves = 0
        chance = random.Random(4)
        while fio.poll() is None and moves < 400:
            threads = chance.sample(THREADS, chance.randint(1, 4))
            client.command("x-penstock-export-set-iothreads", id="e", iothreads=threads)
            moves += 1
        self.assertGreater(moves, 20)
        client.command("x-penstock-export-set-iothreads", id="e", iothreads=THREADS)
        client.command("x-penstock-iothread-del", id="io0", move_to="io3")
        client.command("x-penstock-iothread-del", id="io3")
        client.command("x-penstock-iothread-del", id="io1")
        client.command("x-penstock-iothread-del", id="io2")
        self.assertTrue(all(thread["id"].startswith("#")
                            for thread in client.command("query-iothreads")))
        self.verified(fio)
        client.command("block-export-del", id="e")
        client.command("blockdev-del", node_name="n")
        self.assertNotEqual(self.read_file(image), bytes(16 * MIB))
        client.command("quit")

    def test_a_refused_removal_names_who_holds_the_thread(self):
        self.start_daemon()
        client = self.connect()
        client.command("object-add", qom_type="iothread", id="io0")
        image = self.make_image()
        client.command("blockdev-add", driver="file", node_name="n", filename=image)
        client.command("block-export-add", type="fuse", id="e", node_name="n",
                       mountpoint=self.mount_point, iothread="io0")
        error = client.answer("object-del", id="io0")["error"]
        self.assertEqual(error["class"], "GenericError")
        self.assertIn("export 'e'", error["desc"])
        error = client.answer("x-penstock-iothread-del", id="io0", move_to="io9")["error"]
        self.assertIn("'io9'", error["desc"])
        client.command("x-penstock-iothread-del", id="io0")
        self.assertEqual(self.read_file(self.disk), self.read_file(image))


if __name__ == "__main__":
    cli_case.main()
