#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The control socket of `penstock mount`: the image's server is a daemon like any other."""

import contextlib
import errno
import json
import os
import shutil
import stat
import subprocess
import unittest

import cli_case
from cli_case import LONG, MIB, process_is_gone, wait_until
from daemon_test import Client

FAILED = 1
USAGE = 2
LIMITS = {"iops-total": 1000 * 1000}  # no limit in practice, but the filter is there


class ControlCase(cli_case.CliCase):
    def serve(self, *arguments, size=4 * MIB):
        """Mounts a new image and answers (its path, what `penstock ls` says)."""
        image = self.make_image(size=size)
        self.mount(*arguments, image, self.mount_point)
        return image, self.listed()

    def serve_writable(self, *arguments, **options):
        return self.serve("-w", "-f", "raw", *arguments, **options)

    def client(self, socket=None):
        client = Client(socket or self.listed()["socket"])
        self.addCleanup(client.close)
        return client

    def qmp(self, *words):
        return json.loads(self.succeed("qmp", *words).stdout)

    def wait_for_end(self, state):
        wait_until(lambda: process_is_gone(state["pid"]), "the server's end")
        self.assertFalse(self.is_mounted())
        self.assertIsNone(self.listed())
        self.assertFalse(os.path.exists(state["socket"]))

    def write_to_disk(self, content):
        with open(self.disk, "r+b", buffering=0) as disk:
            disk.write(content)


class SocketTest(ControlCase):
    def test_it_is_private_and_listed(self):
        _, state = self.serve()
        socket = state["socket"]
        self.assertEqual(os.path.basename(socket), f"{state['pid']}.qmp")
        self.assertEqual(stat.S_IMODE(os.lstat(socket).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(socket)).st_mode), 0o700)
        self.umount()
        self.assertFalse(os.path.exists(socket))

    def test_the_mount_is_found_by_its_directory_its_image_and_its_pid(self):
        image, state = self.serve()
        for target in (self.mount_point, image, str(state["pid"]), state["socket"]):
            exports = self.qmp(target, "query-block-exports")
            self.assertEqual([export["id"] for export in exports], ["mount"], target)

    def test_at_a_place_of_the_users_choice(self):
        socket = self.path("here.sock")
        for arguments in (("--qmp", socket), ("-o", f"qmp={socket}")):
            with self.subTest(arguments):
                _, state = self.serve(*arguments)
                self.assertEqual(state["socket"], socket)
                for target in (self.mount_point, str(state["pid"])):
                    self.assertTrue(self.qmp(target, "query-version"))
                self.umount()
                self.assertFalse(os.path.exists(socket))

    def test_nowhere_if_the_user_wants_none(self):
        for arguments in (("--qmp", "none"), ("-o", "qmp=none")):
            with self.subTest(arguments):
                _, state = self.serve(*arguments)
                self.assertEqual(state["socket"], "")
                self.fail_with(FAILED, "takes no commands", "qmp", self.mount_point, "query-version")
                self.umount()

    def test_a_place_that_cannot_be_had_is_an_error_and_nothing_is_mounted(self):
        image = self.make_image()
        busy = self.path("busy.sock")
        other = self.path("other")
        os.mkdir(other)
        self.mount("--qmp", busy, image, other)
        for socket, named in ((busy, busy), ("/no/such/sock", "/no/such"), (image, image)):
            with self.subTest(socket):
                self.fail_with(FAILED, named, "mount", "--qmp", socket, image, self.mount_point)
                self.assertFalse(self.is_mounted())
        self.assertTrue(self.qmp(other, "query-version"))
        self.umount(other)
        self.fail_with(USAGE, "--qmp", "mount", "--qmp", "", image, self.mount_point)

    def test_a_failed_mount_leaves_no_socket(self):
        socket = self.path("here.sock")
        self.fail_with(FAILED, "no/such", "mount", "--qmp", socket, self.path("no/such"),
                       self.mount_point)
        self.assertFalse(os.path.exists(socket))

    def test_the_socket_of_a_killed_server_is_removed_by_the_next_one(self):
        image, state = self.serve()
        self.kill(state["pid"])
        self.assertTrue(os.path.exists(state["socket"]))
        self.mount(image, self.mount_point)
        self.assertFalse(os.path.exists(state["socket"]))
        self.assertTrue(self.client().command("query-version"))

    def test_a_given_socket_of_a_killed_server_is_replaced(self):
        socket = self.path("here.sock")
        image, state = self.serve("--qmp", socket)
        self.kill(state["pid"])
        self.mount("--qmp", socket, image, self.mount_point)
        self.assertTrue(self.client(socket).command("query-version"))


