# SPDX-License-Identifier: Apache-2.0
"""A real ext4 on a loop device over the mount: made, filled, checked, and found again afterwards."""

import os
import random
import subprocess
import sys

from loop_device import LoopDevice
from served_image import (Directory, Mount, digest, require_programs, require_root_and_fuse, run,
                          seed, skip)

MIB = 1 << 20


def fill(directory, generator):
    """Writes files of many sizes; answers their digests by name."""
    digests = {}
    for number in range(120):
        name = f"file-{number}"
        path = os.path.join(directory, name)
        with open(path, "wb") as f:
            f.write(generator.randbytes(generator.choice([0, 1, 4095, 4096, 70000, 900000])))
        digests[name] = digest(path)
    return digests


def compare(directory, digests):
    for name, expected in digests.items():
        assert digest(os.path.join(directory, name)) == expected, name


def main(direct_io):
    generator = random.Random(seed())
    with Directory() as directory:
        image = directory.image("disk.raw", 192 * MIB)
        tree = directory.file("tree")
        os.mkdir(tree)
        with Mount(image, "-w", "-f", "raw") as mount, \
                LoopDevice(mount.disk, direct_io) as loop:
            run("mkfs.ext4", "-q", loop.path)
            run("mount", loop.path, tree)
            try:
                digests = fill(tree, generator)
                os.sync()
                compare(tree, digests)
            finally:
                run("umount", tree)
            run("e2fsck", "-f", "-n", loop.path)
        # The image itself, without Penstock, has all of it.
        run("e2fsck", "-f", "-n", image)
        for name in list(digests)[:10]:
            copy = directory.file("copy")
            subprocess.run(["debugfs", "-R", f"dump /{name} {copy}", image], check=True,
                           capture_output=True)
            assert digest(copy) == digests[name], name


if __name__ == "__main__":
    require_root_and_fuse()
    require_programs("mkfs.ext4", "losetup", "debugfs")
    if not os.path.exists("/dev/loop-control"):
        skip("no loop devices")
    main(direct_io=sys.argv[1] == "direct-io")
