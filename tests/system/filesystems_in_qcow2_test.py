# SPDX-License-Identifier: Apache-2.0
"""Filesystems inside compressed and chained images, mounted by loop and compared file by file."""

import os
import random

import qcow2_images
from loop_device import LoopDevice
from qcow2_images import KIB, MIB
from served_image import (Directory, Mount, digest, require_programs, require_root_and_fuse, run,
                          seed, skip)

SIZE = 64 * MIB
UUID = "5a1f0c62-0000-4000-8000-000000000001"


def make_tree(path, choose, files):
    os.makedirs(path, exist_ok=True)
    for number in range(files):
        directory = os.path.join(path, f"directory-{number % 7}")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, f"file-{number}"), "wb") as file:
            size = choose.choice([0, 1, 4095, 4096, 70_000, 600_000])
            # Some compress well, some not at all.
            file.write(choose.randbytes(size) if number % 3 else b"line %d\n" % number * (size // 8))


def digests(root):
    return {os.path.relpath(os.path.join(folder, name), root): digest(os.path.join(folder, name))
            for folder, _, names in os.walk(root) for name in names}


def make_filesystem(image, tree):
    with open(image, "wb") as file:
        file.truncate(SIZE)
    run("mkfs.ext4", "-q", "-U", UUID, "-E", f"hash_seed={UUID}", "-d", tree, image)


def overlay_with_differences(folder, base, old, new):
    """An image on top of `base`, in whose clusters is what differs between two raw images."""
    overlay = folder.file("overlay.qcow2")
    qcow2_images.create(overlay, None, backing=os.path.basename(base), backing_format="qcow2")
    step = 64 * KIB
    words = []
    with open(old, "rb") as before, open(new, "rb") as after:
        for offset in range(0, SIZE, step):
            block = after.read(step)
            if before.read(step) == block:
                continue
            piece = folder.file(f"piece-{offset}")
            with open(piece, "wb") as file:
                file.write(block)
            words += ["-c", f"write -q -s {piece} {offset} {step}"]
    run("qemu-io", "-f", "qcow2", *words, overlay)
    return overlay


def compare_through_loop(folder, image, tree):
    where = folder.file("mounted")
    os.makedirs(where, exist_ok=True)
    with Mount(image) as mount, LoopDevice(mount.disk, False, read_only=True) as loop:
        run("e2fsck", "-f", "-n", loop.path)
        run("mount", "-o", "ro,noload", loop.path, where)
        try:
            found = digests(where)
        finally:
            run("umount", where)
    wanted = digests(tree)
    assert found == wanted, set(found.items()) ^ set(wanted.items())


def main():
    choose = random.Random(seed())
    with Directory() as folder:
        tree, image = folder.file("tree"), folder.file("one.raw")
        make_tree(tree, choose, 90)
        make_filesystem(image, tree)
        base = folder.file("base.qcow2")
        for kind in ("zstd", "zlib"):
            run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o",
                f"compression_type={kind}", image, base)
            compare_through_loop(folder, base, tree)

        make_tree(tree, choose, 120)
        changed = folder.file("two.raw")
        make_filesystem(changed, tree)
        compare_through_loop(folder, overlay_with_differences(folder, base, image, changed), tree)


if __name__ == "__main__":
    require_root_and_fuse()
    require_programs("mkfs.ext4", "losetup", "qemu-img", "qemu-io")
    if not os.path.exists("/dev/loop-control"):
        skip("no loop devices")
    main()
