# SPDX-License-Identifier: Apache-2.0
"""A disk of 1 TiB: readable when mount returns, and memory stays bounded while all its metadata is
read."""

import errno
import os
import time

import qcow2_images
from qcow2_images import MIB
from served_image import Directory, Mount, require_programs

TIB = 1 << 40
ALLOWED_GROWTH = 64 * MIB
# Sanitizers keep freed memory, and shadows of it.
JUDGES_MEMORY = not any(name in os.environ for name in ("ASAN_OPTIONS", "TSAN_OPTIONS"))


def resident(pid, field):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise AssertionError(f"no {field} of {pid}")


def pass_every_table(descriptor):
    """Looks for data where none is. A search that takes long (under sanitizers) gives up in between
    and calls the place where it got to data."""
    position = 0
    while True:
        try:
            found = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            assert error.errno == errno.ENXIO, error
            return
        assert found > position, found
        position = found


def main():
    require_programs("qemu-img")
    with Directory(memory=True) as folder:
        image = folder.file("huge.qcow2")
        # 128 MiB of L2 tables, for clusters that nothing has been written to.
        qcow2_images.create(image, TIB, {"preallocation": "metadata"})
        begin = time.monotonic()
        with Mount(image) as mount:
            with open(mount.disk, "rb", buffering=0) as disk:
                disk.seek(TIB - 4096)
                assert disk.read(4096) == bytes(4096)
                print(f"mounted and read after {(time.monotonic() - begin) * 1000:.0f} ms")
                pid = mount.server_pid()
                before = resident(pid, "VmRSS")
                begin = time.monotonic()
                pass_every_table(disk.fileno())
                growth = resident(pid, "VmHWM") - before
                print(f"read all tables in {time.monotonic() - begin:.2f} s,"
                      f" {growth / MIB:.1f} MiB more memory")
                assert growth <= ALLOWED_GROWTH or not JUDGES_MEMORY, growth


if __name__ == "__main__":
    main()
