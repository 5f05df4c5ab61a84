#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A client library of the field, unmodified, drives a whole life of a daemon.

It is Debian's golang-github-digitalocean-go-qemu-dev; what it does is in qmp_library/main.go.
"""

import os
import shutil
import time
import unittest

from served_image import PROGRAM, Directory, require_root_and_fuse, run, skip

LIBRARY = "/usr/share/gocode/src/github.com/digitalocean/go-qemu/qmp"
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "qmp_library", "main.go")
MIB = 1 << 20
LONG = 60  # seconds: a limit that only a broken program reaches


class QmpLibrary(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(Directory())

    def build_client(self):
        client = self.directory.file("client")
        environment = dict(os.environ, GOPATH="/usr/share/gocode", GO111MODULE="off",
                           GOCACHE=self.directory.file("cache"), CGO_ENABLED="0")
        run("go", "build", "-o", client, SOURCE, env=environment)
        return client

    def test_a_whole_life_with_events(self):
        client = self.build_client()
        socket = self.directory.file("p.sock")
        pid_file = self.directory.file("pid")
        image = self.directory.image("disk.raw", 4 * MIB)
        mount_point = self.directory.file("mnt")
        os.mkdir(mount_point)
        run(PROGRAM, "daemon", "--socket", socket, "--pid-file", pid_file)
        run(client, socket, image, mount_point)
        end = time.monotonic() + LONG
        while os.path.exists(pid_file):
            self.assertLess(time.monotonic(), end, "the daemon does not end")
            time.sleep(0.01)
        with open(image, "rb") as content:
            self.assertEqual(content.read(7), b"written")
        self.assertEqual(os.path.getsize(image), 8 * MIB)


if __name__ == "__main__":
    require_root_and_fuse()
    if shutil.which("go") is None or not os.path.isdir(LIBRARY):
        skip("needs Debian's golang-go and golang-github-digitalocean-go-qemu-dev")
    unittest.main()
