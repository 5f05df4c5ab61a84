#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`penstock daemon`: a server without an image, driven over its socket as a client sees it."""

import json
import os
import signal
import socket
import time
import unittest

import cli_case
from cli_case import LONG, MIB, process_is_gone, wait_until


class Client:
    """One connection, in command mode."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LONG)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rwb")
        self.events = []
        self.greeting = self.read()
        self.command("qmp_capabilities")

    def read(self):
        line = self.stream.readline()
        if not line:
            raise EOFError("the server has closed the connection")
        return json.loads(line)

    def answer(self, name, **arguments):
        message = {"execute": name}
        if arguments:
            message["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.stream.write(json.dumps(message).encode() + b"\n")
        self.stream.flush()
        while True:
            reply = self.read()
            if "event" not in reply:
                return reply
            self.events.append(reply)

    def command(self, name, **arguments):
        reply = self.answer(name, **arguments)
        if "error" in reply:
            raise AssertionError(f"{name}: {reply['error']}")
        return reply["return"]

    def wait_event(self, name):
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            reply = self.read()
            if "event" in reply:
                self.events.append(reply)

    def close(self):
        self.stream.close()
        self.socket.close()


class DaemonCase(cli_case.CliCase):
    def setUp(self):
        super().setUp()
        self.socket = self.path("p.sock")
        self.pid_file = self.path("pid")

    def start(self, *arguments):
        self.succeed("daemon", "--socket", self.socket, "--pid-file", self.pid_file, *arguments)
        pid = int(self.read_file(self.pid_file))
        self.addCleanup(self.end, pid)
        return pid

    @staticmethod
    def end(pid):
        if not process_is_gone(pid):
            os.kill(pid, signal.SIGKILL)

    def client(self):
        client = Client(self.socket)
        self.addCleanup(client.close)
        return client

    def export(self, client, image, writable=False, **more):
        client.command("blockdev-add", driver="file", node_name="n", filename=image,
                       read_only=not writable)
        client.command("block-export-add", type="fuse", id="e", node_name="n",
                       mountpoint=self.mount_point, writable=writable, **more)


class DaemonTest(DaemonCase):
    def test_a_whole_life_over_the_socket(self):
        pid = self.start()
        image = self.make_image()
        client = self.client()
        client.command("object-add", qom_type="iothread", id="io0")
        self.export(client, image, writable=True, iothread="io0")
        self.assertEqual(self.read_file(self.disk), self.read_file(image))
        with open(self.disk, "r+b", buffering=0) as disk:
            disk.write(b"written")
        self.assertEqual(self.listed()["pid"], pid)
        client.command("block-export-del", id="e")
        self.assertEqual(client.wait_event("BLOCK_EXPORT_DELETED")["data"], {"id": "e"})
        client.command("blockdev-del", node_name="n")
        client.command("object-del", id="io0")
        self.assertFalse(self.is_mounted())
        self.assertEqual(self.read_file(image)[:7], b"written")
        client.command("quit")
        wait_until(lambda: process_is_gone(pid), "the end after quit")
        self.assertFalse(os.path.exists(self.socket))
        self.assertFalse(os.path.exists(self.pid_file))

    def test_signals_end_it_with_everything_unmounted(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                pid = self.start()
                image = self.make_image()
                self.export(self.client(), image, writable=True)
                with open(self.disk, "r+b", buffering=0) as disk:
                    disk.write(b"last words")
                os.kill(pid, number)
                wait_until(lambda p=pid: process_is_gone(p), "the end after a signal")
                self.assertFalse(self.is_mounted())
                self.assertEqual(self.read_file(image)[:10], b"last words")
                self.assertFalse(os.path.exists(self.socket))

    def test_an_open_file_does_not_keep_it_from_ending(self):
        pid = self.start()
        self.export(self.client(), self.make_image())
        with open(self.disk, "rb"):
            start = time.monotonic()
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: process_is_gone(pid), "the end with a file open")
            self.assertLess(time.monotonic() - start, 30)
        self.assertFalse(self.is_mounted())

    def test_clients_hear_of_the_exports_end_before_they_are_disconnected(self):
        pid = self.start()
        client = self.client()
        self.export(client, self.make_image())
        os.kill(pid, signal.SIGTERM)
        client.wait_event("BLOCK_EXPORT_DELETED")
        with self.assertRaises(EOFError):
            client.read()
        wait_until(lambda: process_is_gone(pid), "the end")

    def test_umount_waits_for_the_export_and_the_daemon_lives_on(self):
        self.start()
        client = self.client()
        self.export(client, self.make_image(), writable=True)
        self.umount()
        client.wait_event("BLOCK_EXPORT_DELETED")
        self.assertEqual(client.command("query-block-exports"), [])
        client.command("blockdev-del", node_name="n")
        client.command("quit")

    def test_a_client_that_goes_leaves_its_exports(self):
        self.start()
        client = self.client()
        image = self.make_image(size=2 * MIB)
        self.export(client, image)
        client.close()
        self.assertEqual(self.read_file(self.disk), self.read_file(image))
        self.client().command("quit")

    def test_foreground_says_where_it_listens_and_ends_with_status_0(self):
        server = self.start_program("daemon", "--foreground", "--socket", self.socket)
        self.assertIn(self.socket, self.first_message(server))
        self.client().command("quit")
        self.assertEqual(server.wait(LONG), 0)

    def test_a_second_daemon_does_not_take_the_socket(self):
        self.start()
        self.fail_with(1, self.socket, "daemon", "--socket", self.socket)
        self.client().command("quit")

    def test_what_cannot_start_is_told(self):
        self.fail_with(1, "/no/such", "daemon", "--socket", "/no/such/place.sock")
        self.fail_with(1, "/no/such", "daemon", "--socket", self.socket, "--pid-file",
                       "/no/such/pid")
        self.assertFalse(os.path.exists(self.socket))
        self.fail_with(2, "engine", "daemon", "--engine", "steam")


if __name__ == "__main__":
    cli_case.main()
