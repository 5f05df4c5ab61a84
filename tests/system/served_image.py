# SPDX-License-Identifier: Apache-2.0
"""An image mounted by the program under test, for the system tests."""

import hashlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile

PROGRAM = os.environ.get("PENSTOCK_PROGRAM", "penstock")
SKIPPED = 77


def skip(reason):
    print("skipped:", reason)
    sys.exit(SKIPPED)


def require_root_and_fuse():
    if not os.path.exists("/dev/fuse"):
        skip("no /dev/fuse")
    if os.geteuid() != 0:
        skip("needs root")


def require_programs(*names):
    for name in names:
        if shutil.which(name) is None:
            skip(f"needs {name}")


def run(*command, **options):
    """Runs a command; its output is shown if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def seed():
    """The seed of this run: printed, so that a failure can be replayed."""
    value = int(os.environ.get("PENSTOCK_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print("PENSTOCK_TEST_SEED =", value)
    return value


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
            else hashlib.sha256(f.read()).hexdigest()


class Directory:
    """A temporary directory; memory=True puts it on tmpfs."""

    def __init__(self, memory=False):
        base = "/dev/shm" if memory and os.access("/dev/shm", os.W_OK) else None
        self.path = tempfile.mkdtemp(prefix="penstock-system-", dir=base)
        os.chmod(self.path, 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, name):
        return os.path.join(self.path, name)

    def image(self, name, size):
        path = self.file(name)
        with open(path, "wb") as f:
            f.truncate(size)
        return path


class Mount:
    """`penstock mount OPTIONS IMAGE DIR` for the time of a with block; .disk is the served file."""

    def __init__(self, image, *options):
        self.image = image
        self.options = options

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="penstock-mount-")
        try:
            run(PROGRAM, "mount", *self.options, self.image, self.directory)
        except BaseException:
            os.rmdir(self.directory)
            raise
        self.disk = os.path.join(self.directory, "disk")
        return self

    def server_pid(self):
        for entry in json.loads(run(PROGRAM, "ls", "--output=json")):
            if os.path.realpath(entry["mount-point"]) == os.path.realpath(self.directory):
                return entry["pid"]
        raise AssertionError("penstock ls does not list " + self.directory)

    def kill(self):
        """kill -9 of the server, and only of it; returns once it is gone."""
        pid = self.server_pid()
        descriptor = os.pidfd_open(pid)
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], 30)
        os.close(descriptor)

    def __exit__(self, kind, *_):
        done = subprocess.run([PROGRAM, "umount", self.directory], capture_output=True, text=True)
        if done.returncode != 0:
            subprocess.run(["umount", "-l", self.directory], capture_output=True)
        try:
            os.rmdir(self.directory)
        except OSError:
            pass
        if kind is None and done.returncode != 0:
            raise AssertionError(f"umount: exit {done.returncode}: {done.stderr}")
