# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the server under load: what was synced is there, and the next mount just works."""

import os
import random
import threading
import unittest

from served_image import PROGRAM, Directory, Mount, require_root_and_fuse, run, seed

MIB = 1 << 20
BLOCK = 4096


class Writer(threading.Thread):
    """Writes numbered blocks of its own region and syncs; remembers what was synced."""

    def __init__(self, path, region, blocks):
        super().__init__()
        self.path, self.region, self.blocks = path, region, blocks
        self.synced = {}
        self.synced_some = threading.Event()

    def run(self):
        written = {}
        try:
            descriptor = os.open(self.path, os.O_WRONLY)
            try:
                number = 0
                while True:
                    number += 1
                    at = self.region * self.blocks + number % self.blocks
                    os.pwrite(descriptor, number.to_bytes(8, "little") * (BLOCK // 8), at * BLOCK)
                    written[at] = number
                    if number % 16 == 0:
                        os.fsync(descriptor)
                        self.synced.update(written)
                        self.synced_some.set()
            finally:
                os.close(descriptor)
        except OSError:
            pass  # the server is gone: expected


class KilledServer(unittest.TestCase):
    def test_synced_blocks_survive_and_the_next_mount_works(self):
        generator = random.Random(seed())
        with Directory() as directory:
            image = directory.image("disk.raw", 16 * MIB)
            for _ in range(3):
                mount = Mount(image, "-w", "-f", "raw")
                with mount:
                    writers = [Writer(mount.disk, region, 512) for region in range(4)]
                    for writer in writers:
                        writer.start()
                    for writer in writers:
                        self.assertTrue(writer.synced_some.wait(60))
                    # Some more work of a random amount, then the end.
                    with open(mount.disk, "rb") as served:
                        for _ in range(generator.randrange(200)):
                            served.read(BLOCK)
                    mount.kill()
                    for writer in writers:
                        writer.join(60)
                        self.assertFalse(writer.is_alive())
                    # The dead mount is still there: mounting again cleans it by itself.
                    with open(image, "rb") as own:
                        for writer in writers:
                            for at, number in writer.synced.items():
                                own.seek(at * BLOCK)
                                found = int.from_bytes(own.read(8), "little")
                                self.assertGreaterEqual(found, number, at)
                    run(PROGRAM, "mount", "-w", "-f", "raw", image, mount.directory)
                    with open(mount.disk, "rb") as served, open(image, "rb") as own:
                        self.assertEqual(served.read(), own.read())


if __name__ == "__main__":
    require_root_and_fuse()
    unittest.main()
