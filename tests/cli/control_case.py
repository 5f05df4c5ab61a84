# SPDX-License-Identifier: Apache-2.0
"""What the tests of commands over the control socket share: a daemon with disks."""

import json
import os
import signal

import cli_case
from cli_case import MIB, process_is_gone

FAILED = 1
USAGE = 2


class ControlCase(cli_case.CliCase):
    """A test with a daemon of its own, found by its socket: other servers do not matter."""

    def setUp(self):
        super().setUp()
        self.socket = self.path("p.sock")
        self.pid_file = self.path("pid")
        self.succeed("daemon", "--socket", self.socket, "--pid-file", self.pid_file)
        self.pid = int(self.read_file(self.pid_file))
        self.addCleanup(self.end_daemon)

    def end_daemon(self):
        if not process_is_gone(self.pid):
            os.kill(self.pid, signal.SIGTERM)
            cli_case.wait_until(lambda: process_is_gone(self.pid), "the daemon's end")

    def qmp(self, command, **arguments):
        text = json.dumps({key.replace("_", "-"): value for key, value in arguments.items()})
        return json.loads(self.succeed("qmp", "--socket", self.socket, command, text).stdout)

    def add_disk(self, name="disk", size=4 * MIB, writable=True, growable=True, mount_point=None):
        """A raw image, opened as the node `name` and mounted by the export `name`-export."""
        image = self.make_image(name + ".img", size)
        where = mount_point or self.path("mnt-" + name)
        os.makedirs(where, exist_ok=True)
        self.qmp("blockdev-add", driver="raw", node_name=name, read_only=not writable,
                 file={"driver": "file", "filename": image})
        self.qmp("block-export-add", type="fuse", id=name + "-export", node_name=name,
                 mountpoint=where, writable=writable, growable=growable and writable)
        return where

    def node(self, name):
        nodes = self.qmp("query-named-block-nodes", flat=True)
        return next((node for node in nodes if node["node-name"] == name), None)

    def export_node(self, name="disk"):
        """The node that the export shows now."""
        exports = self.qmp("query-block-exports")
        return next(each["node-name"] for each in exports if each["id"] == name + "-export")

    def here(self, command, *words):
        """A command for the daemon of this test."""
        return self.succeed(command, *words, "--socket", self.socket)

    def json(self, command, *words):
        return json.loads(self.here(command, *words, "--output=json").stdout)

    def refused(self, message, *words):
        return self.fail_with(FAILED, message, *words, "--socket", self.socket)

    def misused(self, message, *words):
        return self.fail_with(USAGE, message, *words)
