#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that has not started yet: what it says, what ends it, and what is told of it."""

import json
import os
import signal

import cli_case
from cli_case import LONG, wait_until

NULL = json.dumps({"driver": "null-co", "node-name": "n", "size": 1 << 20})


def open_files(pid):
    directory = f"/proc/{pid}/fd"
    files = set()
    for name in os.listdir(directory):
        try:
            files.add(os.readlink(os.path.join(directory, name)))
        except FileNotFoundError:
            pass  # closed meanwhile
    return files


class DaemonStartTest(cli_case.CliCase):
    def export(self):
        return json.dumps({"type": "fuse", "id": "e", "node-name": "n",
                           "mountpoint": self.mount_point})

    def test_a_signal_ends_it_while_a_start_step_waits_for_storage(self):
        path = self.path("held.img")
        with open(path, "wb") as image:
            image.truncate(1 << 20)
        # Its first read is not answered.
        held = json.dumps({"driver": "qcow2", "node-name": "disk", "read-only": True,
                           "file": {"driver": "faults",
                                    "rules": [{"event": "read_aio", "suspend": "held"}],
                                    "file": {"driver": "file", "filename": path}}})
        server = self.start_program("storage-daemon", "--blockdev", NULL, "--export",
                                    self.export(), "--blockdev", held)
        wait_until(lambda: path in open_files(server.pid), "the step that opens the image")
        server.send_signal(signal.SIGTERM)
        # Storage that does not answer at all is given up.
        _, said = server.communicate(timeout=LONG)
        self.assertIn("does not answer", said)
        self.assertEqual(server.returncode, 1)
        self.assertFalse(self.is_mounted())

    def test_it_says_that_it_waits_for_a_client(self):
        path = self.path("socket")
        server = self.start_program("storage-daemon", "--chardev",
                                    f"socket,id=c,path={path},server=on,wait=on",
                                    "--monitor", "c")
        self.assertIn(f"info: waiting for connection on unix:{path}", self.first_message(server))
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=LONG)
        self.assertEqual(server.returncode, 0)

    def test_an_export_before_its_monitor_is_found_by_people_too(self):
        path = self.path("socket")
        server = self.start_program("storage-daemon", "--blockdev", NULL, "--export",
                                    self.export(), "--chardev",
                                    f"socket,id=c,path={path},server=on,wait=off",
                                    "--monitor", "c", "--pidfile", self.path("pid"))
        wait_until(lambda: os.path.exists(self.path("pid")), "the end of the start")
        answer = self.succeed("qmp", self.mount_point, "query-block-exports")
        self.assertIn('"e"', answer.stdout)
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=LONG)
        self.assertEqual(server.returncode, 0)


if __name__ == "__main__":
    cli_case.main()
