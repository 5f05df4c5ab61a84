#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`penstock qmp`, and a client of the control socket as scripts have one."""

import json
import os
import signal
import socket
import stat
import subprocess
import unittest

import cli_case
from cli_case import LONG

FAILED = 1
USAGE = 2


class QmpClient:
    """The field's way: read the greeting, negotiate, then commands with ids; events beside."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LONG)
        self.lines = self.socket.makefile("r", encoding="ascii", newline="\r\n")
        self.events = []
        self.count = 0
        try:
            self.socket.connect(path)
            self.greeting = self.read()
            self.command("qmp_capabilities")
        except (OSError, EOFError):
            self.close()
            raise

    def read(self):
        line = self.lines.readline()
        if not line:
            raise EOFError("the server has closed the connection")
        return json.loads(line)

    def answer(self, name, **arguments):
        self.count += 1
        request = {"execute": name, "id": f"request-{self.count}"}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): value
                                    for key, value in arguments.items()}
        self.socket.sendall(json.dumps(request).encode())
        while "event" in (message := self.read()):
            self.events.append(message)
        assert message["id"] == request["id"], message
        return message

    def command(self, name, **arguments):
        message = self.answer(name, **arguments)
        if "error" in message:
            raise AssertionError(message["error"])
        return message["return"]

    def close(self):
        self.lines.close()
        self.socket.close()


class QmpCase(cli_case.CliCase):
    def setUp(self):
        super().setUp()
        self.socket = self.path("control.sock")

    def environment(self):
        # A runtime directory of our own, so that no other server is found.
        return dict(super().environment(), XDG_RUNTIME_DIR=self.folder)

    def start_daemon(self):
        server = self.start_program("daemon", "--foreground", "--socket", self.socket)
        cli_case.wait_until(lambda: cli_case.accepts(self.socket) or server.poll() is not None,
                            "the control socket")
        self.assertIsNone(server.poll())
        return server

    def connect(self):
        client = QmpClient(self.socket)
        self.addCleanup(client.close)
        return client

    def qmp(self, *words):
        return json.loads(self.succeed("qmp", "--socket", self.socket, *words).stdout)


class CommandTest(QmpCase):
    def test_prints_what_the_command_returns(self):
        self.start_daemon()
        version = self.qmp("query-version")
        self.assertEqual(sorted(version), ["package", "qemu"])
        self.assertTrue(version["package"].startswith("penstock "))
        self.assertIn({"name": "quit"}, self.qmp("query-commands"))
        self.assertEqual(self.qmp("query-version", "{}"), version)
        by_path = self.succeed("qmp", self.socket, "query-version").stdout
        self.assertEqual(json.loads(by_path), version)

    def test_an_error_is_one_line_and_status_1(self):
        self.start_daemon()
        self.fail_with(FAILED, "penstock: The command nope has not been found\n",
                       "qmp", "--socket", self.socket, "nope")
        self.fail_with(FAILED, "Parameter 'x' is unexpected",
                       "qmp", "--socket", self.socket, "quit", '{"x": 1}')

    def test_without_a_server(self):
        self.fail_with(FAILED, "no server listens at", "qmp", "--socket", self.socket, "quit")
        # What else is said depends on whether other servers run.
        self.fail_with(FAILED, self.path("none"), "qmp", self.path("none"), "quit")
        self.fail_with(FAILED, "has no control socket", "qmp", str(os.getpid()), "quit")

    def test_wrong_usage(self):
        for words, message in [
                ([], "COMMAND"),
                (["quit", "{"], "a whole JSON object"),
                (["quit", "{} {}"], "one JSON object"),
                (["quit", "{'a': }"], "JSON parse error"),
                (["a", "b", "c"], "one word too many"),
                (["--socket", self.socket, "quit", "x"], "one word too many")]:
            with self.subTest(words):
                self.fail_with(USAGE, message, "qmp", *words)

    def test_quit_ends_the_server_and_its_socket(self):
        server = self.start_daemon()
        self.assertEqual(self.qmp("quit"), {})
        self.assertEqual(server.wait(LONG), 0)
        self.assertFalse(os.path.exists(self.socket))


class WireTest(QmpCase):
    def test_a_script_client(self):
        self.start_daemon()
        client = self.connect()
        self.assertIn("major", client.greeting["QMP"]["version"]["qemu"])
        self.assertEqual(client.greeting["QMP"]["capabilities"], [])
        names = {command["name"] for command in client.command("query-commands")}
        self.assertLessEqual({"qmp_capabilities", "query-version", "quit"}, names)
        self.assertEqual(client.answer("nope")["error"]["class"], "CommandNotFound")

    def test_several_clients_at_once(self):
        self.start_daemon()
        clients = [self.connect() for _ in range(20)]
        for client in clients:
            client.command("query-version")

    def test_quit_is_answered_and_the_others_are_disconnected(self):
        server = self.start_daemon()
        client = self.connect()
        other = self.connect()
        self.assertEqual(client.command("quit"), {})
        with self.assertRaises(EOFError):
            while True:
                client.read()
        with self.assertRaises(EOFError):
            while True:
                other.read()
        self.assertEqual(server.wait(LONG), 0)

    def test_the_socket_is_private_and_goes_at_a_signal(self):
        server = self.start_daemon()
        self.assertEqual(stat.S_IMODE(os.lstat(self.socket).st_mode), 0o600)
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(LONG), 0)
        self.assertFalse(os.path.exists(self.socket))

    def test_what_a_killed_server_left_is_replaced(self):
        server = self.start_daemon()
        server.send_signal(signal.SIGKILL)
        server.wait(LONG)
        self.assertTrue(os.path.exists(self.socket))
        server = self.start_program("daemon", "--foreground", "--socket", self.socket)
        cli_case.wait_until(self.somebody_listens, "the second server")
        self.connect().command("quit")
        self.assertEqual(server.wait(LONG), 0)

    def somebody_listens(self):
        try:
            self.connect()
            return True
        except (ConnectionRefusedError, ConnectionResetError, EOFError):
            return False  # not there yet, or what is left of the first one

    def test_a_living_servers_socket_is_left_alone(self):
        self.start_daemon()
        self.fail_with(FAILED, "another server listens at", "daemon", "--socket", self.socket)
        self.connect().command("query-version")

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
    def test_another_users_client_is_turned_away(self):
        server = self.start_daemon()
        os.chmod(self.socket, 0o666)
        script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
                  "sys.exit(len(s.recv(1)))")
        result = subprocess.run(["python3", "-c", script, self.socket], user=65534, group=65534,
                                extra_groups=[], timeout=LONG, check=False)
        self.assertEqual(result.returncode, 0, "the stranger was greeted")
        self.connect().command("quit")
        server.wait(LONG)
        self.assertIn("turned a control client away", server.stderr.read())


if __name__ == "__main__":
    cli_case.main()
