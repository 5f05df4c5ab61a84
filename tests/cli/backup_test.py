#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`penstock backup` and `penstock jobs`."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import unittest

import cli_case
from cli_case import LONG, MIB, wait_until
from control_case import ControlCase

SIZE = 8 * MIB
STRANGER = 64998  # a user that nobody is
SLOW = ["--speed", "1M"]  # bytes a second: it would take many seconds


class BackupCase(ControlCase):
    def setUp(self):
        super().setUp()
        self.where = self.add_disk(size=SIZE)
        self.disk = os.path.join(self.where, "disk")
        self.copy = self.path("copy.img")

    def jobs(self):
        return self.json("jobs")

    def nothing_is_left(self):
        self.assertEqual(self.jobs(), [])
        self.assertEqual(self.export_node(), "disk")
        self.assertIsNone(self.node("backup0-target"))


class BackupTest(BackupCase):
    def test_is_the_disk_as_it_was(self):
        before = self.read_file(self.disk)
        result = self.here("backup", self.where, self.copy)
        self.assertEqual((result.stdout, result.stderr), ("", ""))
        self.assertEqual(self.read_file(self.copy), before)
        self.nothing_is_left()

    def test_is_of_the_moment_when_it_began(self):
        before = self.read_file(self.disk)
        backup = self.start_program("backup", self.where, self.copy, "--socket", self.socket,
                                    "--speed", "4M")
        wait_until(lambda: any(job["status"] == "running" and job["type"] == "backup"
                               for job in self.jobs()), "the backup's job")
        with open(self.disk, "r+b", buffering=0) as disk:
            for offset in (0, SIZE // 2, SIZE - 4096):
                os.pwrite(disk.fileno(), b"n" * 4096, offset)
        self.assertEqual(backup.wait(LONG), 0, backup.stderr.read())
        self.assertEqual(self.read_file(self.copy), before)
        self.assertEqual(self.read_file(self.disk)[:4096], b"n" * 4096)

    def test_a_file_that_is_there_is_kept_unless_it_is_forced(self):
        with open(self.copy, "wb") as file:
            file.write(b"precious")
        self.refused("is there already", "backup", self.where, self.copy)
        self.assertEqual(self.read_file(self.copy), b"precious")
        self.here("backup", self.where, self.copy, "--force")
        self.assertEqual(self.read_file(self.copy), self.read_file(self.disk))
        self.refused("is no regular file", "backup", self.where, self.folder, "--force")

    def test_a_name_that_is_not_utf8_is_refused_and_no_other_file_is_touched(self):
        folder = os.fsencode(self.folder)
        other = os.path.join(folder, b"b\xef\xbf\xbd.img")
        with open(other, "wb") as file:
            file.write(b"precious")
        name = os.fsdecode(os.path.join(folder, b"b\xff.img"))
        for words in ([], ["--force"]):
            result = subprocess.run(
                self.command("backup", self.where, name, "--socket", self.socket, *words),
                capture_output=True, timeout=LONG, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"is not UTF-8", result.stderr)
        self.assertEqual(self.read_file(other), b"precious")
        self.assertFalse(os.path.exists(name))
        self.nothing_is_left()

    def test_of_a_disk_into_itself_is_refused(self):
        link = self.path("link")
        os.symlink(self.disk, link)
        for file in (self.disk, os.path.join(self.where, "new"), link):
            self.refused("a disk of the same server", "backup", "--force", self.where, file)
        self.nothing_is_left()

    def test_holes_stay_holes(self):
        with open(self.path("holes.img"), "wb") as image:
            image.truncate(64 * MIB)
        self.qmp("blockdev-add", driver="file", node_name="holes", filename=self.path("holes.img"))
        self.here("backup", "holes", self.copy)
        self.assertEqual(os.stat(self.copy).st_size, 64 * MIB)
        self.assertLess(os.stat(self.copy).st_blocks * 512, MIB)

    def test_many_at_once_take_names_of_their_own(self):
        names = [f"d{number}" for number in range(5)]
        for name in names:
            self.qmp("blockdev-add", driver="null-co", node_name=name, size=MIB, read_zeroes=True)
        backups = [self.start_program("backup", name, self.path(name + ".copy"), "--socket",
                                      self.socket) for name in names]
        for backup in backups:
            self.assertEqual(backup.wait(LONG), 0, backup.stderr.read())
        self.nothing_is_left()

    def test_progress_as_json(self):
        lines = self.here("backup", self.where, self.copy, "--progress=json").stdout.splitlines()
        last = json.loads(lines[-1])
        self.assertEqual(list(last), ["description", "transferred", "size", "elapsed"])
        self.assertEqual((last["transferred"], last["size"]), (SIZE, SIZE))

    def test_a_bar_on_a_terminal(self):
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        backup = subprocess.Popen(
            self.command("backup", self.where, self.copy, "--socket", self.socket),
            env=dict(self.environment(), TERM="xterm"), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=theirs)
        self.addCleanup(self.end_process, backup)
        os.close(theirs)
        seen = b""
        while b"100 %" not in seen:
            self.assertTrue(select.select([ours], [], [], LONG)[0], seen)
            seen += os.read(ours, 4096)
        self.assertEqual(backup.wait(LONG), 0)
        self.assertIn(b"[####", seen)

    def start_slow(self, *words):
        backup = self.start_program("backup", self.where, self.copy, "--socket", self.socket, *SLOW,
                                    *words)
        wait_until(lambda: any(job["status"] == "running" and job["type"] == "backup"
                               for job in self.jobs()), "the backup's job")
        self.assertTrue(os.path.exists(self.copy))
        return backup

    def test_an_interrupt_cancels_it_and_removes_the_file(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                backup = self.start_slow()
                backup.send_signal(number)
                self.assertEqual(backup.wait(LONG), 1)
                self.assertIn("it was cancelled; the unfinished file was removed",
                              backup.stderr.read())
                self.assertFalse(os.path.exists(self.copy))
                self.nothing_is_left()

    def test_a_reader_that_goes_cancels_it_too(self):
        backup = self.start_slow("--progress=json")
        backup.stdout.close()
        self.assertEqual(backup.wait(LONG), 1)
        backup.stdout = None
        self.assertIn("it was cancelled; the unfinished file was removed", backup.stderr.read())
        self.assertFalse(os.path.exists(self.copy))
        self.nothing_is_left()

    def test_a_file_that_was_there_is_emptied_and_stays(self):
        with open(self.copy, "wb") as file:
            file.write(b"given up")
        backup = self.start_slow("--force")
        backup.send_signal(signal.SIGINT)
        self.assertEqual(backup.wait(LONG), 1)
        self.assertIn("the file was emptied", backup.stderr.read())
        self.assertEqual(os.path.getsize(self.copy), 0)
        self.nothing_is_left()

    @unittest.skipUnless(os.geteuid() == 0, "needs root to ask another user's server")
    def test_the_server_makes_the_file_so_that_root_can_ask_a_users(self):
        os.mkdir(self.path("theirs"))
        os.chown(self.path("theirs"), STRANGER, STRANGER)
        program = shutil.copy(cli_case.PROGRAM, self.path("program"))
        theirs = self.path("theirs/p.sock")
        server = subprocess.Popen([program, "daemon", "--foreground", "--socket", theirs],
                                  user=STRANGER, group=STRANGER, extra_groups=[], cwd="/",
                                  stderr=subprocess.PIPE,
                                  env=dict(os.environ, XDG_RUNTIME_DIR=self.path("theirs")))
        self.addCleanup(self.end_process, server)
        wait_until(lambda: os.path.exists(theirs) or server.poll() is not None, "the socket")
        self.succeed("qmp", "--socket", theirs, "blockdev-add",
                     '{"driver": "null-co", "node-name": "n", "size": 65536, "read-zeroes": true}')
        copy = self.path("theirs/copy.img")
        self.succeed("backup", "n", copy, "--socket", theirs)
        self.assertEqual(os.stat(copy).st_uid, STRANGER)
        self.assertEqual(os.stat(copy).st_size, 65536)
        self.succeed("qmp", "--socket", theirs, "quit")
        self.assertEqual(server.wait(LONG), 0)

    def test_a_place_that_cannot_be_written_leaves_nothing(self):
        self.refused("/no/such", "backup", self.where, "/no/such/copy.img")
        self.nothing_is_left()

    def test_a_source_that_fails_leaves_nothing(self):
        self.here("filter", "add", self.where, "faults", "node-name=f",
                  "rules.0=read_aio:always:errno=EIO")
        self.refused("the unfinished file was removed", "backup", self.where, self.copy)
        self.assertFalse(os.path.exists(self.copy))
        self.assertEqual(self.jobs(), [])
        self.assertEqual(self.export_node(), "f")

    def test_of_a_mount(self):
        image = self.make_image("mounted.img", SIZE)
        self.mount(image, self.mount_point)
        self.succeed("backup", self.mount_point, self.copy)
        self.assertEqual(self.read_file(self.copy), self.read_file(image))
        self.umount()

    def test_wrong_usage(self):
        self.misused("FILE is required", "backup", self.where)
        self.misused("penstock backup --help", "backup", self.where, self.copy, "--speed", "x")
        self.misused("penstock backup --help", "backup", self.where, self.copy, "--format", "vmdk")


class JobsTest(BackupCase):
    def detach(self, *words):
        return self.here("backup", self.where, self.copy, "--detach", *words).stdout.strip()

    def status(self, job):
        return next((each["status"] for each in self.jobs() if each["id"] == job), None)

    def test_a_detached_backup_concludes_and_is_dismissed(self):
        job = self.detach()
        wait_until(lambda: self.status(job) == "concluded", "the end of the job")
        self.assertRegex(self.here("jobs").stdout, rf"(?m)^{job} +backup +concluded +100 %")
        self.here("jobs", "dismiss", job)
        self.nothing_is_left()
        self.assertEqual(self.read_file(self.copy), self.read_file(self.disk))

    def test_a_job_is_paused_resumed_and_cancelled(self):
        job = self.detach(*SLOW)
        self.here("jobs", "pause", job)
        wait_until(lambda: self.status(job) == "paused", "the pause")
        self.here("jobs", "resume", job)
        wait_until(lambda: self.status(job) == "running", "the end of the pause")
        self.assertEqual([each["id"] for each in self.json("status")[0]["jobs"]], [job])
        self.assertIn("job " + job, self.here("graph").stdout)
        self.here("jobs", "cancel", job)
        wait_until(lambda: self.status(job) == "concluded", "the end of the job")
        self.assertIn("is not the whole disk", self.here("jobs", "dismiss", job).stderr)
        self.nothing_is_left()

    def test_two_at_once_have_names_of_their_own(self):
        first = self.detach(*SLOW)
        self.add_disk("other")
        other = self.path("other-copy.img")
        second = self.here("backup", "other-export", other, "--detach").stdout.strip()
        self.assertNotEqual(first, second)
        wait_until(lambda: self.status(second) == "concluded", "the end of the second one")
        for job in (first, second):
            if job == first:
                self.here("jobs", "cancel", job)
            wait_until(lambda: self.status(job) == "concluded", "the end of a job")
            self.here("jobs", "dismiss", job)
        self.nothing_is_left()

    def test_the_list_without_jobs(self):
        self.assertEqual(self.here("jobs").stdout, "no jobs\n")
        self.assertEqual(self.json("jobs", "ls"), [])

    def test_what_is_not_there_is_told(self):
        for verb in ("cancel", "pause", "resume", "dismiss"):
            self.refused("there is no job 'none'", "jobs", verb, "none")

    def test_what_a_job_does_not_take_is_told(self):
        job = self.detach(*SLOW)
        self.refused(job, "jobs", "dismiss", job)
        self.here("jobs", "cancel", job)
        wait_until(lambda: self.status(job) == "concluded", "the end of the job")
        self.here("jobs", "dismiss", job)

    def test_wrong_usage(self):
        self.misused("JOB is required", "jobs", "cancel")
        self.misused("penstock jobs --help", "jobs", "explode")


if __name__ == "__main__":
    cli_case.main()
