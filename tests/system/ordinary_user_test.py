# SPDX-License-Identifier: Apache-2.0
"""The whole life of a mount as an ordinary user, by fusermount3."""

import os
import pwd
import subprocess

from served_image import PROGRAM, Directory, require_programs, require_root_and_fuse, run, skip

MIB = 1 << 20
USER = "penstock-test"


def as_user(*command):
    return run("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--reset-env",
               *command, cwd="/")


def main():
    try:
        account = pwd.getpwnam(USER)
    except KeyError:
        skip(f"no user {USER} (tests/run makes it)")
    if os.stat("/dev/fuse").st_mode & 0o006 != 0o006:
        skip("/dev/fuse is closed to ordinary users")
    with Directory() as directory:
        image = directory.image("disk.raw", 32 * MIB)
        mount_point = directory.file("mnt")
        os.mkdir(mount_point)
        for path in (directory.path, image, mount_point):
            os.chown(path, account.pw_uid, account.pw_gid)
        program = directory.file("penstock")  # the build tree may be closed to the user
        subprocess.run(["cp", PROGRAM, program], check=True)
        disk = os.path.join(mount_point, "disk")
        as_user(program, "mount", "-w", "-f", "raw", image, mount_point)
        try:
            as_user("fio", "--name=verify", f"--filename={disk}", "--rw=randwrite", "--size=8m",
                    "--offset_increment=8m", "--numjobs=4", "--bsrange=512-65536",
                    "--bs_unaligned=1", "--verify=crc32c", "--verify_fatal=1", "--ioengine=psync",
                    "--allow_file_create=0", "--end_fsync=1", "--verify_state_save=0")
            assert image in as_user(program, "ls")
        finally:
            as_user(program, "umount", mount_point)
        assert not os.path.ismount(mount_point)
        run("qemu-io", "-f", "raw", "-c", "read 0 4k", image)  # no lock is left


if __name__ == "__main__":
    require_root_and_fuse()
    require_programs("setpriv", "fio", "qemu-io", "fusermount3")
    main()
