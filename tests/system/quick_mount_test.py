# SPDX-License-Identifier: Apache-2.0
"""An idle server uses no processor, and a mount is readable when the command returns."""

import os
import select
import unittest

from served_image import Directory, Mount, require_root_and_fuse

MIB = 1 << 20


def processor_ticks(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


class QuickMount(unittest.TestCase):
    def test_the_file_is_readable_when_mount_returns(self):
        with Directory() as directory:
            image = directory.image("disk.raw", 4 * MIB)
            for _ in range(10):
                with Mount(image) as mount, open(mount.disk, "rb") as served:
                    self.assertEqual(served.read(4096), bytes(4096))

    def test_an_idle_server_uses_no_processor(self):
        with Directory() as directory:
            image = directory.image("disk.raw", 4 * MIB)
            with Mount(image) as mount:
                with open(mount.disk, "rb") as served:
                    served.read()
                pid = mount.server_pid()
                descriptor = os.pidfd_open(pid)
                try:
                    before = processor_ticks(pid)
                    # Two seconds in which the server must not end; the clock is what is tested.
                    self.assertEqual(select.select([descriptor], [], [], 2)[0], [])
                    # A hundredth of a second is one tick; a server that spins uses 200 to 400.
                    self.assertLessEqual(processor_ticks(pid) - before, 4)
                finally:
                    os.close(descriptor)


if __name__ == "__main__":
    require_root_and_fuse()
    unittest.main()
