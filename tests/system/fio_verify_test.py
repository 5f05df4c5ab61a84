# SPDX-License-Identifier: Apache-2.0
"""fio writes through the mount with several jobs and finds every byte again."""

import sys

from served_image import Directory, Mount, require_programs, require_root_and_fuse, run, seed

MIB = 1 << 20

# name: (mount options, fio options)
CASES = {
    "aligned-direct": ((), ["--direct=1", "--bsrange=4k-256k", "--ioengine=libaio",
                            "--iodepth=16"]),
    "aligned-cached": (("--cache",), ["--direct=0", "--bsrange=4k-256k", "--ioengine=psync"]),
    "unaligned": ((), ["--direct=0", "--bsrange=512-65536", "--bs_unaligned=1", "--blockalign=1",
                       "--ioengine=psync"]),
    "unaligned-on-o-direct": (("--direct",), ["--direct=0", "--bsrange=512-65536",
                                              "--bs_unaligned=1", "--blockalign=1",
                                              "--ioengine=psync"]),
    "o-direct": (("--direct",), ["--direct=1", "--bsrange=4k-1m", "--ioengine=libaio",
                                 "--iodepth=16"]),
    "threads-engine": (("--engine=threads",), ["--direct=1", "--bsrange=4k-128k",
                                               "--ioengine=libaio", "--iodepth=16"]),
}


def verify(case):
    options, fio_options = CASES[case]
    with Directory() as directory:
        image = directory.image("disk.raw", 64 * MIB)
        with Mount(image, "-w", "-f", "raw", "-t", "2", *options) as mount:
            run("fio", "--name=verify", "--verify_state_save=0",
                f"--filename={mount.disk}", "--rw=randwrite",
                f"--size={16 * MIB}", f"--offset_increment={16 * MIB}", "--numjobs=4",
                "--verify=crc32c", "--verify_fatal=1", "--verify_dump=0", "--group_reporting",
                "--allow_file_create=0", f"--randseed={seed()}", "--fsync=64", "--end_fsync=1",
                *fio_options)


if __name__ == "__main__":
    require_root_and_fuse()
    require_programs("fio")
    verify(sys.argv[1])
