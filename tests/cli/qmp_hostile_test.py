#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A daemon among hostile clients: whatever they do, it serves its files and its other clients, and
has no more descriptors and little more memory afterwards."""

import concurrent.futures
import contextlib
import json
import os
import random
import signal
import socket
import threading
import time

import cli_case
from cli_case import LONG, MIB, wait_until

CLIENT_LIMIT = 64
# What remains of freed memory in the allocator. Sanitizers keep freed memory on purpose.
MEMORY_KEPT = 24 * MIB


def is_sanitized():
    with open(cli_case.PROGRAM, "rb") as program:
        text = program.read()
    return b"__asan_init" in text or b"__tsan_init" in text


SANITIZED = is_sanitized()


class Peer:
    """A client that sees every byte."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LONG)
        self.socket.connect(path)
        self.received = b""

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        """The next message, or None at the end."""
        while b"\r\n" not in self.received:
            data = self.socket.recv(65536)
            if not data:
                return None
            self.received += data
        line, self.received = self.received.split(b"\r\n", 1)
        return json.loads(line)

    def command(self, name, **arguments):
        self.send(json.dumps({"execute": name, "id": name, "arguments": arguments}).encode())
        while (message := self.read()).get("id") != name:
            pass
        return message["return"]

    def negotiate(self):
        self.read()
        self.command("qmp_capabilities")
        return self

    def close(self):
        self.socket.close()


class HostileCase(cli_case.CliCase):
    def setUp(self):
        super().setUp()
        self.peers = []
        self.socket = self.path("control.sock")
        self.image = self.make_image(size=4 * MIB)
        self.server = self.start_program("daemon", "--foreground", "--socket", self.socket)
        wait_until(lambda: cli_case.accepts(self.socket), "the control socket")
        self.client = Peer(self.socket).negotiate()
        self.addCleanup(self.client.close)
        self.client.command("blockdev-add", driver="file", filename=self.image,
                            **{"node-name": "n", "read-only": True})
        self.client.command("block-export-add", type="fuse", id="e", mountpoint=self.mount_point,
                            **{"node-name": "n"})
        self.warm_up()
        self.descriptors = self.open_descriptors()
        self.memory = self.resident()

    def tearDown(self):
        for peer in self.peers:
            peer.close()
        self.assert_unharmed()
        self.client.command("quit")
        self.assertEqual(self.server.wait(LONG), 0)
        super().tearDown()

    def peer(self):
        peer = Peer(self.socket)
        self.addCleanup(peer.close)
        self.peers.append(peer)
        return peer

    def warm_up(self):
        """Everything that a first time costs."""
        with contextlib.closing(self.peer()) as peer:
            peer.send(b"garbage\n" * 1000)
            for _ in range(1001):
                peer.read()
        self.read_file(self.disk)

    def open_descriptors(self):
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))

    def resident(self):
        with open(f"/proc/{self.server.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status
                        if line.startswith("VmRSS:"))

    def assert_unharmed(self):
        self.assertEqual(self.client.command("query-block-exports")[0]["id"], "e")
        self.assertEqual(self.read_file(self.disk), self.read_file(self.image))
        wait_until(lambda: self.open_descriptors() <= self.descriptors,
                   f"{self.descriptors} descriptors, there are {self.open_descriptors()}")
        if not SANITIZED:
            self.assertLess(self.resident(), self.memory + MEMORY_KEPT)

    def answers_within(self, limit):
        start = time.monotonic()
        self.client.command("query-version")
        self.assertLess(time.monotonic() - start, limit)