class QueryTest(ControlCase):
    def test_the_mount_is_an_export_of_the_node_disk(self):
        image, _ = self.serve()
        client = self.client()
        self.assertEqual(client.command("query-block-exports"),
                         [{"id": "mount", "type": "fuse", "node-name": "disk",
                           "shutting-down": False}])
        nodes = client.command("query-named-block-nodes")
        disk = next(node for node in nodes if node["node-name"] == "disk")
        self.assertEqual(disk["drv"], "raw")
        self.assertTrue(disk["ro"])
        self.assertIn(image, [node["file"] for node in nodes])
        self.assertIn("Node 'disk' cannot be closed",
                      client.answer("blockdev-del", node_name="disk")["error"]["desc"])

    def test_its_iothreads_are_there_and_in_use(self):
        self.serve("--iothreads", "2")
        client = self.client()
        self.assertEqual([thread["id"] for thread in client.command("query-iothreads")],
                         ["iothread0", "iothread1"])
        self.assertIn("export 'mount'",
                      client.answer("object-del", id="iothread0")["error"]["desc"])
        client.command("x-blockdev-set-iothread", node_name="disk", iothread="iothread1")
        self.umount()

    def test_other_iothreads_can_serve_it(self):
        image, _ = self.serve("--iothreads", "2")
        client = self.client()
        client.command("object-add", qom_type="iothread", id="mine")
        client.command("x-penstock-export-set-iothreads", id="mount", iothreads=["mine"])
        self.assertEqual(self.read_file(self.disk), self.read_file(image))
        self.assertEqual(self.listed()["iothreads"], 1)
        client.command("object-del", id="iothread0")
        client.command("object-del", id="iothread1")
        self.assertIn("export 'mount'", client.answer("object-del", id="mine")["error"]["desc"])
        self.umount()

    def test_its_requests_are_counted(self):
        image, _ = self.serve()
        self.assertEqual(self.read_file(self.disk), self.read_file(image))
        stats = self.client().command("query-blockstats")
        mount = next(entry for entry in stats if entry["device"] == "mount")
        self.assertGreaterEqual(mount["stats"]["rd_bytes"], 4 * MIB)

    def test_several_clients_are_served_and_hear_of_the_end(self):
        _, state = self.serve()
        clients = [self.client(), self.client()]
        for client in clients:
            client.command("query-version")
        self.umount()
        for client in clients:
            self.assertEqual(client.wait_event("BLOCK_EXPORT_DELETED")["data"], {"id": "mount"})
            with self.assertRaises(EOFError):
                while True:
                    client.read()
        self.wait_for_end(state)


