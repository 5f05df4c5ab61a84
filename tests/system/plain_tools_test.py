# SPDX-License-Identifier: Apache-2.0
"""What people do with a raw file works on the served one: cp, dd, fdisk, qemu-img, mmap."""

import json
import mmap
import os
import subprocess
import unittest

from served_image import (Directory, Mount, digest, require_programs, require_root_and_fuse, run)

MIB = 1 << 20


class PlainTools(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(Directory())
        self.image = self.directory.image("disk.raw", 64 * MIB)
        with open(self.image, "r+b") as f:
            for at in (0, 3 * MIB, 40 * MIB):
                f.seek(at)
                f.write(os.urandom(MIB))

    def test_cp_keeps_holes_and_bytes(self):
        copy = self.directory.file("copy")
        with Mount(self.image) as mount:
            run("cp", "--sparse=auto", mount.disk, copy)
        self.assertEqual(digest(copy), digest(self.image))
        self.assertLess(os.stat(copy).st_blocks * 512, 8 * MIB)

    def test_seek_finds_data_and_holes_where_they_are(self):
        with Mount(self.image) as mount:
            served = os.open(mount.disk, os.O_RDONLY)
            own = os.open(self.image, os.O_RDONLY)
            try:
                for start in (0, MIB // 2, MIB, 2 * MIB, 3 * MIB, 41 * MIB - 1):
                    for whence in (os.SEEK_DATA, os.SEEK_HOLE):
                        self.assertEqual(os.lseek(served, start, whence),
                                         os.lseek(own, start, whence), (start, whence))
                with self.assertRaises(OSError) as raised:
                    os.lseek(served, 41 * MIB, os.SEEK_DATA)
                self.assertEqual(raised.exception.errno, 6)  # ENXIO
            finally:
                os.close(served)
                os.close(own)

    def test_dd_writes_in_place(self):
        block = self.directory.file("block")
        with open(block, "wb") as f:
            f.write(os.urandom(3 * 4096 + 77))
        with Mount(self.image, "-w", "-f", "raw") as mount:
            run("dd", f"if={block}", f"of={mount.disk}", "bs=1000", "seek=123", "conv=notrunc,fsync")
        with open(self.image, "rb") as f, open(block, "rb") as b:
            f.seek(123000)
            self.assertEqual(f.read(3 * 4096 + 77), b.read())
        self.assertEqual(os.path.getsize(self.image), 64 * MIB)

    def test_cp_onto_the_disk_never_empties_it(self):
        before = digest(self.image)
        with Mount(self.image, "-w", "-f", "raw") as mount:
            done = subprocess.run(["cp", "/etc/passwd", mount.disk], capture_output=True)
            self.assertNotEqual(done.returncode, 0)
        self.assertEqual(digest(self.image), before)

    @staticmethod
    def fdisk_facts(path):
        """Its lines without the width of the name's column."""
        lines = run("fdisk", "-l", path).replace(path, "IMAGE").splitlines()
        return [" ".join(line.split()) for line in lines]

    def test_fdisk_sees_the_partition_table(self):
        subprocess.run(["sfdisk", "-q", self.image], input=b"label: gpt\nsize=10MiB\nsize=20MiB\n",
                       check=True, stdout=subprocess.DEVNULL)
        with Mount(self.image) as mount:
            served = self.fdisk_facts(mount.disk)
        self.assertIn("IMAGE2 22528 63487 40960 20M Linux filesystem", served)
        self.assertEqual(served, self.fdisk_facts(self.image))

    def test_qemu_img_reads_it_as_raw(self):
        with Mount(self.image) as mount:
            facts = json.loads(run("qemu-img", "info", "--output=json", "-U", "-f", "raw",
                                   mount.disk))
            self.assertEqual(facts["virtual-size"], 64 * MIB)
            run("qemu-img", "compare", "-f", "raw", "-F", "raw", mount.disk, self.image)

    def test_a_shared_mapping_reads_the_bytes(self):
        with Mount(self.image) as mount, open(mount.disk, "rb") as served, \
                open(self.image, "rb") as own:
            try:
                mapped = mmap.mmap(served.fileno(), 4 * MIB, mmap.MAP_SHARED, mmap.PROT_READ)
            except OSError:
                self.skipTest("this kernel maps no file with direct I/O")
            with mapped:
                self.assertEqual(mapped[:4 * MIB], own.read(4 * MIB))

    def test_a_shared_mapping_writes_through_a_cached_mount(self):
        with Mount(self.image, "-w", "-f", "raw", "--cache") as mount:
            with open(mount.disk, "r+b") as served:
                with mmap.mmap(served.fileno(), MIB) as mapped:
                    mapped[5000:5005] = b"hello"
                    mapped.flush()
        with open(self.image, "rb") as own:
            own.seek(5000)
            self.assertEqual(own.read(5), b"hello")


if __name__ == "__main__":
    require_root_and_fuse()
    require_programs("qemu-img", "fdisk", "sfdisk")
    unittest.main()