class HostileTest(HostileCase):
    def test_a_line_of_64_mib(self):
        peer = self.peer().negotiate()
        peer.send(b'{"execute": "')
        highest = 0
        for _ in range(64):
            peer.send(b"x" * MIB)
            highest = max(highest, self.resident())
        if not SANITIZED:
            self.assertLess(highest, self.memory + MEMORY_KEPT)
        peer.send(b'"}\n')
        self.assertIn("error", peer.read())
        self.assertIn("qemu", peer.command("query-version"))

    def test_deep_nesting(self):
        for opening in (b"[", b'{"a":'):
            peer = self.peer().negotiate()
            peer.send(opening * 1000000 + b"\n")
            self.assertIn("error", peer.read())
            # The rest of the message is skipped; this byte ends it.
            peer.send(b"\xff")
            self.assertIn("qemu", peer.command("query-version"))
            peer.close()

    def test_random_bytes_while_the_file_is_read(self):
        content = self.read_file(self.image)
        ended = threading.Event()

        def throw(seed):
            generator = random.Random(seed)
            while not ended.is_set():
                with contextlib.closing(Peer(self.socket)) as peer:
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        peer.send(generator.randbytes(generator.randrange(1, 100000)))
                        peer.send(b'\xff{"execute": "qmp_capabilities"}{"execute":')

        with concurrent.futures.ThreadPoolExecutor() as pool:
            attackers = [pool.submit(throw, seed) for seed in range(4)]
            try:
                for _ in range(20):
                    self.assertEqual(self.read_file(self.disk), content)
            finally:
                ended.set()
            for attacker in attackers:
                attacker.result(LONG)

    def test_half_messages_hold_up_nobody(self):
        for text in (b'{"execute": "query-version"', b'{"', b"[[[", b'{"execute": "\\',
                     b'{"execute": "quit"', b"\x00", b"'", b'{"execute": "query-block-exports"} {'):
            self.peer().send(text)
        self.answers_within(10)
        self.assertIsNone(self.server.poll())
        for number in range(40):
            self.peer().send(b'{"id": "' + b"y" * 10000 * number)
        self.answers_within(10)

    def test_a_thousand_clients_come_and_go(self):
        endings = (b"", b'{"execute": "qmp_cap', b'{"execute": "qmp_capabilities"}' * 20,
                   b'{"execute": "qmp_capabilities"}{"execute": "query-named-block-nodes"}')

        def come_and_go(number):
            ending = endings[number % len(endings)]
            with contextlib.closing(Peer(self.socket)) as peer:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    if number % 3 == 0:
                        peer.read()
                    peer.send(ending)
                    if number % 5 == 0 and ending.endswith(b"}"):
                        peer.read()

        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            for future in [pool.submit(come_and_go, number) for number in range(1000)]:
                future.result(LONG)

    def test_clients_that_never_read(self):
        deaf = [self.peer() for _ in range(8)]
        for peer in deaf:
            peer.send(b'{"execute": "qmp_capabilities"}')
            peer.socket.setblocking(False)
            # Until the daemon takes no more of it.
            last = time.monotonic()
            while time.monotonic() - last < 0.5:
                with contextlib.suppress(BlockingIOError):
                    peer.socket.send(b'{"execute": "query-commands"}' * 100)
                    last = time.monotonic()
        second = self.path("second")
        os.mkdir(second)
        for _ in range(50):
            self.client.command("block-export-add", type="fuse", id="x", mountpoint=second,
                                **{"node-name": "n"})
            self.client.command("block-export-del", id="x")
        self.answers_within(10)
        if not SANITIZED:
            # A queue of 1 MiB each, and what is on its way.
            self.assertLess(self.resident(), self.memory + MEMORY_KEPT + 8 * 2 * MIB)
        for peer in deaf:
            peer.close()

    def test_as_many_clients_as_may_be(self):
        peers = [self.peer().negotiate() for _ in range(CLIENT_LIMIT - 1)]

        def ask(peer):
            for _ in range(20):
                peer.command("query-named-block-nodes")

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for future in [pool.submit(ask, peer) for peer in peers]:
                future.result(LONG)
        self.assertIn(f"{CLIENT_LIMIT} clients", self.peer().read()["error"]["desc"])
        for peer in peers:
            peer.close()


class EndTest(HostileCase):
    def tearDown(self):
        cli_case.CliCase.tearDown(self)  # the daemon has ended in the test

    def test_it_ends_among_them(self):
        self.peer().send(b'{"execute": "qmp_capabilities"}' +
                         b'{"execute": "query-commands"}' * 1000)
        for _ in range(20):
            self.peer().send(b'{"execute": "qu')
        start = time.monotonic()
        self.server.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.wait(LONG), 0)
        self.assertLess(time.monotonic() - start, 30)
        self.assertFalse(self.is_mounted())


if __name__ == "__main__":
    cli_case.main()