class ChangeTest(ControlCase):
    def test_a_resize_is_seen_in_the_mount(self):
        image, _ = self.serve_writable()
        client = self.client()
        for size in (6 * MIB, 3 * MIB):
            client.command("block_resize", node_name="disk", size=size)
            self.assertEqual(os.path.getsize(image), size)
            wait_until(lambda s=size: os.path.getsize(self.disk) == s, "the new size")
        self.write_to_disk(b"x" * 3 * MIB)
        self.umount()
        self.assertEqual(self.read_file(image), b"x" * 3 * MIB)

    def test_a_resize_of_a_growable_mount(self):
        image, _ = self.serve_writable("--growable")
        self.client().command("block_resize", node_name="disk", size=MIB)
        wait_until(lambda: os.path.getsize(self.disk) == MIB, "the new size")
        os.truncate(self.disk, 2 * MIB)
        self.umount()
        self.assertEqual(os.path.getsize(image), 2 * MIB)

    def test_a_read_only_mount_is_not_resized(self):
        image, _ = self.serve()
        reply = self.client().answer("block_resize", node_name="disk", size=MIB)
        self.assertIn("read-only", reply["error"]["desc"])
        self.assertEqual(os.path.getsize(image), 4 * MIB)

    def test_other_processes_may_still_not_change_the_image(self):
        image, _ = self.serve_writable()
        other = self.path("other")
        os.mkdir(other)
        self.fail_with(FAILED, "write", "mount", "-w", "-f", "raw", image, other)
        socket = self.path("d.sock")
        self.start_daemon(socket)
        client = self.client(socket)
        client.command("blockdev-add", driver="file", node_name="n", filename=image)
        reply = client.answer("block_resize", node_name="n", size=MIB)
        self.assertIn("resize", reply["error"]["desc"])
        self.assertEqual(os.path.getsize(image), 4 * MIB)

    def start_daemon(self, socket):
        server = self.start_program("daemon", "--foreground", "--socket", socket)
        wait_until(lambda: cli_case.accepts(socket) or server.poll() is not None, "the daemon")

    @unittest.skipUnless(shutil.which("fio"), "fio is not installed")
    def test_filters_come_and_go_under_load(self):
        image, _ = self.serve_writable("--iothreads", "2", size=16 * MIB)
        client = self.client()
        client.command("object-add", qom_type="throttle-group", id="g", limits=LIMITS)
        writer = subprocess.Popen(
            ["fio", "--name=verify", "--verify_state_save=0",
             f"--filename={self.disk}", "--rw=randwrite", "--bs=4k",
             "--size=8M", "--offset_increment=8M", "--numjobs=2", "--ioengine=libaio",
             "--iodepth=8", "--direct=1", "--verify=crc32c", "--verify_fatal=1", "--loops=2",
             "--allow_file_create=0", "--end_fsync=1", "--output-format=terse"],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self.end_process, writer)
        rounds = 0
        while writer.poll() is None or rounds < 3:
            client.command("x-penstock-insert-filter", node_name="disk",
                           filter={"driver": "throttle", "throttle-group": "g", "node-name": "f"})
            self.assertEqual(client.command("query-block-exports")[0]["node-name"], "f")
            client.command("x-penstock-remove-filter", node_name="f")
            rounds += 1
        self.assertEqual(writer.wait(LONG), 0, writer.stdout.read())
        self.assertEqual(client.command("query-block-exports")[0]["node-name"], "disk")
        served = self.read_file(self.disk)
        self.umount()
        self.assertEqual(self.read_file(image), served)

    def test_a_resize_below_a_filter(self):
        _, state = self.serve_writable()
        client = self.client()
        client.command("object-add", qom_type="throttle-group", id="g", limits=LIMITS)
        client.command("x-penstock-insert-filter", node_name="disk",
                       filter={"driver": "throttle", "throttle-group": "g"})
        client.command("block_resize", node_name="disk", size=5 * MIB)
        wait_until(lambda: os.path.getsize(self.disk) == 5 * MIB, "the new size")
        # The filter goes with the mount.
        self.umount()
        self.wait_for_end(state)


