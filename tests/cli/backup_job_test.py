#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backup jobs of a mounted disk while programs use it, over the daemon's socket."""

import filecmp
import os
import shutil
import signal
import subprocess
import unittest

import cli_case
from cli_case import LONG, MIB, process_is_gone, wait_until
from daemon_test import DaemonCase

SIZE = 32 * MIB


class BackupJobTest(DaemonCase):
    def setUp(self):
        super().setUp()
        self.pid = self.start()
        self.qmp = self.client()
        self.image = self.make_image(size=SIZE)

    def add_disks(self):
        self.qmp.command("blockdev-add", driver="raw", node_name="disk", read_only=False,
                         file={"driver": "file", "filename": self.image})
        self.qmp.command("block-export-add", type="fuse", id="e", node_name="disk",
                         mountpoint=self.mount_point, writable=True)
        self.create("copy")

    def create(self, name):
        """A target, made by the daemon itself."""
        self.qmp.command("blockdev-create", job_id=f"make-{name}",
                         options={"driver": "file", "filename": self.path(name), "size": SIZE})
        self.wait_status(f"make-{name}", "concluded")
        jobs = self.qmp.command("query-jobs")
        self.assertNotIn("error", next(job for job in jobs if job["id"] == f"make-{name}"))
        self.qmp.command("job-dismiss", id=f"make-{name}")
        self.qmp.command("blockdev-add", driver="file", node_name=name, read_only=False,
                         filename=self.path(name))

    def test_an_exclusive_create_leaves_a_file_that_is_there_alone(self):
        self.qmp.command("blockdev-create", job_id="make", options={
            "driver": "file", "filename": self.image, "size": MIB, "exclusive": True})
        self.wait_status("make", "concluded")
        [job] = self.qmp.command("query-jobs")
        self.assertIn("is there already", job["error"])
        self.assertEqual(os.path.getsize(self.image), SIZE)
        self.qmp.command("job-dismiss", id="make")

    def wait_status(self, job, status):
        while True:
            data = self.qmp.wait_event("JOB_STATUS_CHANGE")["data"]
            if data == {"id": job, "status": status}:
                return

    def wait_completed(self, job):
        data = self.qmp.wait_event("BLOCK_JOB_COMPLETED")["data"]
        self.assertEqual(data["device"], job)
        self.assertNotIn("error", data)
        self.assertEqual(data["offset"], data["len"])
        self.wait_status(job, "null")

    def backup(self, **more):
        arguments = {"job_id": "b", "device": "disk", "target": "copy", "sync": "full", **more}
        self.qmp.command("blockdev-backup", **arguments)

    def fio(self, seconds):
        process = subprocess.Popen(
            ["fio", "--name=load", f"--filename={self.disk}", f"--size={SIZE}", "--rw=randwrite",
             "--bs=4k", "--ioengine=psync", "--direct=1", "--numjobs=4", "--thread",
             "--time_based", f"--runtime={seconds}", "--allow_file_create=0",
             "--output-format=terse"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder)
        self.addCleanup(self.end_process, process)
        return process

    @unittest.skipUnless(shutil.which("fio"), "fio is not here")
    def test_a_disk_that_is_written_all_the_time(self):
        self.add_disks()
        then = self.path("then")
        shutil.copyfile(self.image, then)
        # The disk is as in `then` when the command comes; the load begins after it.
        self.backup(speed=MIB)
        load = self.fio(seconds=3)
        wait_until(lambda: not filecmp.cmp(self.image, then, shallow=False), "the first writes")
        # The load may have made it copy everything already.
        self.qmp.answer("block-job-set-speed", device="b", speed=0)
        self.wait_completed("b")
        output, _ = load.communicate(timeout=LONG)
        self.assertEqual(load.returncode, 0, output)
        self.qmp.command("blockdev-del", node_name="copy")
        self.assertTrue(filecmp.cmp(self.path("copy"), then, shallow=False))
        self.assertFalse(filecmp.cmp(self.image, then, shallow=False))

    @unittest.skipUnless(shutil.which("fio"), "fio is not here")
    def test_backups_that_come_and_go_under_a_load(self):
        self.add_disks()
        load = self.fio(seconds=4)
        for turn in range(6):
            self.backup(speed=0 if turn % 2 else 1)
            if turn % 2:
                self.wait_completed("b")
            else:
                self.qmp.answer("job-cancel", id="b")
                self.wait_status("b", "null")
        output, _ = load.communicate(timeout=LONG)
        self.assertEqual(load.returncode, 0, output)
        nodes = self.qmp.command("query-named-block-nodes")
        self.assertNotIn("copy-before-write", [node["drv"] for node in nodes])

    def test_what_was_written_through_the_mount_before_is_in_it(self):
        self.add_disks()
        with open(self.disk, "r+b", buffering=0) as disk:
            disk.seek(5 * MIB)
            disk.write(b"before" * 1000)
            self.backup(speed=1)
            disk.seek(5 * MIB)
            disk.write(b"after!" * 1000)
        self.qmp.command("block-job-set-speed", device="b", speed=0)
        self.wait_completed("b")
        with open(self.path("copy"), "rb") as copy:
            copy.seek(5 * MIB)
            self.assertEqual(copy.read(6000), b"before" * 1000)
        self.assertEqual(self.read_file(self.disk)[5 * MIB:5 * MIB + 6], b"after!")

    def test_the_end_of_the_daemon_ends_a_backup(self):
        self.add_disks()
        self.backup(speed=1)
        with open(self.disk, "r+b", buffering=0) as disk:
            disk.write(b"kept")
        os.kill(self.pid, signal.SIGTERM)
        self.qmp.wait_event("BLOCK_JOB_CANCELLED")
        wait_until(lambda: process_is_gone(self.pid), "the end of the daemon")
        self.assertEqual(self.read_file(self.image)[:4], b"kept")
        self.assertFalse(self.is_mounted())

    @unittest.skipUnless(shutil.which("qemu-img"), "qemu-img is not here")
    def test_only_the_top_image_of_a_chain(self):
        base, top = self.path("base.qcow2"), self.path("top.qcow2")
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", self.image, base], check=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", top],
                       check=True)
        subprocess.run(["qemu-io", "-c", "write -P 7 1M 256k", top], check=True,
                       stdout=subprocess.DEVNULL)
        self.qmp.command("blockdev-add", driver="qcow2", node_name="disk", read_only=True,
                         file={"driver": "file", "filename": top})
        self.create("copy")
        self.backup(sync="top")
        self.wait_completed("b")
        content = self.read_file(self.path("copy"))
        self.assertEqual(content[MIB:MIB + 256 * 1024], b"\x07" * (256 * 1024))
        self.assertEqual(content[:MIB], bytes(MIB))
        self.assertEqual(content[2 * MIB:], bytes(SIZE - 2 * MIB))


if __name__ == "__main__":
    cli_case.main()
