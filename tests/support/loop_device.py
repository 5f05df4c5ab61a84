# SPDX-License-Identifier: Apache-2.0
"""A loop device over a file, for tests that are scripts."""

import os
import subprocess
import time


def detach(device, limit=30):
    """Detaches a loop device; returns once the kernel has let go of its file.

    losetup returns at once when somebody else has just opened the device to look at it.
    """
    subprocess.run(["losetup", "--detach", device], check=True)
    backing_file = f"/sys/block/{os.path.basename(device)}/loop/backing_file"
    deadline = time.monotonic() + limit
    while os.path.exists(backing_file):
        if time.monotonic() > deadline:
            raise AssertionError(f"{device} is still attached {limit} s after losetup --detach")
        time.sleep(0.01)


class LoopDevice:
    """Attached for the time of a with block; .path is the device."""

    def __init__(self, file, direct_io=False, read_only=False):
        self.options = ["--direct-io=" + ("on" if direct_io else "off")]
        if read_only:
            self.options.append("--read-only")
        self.file = file

    def __enter__(self):
        made = subprocess.run(["losetup", "--find", "--show", *self.options, self.file],
                              capture_output=True, text=True, check=True)
        self.path = made.stdout.strip()
        return self

    def __exit__(self, *_):
        detach(self.path)
