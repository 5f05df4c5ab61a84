#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An ordinary user mounts, writes, lists and unmounts without any rights."""

import os
import pwd
import shutil
import stat
import subprocess
import unittest

import cli_case


def reason_to_skip():
    if os.geteuid() != 0:
        return None  # we are an ordinary user ourselves
    try:
        pwd.getpwnam(cli_case.ORDINARY_USER)
    except KeyError:
        return f"there is no user {cli_case.ORDINARY_USER}; tests/run makes one"
    if not shutil.which("fusermount3"):
        return "fusermount3 is not installed"
    if stat.S_IMODE(os.stat("/dev/fuse").st_mode) & 0o006 != 0o006:
        return "/dev/fuse is not open to ordinary users here; tests/run opens it"
    return None


@unittest.skipIf(not os.path.exists("/dev/fuse") or reason_to_skip(), reason_to_skip() or "no FUSE")
class RootlessTest(cli_case.CliCase):
    def setUp(self):
        super().setUp()
        # The user may not be allowed into the build folder.
        self.program = self.path("penstock")
        shutil.copy(cli_case.PROGRAM, self.program)
        self.runtime = self.path("runtime")
        os.mkdir(self.runtime, 0o700)
        if os.geteuid() == 0:
            self.user = cli_case.ORDINARY_USER
            for path in (self.folder, self.mount_point, self.runtime):
                shutil.chown(path, self.user, self.user)

    def command(self, *arguments):
        return [self.program, *arguments]

    def environment(self):
        environment = dict(os.environ, XDG_RUNTIME_DIR=self.runtime, HOME=self.folder)
        return environment

    def make_image(self, *arguments, **options):
        path = super().make_image(*arguments, **options)
        if self.user:
            shutil.chown(path, self.user, self.user)
        return path

    def run_as_user(self, *command):
        return subprocess.run(command, capture_output=True, check=True, cwd="/", **self.as_user())

    def test_user_mounts_reads_writes_and_unmounts(self):
        image = self.make_image()
        before = self.read_file(image)
        self.mount("-w", "-f", "raw", image, self.mount_point)
        self.assertEqual(self.run_as_user("cat", self.disk).stdout, before)
        self.run_as_user("sh", "-c", f"printf abc | dd of={self.disk} conv=notrunc status=none")
        self.assertEqual(self.listed()["mode"], "rw")
        self.umount()
        self.assertFalse(self.is_mounted())
        self.assertEqual(self.read_file(image), b"abc" + before[3:])

    def test_user_sees_partitions_also_in_files_of_another_owner(self):
        image = self.make_image(size=8 * cli_case.MIB)
        subprocess.run(["sfdisk", "--quiet", "--no-reread", "--wipe=never", image], check=True,
                       input=b"label: gpt\nstart=2048, size=2048, name=first\n")
        for options in ("ro", "uid=0,gid=0"):
            self.mount("-o", options, image, self.mount_point)
            listed = self.run_as_user("ls", self.mount_point).stdout.split()
            self.assertEqual(listed, [b"by-partname", b"disk", b"info.json", b"p1"])
            self.umount()

    def test_state_is_private_and_removed(self):
        self.mount(self.make_image(), self.mount_point)
        folder = os.path.join(self.runtime, "penstock")
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700)
        self.assertEqual(sorted(os.path.splitext(name)[1] for name in os.listdir(folder)),
                         [".json", ".qmp"])
        self.umount()
        self.assertEqual(os.listdir(folder), [])

    def test_without_a_socket_the_image_is_mounted_nevertheless(self):
        too_long = self.path("r" * 100)
        shutil.move(self.runtime, too_long)
        self.runtime = too_long
        self.assertIn("this mount takes no commands",
                      self.mount(self.make_image(), self.mount_point).stderr)
        self.assertEqual(self.listed()["socket"], "")
        self.umount()

    def test_mount_point_of_somebody_else_is_refused_in_words(self):
        if not self.user:
            self.skipTest("only root can make another user's folder")
        other = self.path("roots")
        os.mkdir(other, 0o755)
        self.fail_with(1, "no write access", "mount", self.make_image(), other)

    def test_image_without_permission(self):
        image = self.make_image()
        os.chmod(image, 0)
        self.fail_with(1, "Permission denied", "mount", image, self.mount_point)

    def test_busy_mount_stays_and_names_its_user(self):
        self.mount(self.make_image(), self.mount_point)
        user = subprocess.Popen(["sleep", "60"], cwd="/", stdin=subprocess.PIPE, **self.as_user(),
                                preexec_fn=lambda: os.chdir(self.mount_point))
        self.addCleanup(self.end_process, user)
        self.fail_with(1, f"PID {user.pid} (sleep)", "umount", self.mount_point)
        self.end_process(user)
        self.umount()

    def test_killed_servers_mount_is_replaced(self):
        image = self.make_image()
        self.mount(image, self.mount_point)
        self.kill(self.listed()["pid"])
        self.assertIn("removed the stale mount", self.mount(image, self.mount_point).stderr)
        self.umount()

    def test_plain_fusermount_ends_the_server(self):
        self.mount(self.make_image(), self.mount_point)
        pid = self.listed()["pid"]
        self.run_as_user("fusermount3", "-u", self.mount_point)
        cli_case.wait_until(lambda: cli_case.process_is_gone(pid), "the server's end")


@unittest.skipIf(os.geteuid() != 0 or reason_to_skip(), reason_to_skip() or "only as root")
class RootAndUserTest(RootlessTest):
    def test_root_sees_and_ends_a_users_mount(self):
        self.environment_of_session = None
        image = self.make_image()
        runtime = f"/tmp/penstock-{pwd.getpwnam(self.user).pw_uid}"
        self.runtime = "/nonexistent"  # the fall-back of a user without a session
        self.addCleanup(shutil.rmtree, runtime, ignore_errors=True)
        self.mount(image, self.mount_point)
        self.user = None
        self.assertEqual(self.listed()["image"], image)
        self.umount()
        self.assertFalse(self.is_mounted())

    def test_user_cannot_end_roots_mount(self):
        image = self.make_image()
        user, self.user = self.user, None
        self.mount(image, self.mount_point)
        self.user = user
        self.fail_with(1, "was mounted by user 0", "umount", self.mount_point)
        self.user = None
        self.umount()


if __name__ == "__main__":
    cli_case.main()
