# SPDX-License-Identifier: Apache-2.0
"""What the tests of the penstock program share: a folder of their own, the program, its mounts."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.environ.get("PENSTOCK_PROGRAM", "penstock")
ORDINARY_USER = "penstock-test"
MIB = 1024 * 1024
LONG = 60  # seconds: a limit that only a broken program reaches
# Said first where io_uring is forbidden: the whole suite passes there too.
ENGINE_NOTE = "penstock: using threads: "


def mount_entries():
    """(mount point, type, source) of every mount."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        for line in table:
            before, after = line.split(" - ", 1)
            kind, source = after.split()[:2]
            yield before.split()[4], kind, source


def accepts(path):
    """True if a server listens there: its socket's file is there a moment earlier."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True


def wait_until(condition, what, limit=LONG):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit} s in vain: {what}")
        time.sleep(0.01)


def process_is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            is_zombie = stat.read().rsplit(")", 1)[1].split()[0] == "Z"
        # While other threads of a killed process still end, they keep its files and locks.
        return is_zombie and len(os.listdir(f"/proc/{pid}/task")) == 1
    except FileNotFoundError:
        return True


@unittest.skipUnless(os.path.exists("/dev/fuse"), "this machine has no /dev/fuse")
class CliCase(unittest.TestCase):
    """A test with a folder, a mount point in it, and no mount left behind."""

    user = None  # run the program as this user; None: as ourselves

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="penstock-cli-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(self.unmount_all)
        os.chmod(self.folder, 0o755)
        self.mount_point = self.path("mnt")
        os.mkdir(self.mount_point)
        self.disk = os.path.join(self.mount_point, "disk")

    def path(self, name):
        return os.path.join(self.folder, name)

    def make_image(self, name="disk.img", size=MIB, content=None):
        path = self.path(name)
        with open(path, "wb") as image:
            image.write(content if content is not None else os.urandom(size))
        return path

    def command(self, *arguments):
        return [PROGRAM, *arguments]

    def environment(self):
        return dict(os.environ)

    def as_user(self):
        if self.user is None:
            return {}
        entry = pwd.getpwnam(self.user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def run_program(self, *arguments, cwd=None):
        return subprocess.run(self.command(*arguments), env=self.environment(), cwd=cwd, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=LONG,
                              check=False, **self.as_user())

    def start_program(self, *arguments):
        process = subprocess.Popen(self.command(*arguments), env=self.environment(), text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, **self.as_user())
        self.addCleanup(self.end_process, process)
        return process

    @staticmethod
    def end_process(process):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()

    def succeed(self, *arguments, **options):
        result = self.run_program(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def fail_with(self, status, message, *arguments):
        """The command ends with this status and says this, in one line that names the program."""
        result = self.run_program(*arguments)
        self.assertIn(message, result.stderr)
        self.assertEqual(result.returncode, status, result.stderr)
        lines = [line for line in result.stderr.splitlines() if not line.startswith(ENGINE_NOTE)]
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertTrue(lines[0].startswith("penstock: "), result.stderr)
        return result

    def first_message(self, server):
        """What a server in the foreground says first, but for its engine."""
        line = server.stderr.readline()
        return server.stderr.readline() if line.startswith(ENGINE_NOTE) else line

    def mount(self, *arguments):
        return self.succeed("mount", *arguments)

    def umount(self, path=None):
        return self.succeed("umount", path or self.mount_point)

    def is_mounted(self, path=None):
        wanted = path or self.mount_point
        return any(entry[0] == wanted for entry in mount_entries())

    def listed(self, path=None):
        """What `penstock ls` says about the mount point, or None."""
        mounts = json.loads(self.succeed("ls", "--output=json").stdout)
        wanted = path or self.mount_point
        return next((mount for mount in mounts if mount["mount-point"] == wanted), None)

    def unmount_all(self):
        for mount_point, kind, _ in reversed(list(mount_entries())):
            if mount_point.startswith(self.folder):
                self.unmount_lazily(mount_point)

    @staticmethod
    def unmount_lazily(mount_point):
        command = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-uz"]
        subprocess.run([*command, mount_point], check=False, capture_output=True)

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: process_is_gone(pid), f"the end of the killed server {pid}")

    def read_file(self, path):
        with open(path, "rb") as file:
            return file.read()


def main():
    """unittest.main(), but with status 77 if every test was skipped."""
    program = unittest.main(exit=False)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun == len(result.skipped):
        sys.exit(77)