class EndTest(ControlCase):
    def test_quit(self):
        image, state = self.serve_writable()
        self.write_to_disk(b"last words")
        client = self.client()
        self.assertEqual(client.command("quit"), {})
        client.wait_event("BLOCK_EXPORT_DELETED")
        self.wait_for_end(state)
        self.assertEqual(self.read_file(image)[:10], b"last words")

    def test_each_end_says_its_cause(self):
        for commands, cause in [
                ([("quit", {})], "the command 'quit'"),
                ([("block-export-del", {"id": "mount"})], "the removal of its export"),
                ([("block-export-del", {"id": "mount", "mode": "hard"})],
                 "the removal of its export")]:
            with self.subTest(commands):
                image = self.make_image()
                server = self.start_program("mount", "--foreground", image, self.mount_point)
                self.assertIn("is mounted at", self.first_message(server))
                client = self.client()
                for name, arguments in commands:
                    client.command(name, **arguments)
                _, messages = server.communicate(timeout=LONG)
                self.assertEqual(server.returncode, 0, messages)
                self.assertIn(f"closed '{image}' after {cause}", messages)

    def test_a_safe_removal_is_refused_while_the_disk_is_open(self):
        image, state = self.serve_writable()
        client = self.client()
        with open(self.disk, "r+b", buffering=0) as disk:
            reply = client.answer("block-export-del", id="mount")
            self.assertIn(f"PID {os.getpid()}", reply["error"]["desc"])
            disk.write(b"it still works")
            self.assertEqual(len(client.command("query-block-exports")), 1)
        client.command("block-export-del", id="mount")
        self.wait_for_end(state)
        self.assertEqual(self.read_file(image)[:14], b"it still works")

    def test_a_hard_removal_takes_the_disk_away(self):
        image, state = self.serve_writable()
        disk = os.open(self.disk, os.O_RDWR)
        try:
            os.pwrite(disk, b"kept", 0)
            self.client().command("block-export-del", id="mount", mode="hard")
            self.wait_for_end(state)
            with self.assertRaises(OSError) as raised:
                os.pread(disk, 4, 0)
            self.assertEqual(raised.exception.errno, errno.ENOTCONN)
        finally:
            with contextlib.suppress(OSError):
                os.close(disk)
        self.assertEqual(self.read_file(image)[:4], b"kept")

    def test_a_failed_flush_is_told_to_who_removes_it_and_to_who_watches(self):
        image = self.make_image()
        server = self.start_program("mount", "--foreground", "-w", "-f", "raw", "--fault",
                                    "flush_to_disk:always:errno=EIO", image, self.mount_point)
        self.assertIn("is mounted at", self.first_message(server))
        client = self.client()
        self.write_unflushed()
        self.assertIn("Input/output error",
                      client.answer("block-export-del", id="mount")["error"]["desc"])
        _, messages = server.communicate(timeout=LONG)
        self.assertEqual(server.returncode, FAILED, messages)
        self.assertEqual(messages.count("Input/output error"), 1, messages)

    def write_unflushed(self):
        disk = os.open(self.disk, os.O_WRONLY)
        os.write(disk, b"x")
        with contextlib.suppress(OSError):
            os.close(disk)  # may report the failure already

    def test_what_commands_added_ends_with_the_mount(self):
        _, state = self.serve()
        second = self.make_image("second.img")
        other = self.path("other")
        os.mkdir(other)
        client = self.client()
        client.command("object-add", qom_type="iothread", id="io9")
        client.command("blockdev-add", driver="file", node_name="n", filename=second,
                       read_only=False)
        client.command("block-export-add", type="fuse", id="e", node_name="n", mountpoint=other,
                       writable=True, iothread="io9")
        self.assertEqual(self.listed(other)["socket"], state["socket"])
        with open(os.path.join(other, "disk"), "r+b", buffering=0) as disk:
            disk.write(b"also kept")
        self.umount()
        self.wait_for_end(state)
        self.assertFalse(self.is_mounted(other))
        self.assertEqual(self.read_file(second)[:9], b"also kept")

    def test_a_second_export_of_the_image_may_be_read(self):
        image, state = self.serve_writable()
        other = self.path("other")
        os.mkdir(other)
        client = self.client()
        client.command("block-export-add", type="fuse", id="e", node_name="disk",
                       mountpoint=other)
        self.write_to_disk(b"seen by both")
        self.assertEqual(self.read_file(os.path.join(other, "disk"))[:12], b"seen by both")
        client.command("quit")
        self.wait_for_end(state)
        self.assertFalse(self.is_mounted(other))
        self.assertEqual(self.read_file(image)[:12], b"seen by both")


if __name__ == "__main__":
    cli_case.main()
