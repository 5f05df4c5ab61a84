#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`penstock storage-daemon`: the same command lines for it and, where it is there, for
qemu-storage-daemon. What both classes promise is in SameForBoth."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import unittest

import cli_case
from cli_case import LONG, MIB, PROGRAM, process_is_gone, wait_until

QEMU = os.environ.get("QEMU_STORAGE_DAEMON") or shutil.which("qemu-storage-daemon")


class Client:
    """A QMP client over a connection that is there."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(LONG)
        self.lines = self.socket.makefile("r", encoding="ascii")
        self.events = []
        self.greeting = self.read()
        self.command("qmp_capabilities")

    def read(self):
        line = self.lines.readline()
        if not line:
            raise EOFError("the server has closed the connection")
        return json.loads(line)

    def answer(self, name, **arguments):
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while "event" in (message := self.read()):
            self.events.append(message["event"])
        return message

    def command(self, name, **arguments):
        message = self.answer(name, **arguments)
        if "error" in message:
            raise AssertionError(message["error"])
        return message["return"]

    def wait_event(self, name):
        while name not in self.events:
            message = self.read()
            if "event" in message:
                self.events.append(message["event"])

    def close(self):
        self.lines.close()
        self.socket.close()


class StorageDaemonCase(cli_case.CliCase):
    def setUp(self):
        super().setUp()
        self.pid_file = self.path("pid")
        self.qmp = self.path("qmp.sock")
        self.image = self.make_image(content=os.urandom(MIB))
        self.target = self.make_image("target", size=0)

    def environment(self):
        # A runtime directory of our own, so that no other server is found.
        return dict(super().environment(), XDG_RUNTIME_DIR=self.folder)

    def start(self, *arguments, **options):
        """Runs it in the foreground; returns when everything stands."""
        server = subprocess.Popen(self.command(*arguments, "--pidfile", self.pid_file),
                                  env=self.environment(), text=True, stdin=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, cwd=self.folder, **options)
        self.addCleanup(self.end_process, server)
        wait_until(lambda: self.is_ready() or server.poll() is not None, "the pid file")
        if server.poll() is not None:
            self.fail(f"ended with {server.returncode}: {server.stderr.read()}")
        return server

    def is_ready(self):
        return os.path.exists(self.pid_file) and self.read_file(self.pid_file).endswith(b"\n")

    def end(self, server, number=signal.SIGTERM):
        server.send_signal(number)
        self.assertEqual(server.wait(LONG), 0, server.stderr.read())
        self.assertFalse(self.is_mounted(self.target))
        self.assertFalse(os.path.exists(self.pid_file))

    def remove_socket(self):
        """QEMU leaves it behind."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.qmp)

    def file_node(self, name="disk", image=None, read_only="off"):
        return ["--blockdev", f"driver=file,node-name={name},filename={image or self.image},"
                              f"read-only={read_only}"]

    def export(self, name="disk", target=None, more="writable=on"):
        return ["--export", f"type=fuse,id=e-{name},node-name={name},"
                            f"mountpoint={target or self.target},{more}"]

    def monitor(self, more="server=on,wait=off"):
        return ["--chardev", f"socket,id=c,path={self.qmp},{more}", "--monitor", "chardev=c"]

    def connect(self, path=None):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(LONG)
        connection.connect(path or self.qmp)
        client = Client(connection)
        self.addCleanup(client.close)
        return client

    def listen(self):
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(self.path("peer.sock"))
        listener.listen()
        listener.settimeout(LONG)
        return listener

    def accept(self, listener):
        client = Client(listener.accept()[0])
        self.addCleanup(client.close)
        return client

    def write_disk(self, content, target=None, offset=0):
        with open(target or self.target, "r+b", buffering=0) as disk:
            disk.seek(offset)
            self.assertEqual(disk.write(content), len(content))
            os.fsync(disk.fileno())

    def refused(self, words, *arguments):
        """Ends with status 1, says these words, and leaves nothing."""
        result = self.run_program(*arguments, "--pidfile", self.pid_file, cwd=self.folder)
        self.assertEqual(result.returncode, 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertFalse(os.path.exists(self.pid_file))
        self.assertFalse(self.is_mounted(self.target))
        return result.stderr


class SameForBoth:
    def test_a_file_is_shown_over_a_file(self):
        server = self.start(*self.file_node(), *self.export())
        self.assertEqual(self.read_file(self.target), self.read_file(self.image))
        self.write_disk(b"written", offset=4096)
        self.assertEqual(self.read_file(self.image)[4096:4103], b"written")
        self.end(server)
        self.assertEqual(os.path.getsize(self.target), 0)

    def test_an_image_is_shown_over_itself(self):
        content = self.read_file(self.image)
        server = self.start(*self.file_node(), *self.export(target=self.image, more="writable=off"))
        self.assertTrue(self.is_mounted(self.image))
        self.assertEqual(self.read_file(self.image), content)
        self.end(server)
        self.assertFalse(self.is_mounted(self.image))

    def test_relative_names_dotted_keys_and_doubled_commas(self):
        os.rename(self.image, self.path("a,b.img"))
        server = self.start("--blockdev", "raw,node-name=disk,file.driver=file,"
                            "file.filename=a,,b.img,read-only=on,file.locking=off",
                            "--export", "fuse,id=e,node-name=disk,mountpoint=target")
        self.assertEqual(self.read_file(self.target), self.read_file(self.path("a,b.img")))
        self.end(server)

    def test_json_arguments(self):
        server = self.start(
            "--object", json.dumps({"qom-type": "iothread", "id": "t0"}),
            "--blockdev", json.dumps({"driver": "raw", "node-name": "disk", "file": {
                "driver": "file", "filename": self.image}}),
            "--export", json.dumps({"type": "fuse", "id": "e", "node-name": "disk",
                                    "mountpoint": self.target, "writable": True,
                                    "iothread": "t0"}))
        self.write_disk(b"json")
        self.end(server)
        self.assertEqual(self.read_file(self.image)[:4], b"json")

    def test_two_exports_with_a_thread_each(self):
        second, target = self.make_image("second.img"), self.make_image("target2", size=0)
        server = self.start("--object", "iothread,id=t0", "--object", "iothread,id=t1",
                            *self.file_node("a"), *self.file_node("b", second),
                            *self.export("a", more="writable=on,iothread=t0"),
                            *self.export("b", target, more="writable=on,iothread=t1"))
        self.write_disk(b"one")
        self.write_disk(b"two", target)
        self.end(server)
        self.assertFalse(self.is_mounted(target))
        self.assertEqual(self.read_file(self.image)[:3], b"one")
        self.assertEqual(self.read_file(second)[:3], b"two")

    def test_throttled_by_a_group(self):
        server = self.start("--object", "throttle-group,id=g,limits.iops-total=1000",
                            *self.file_node("below"),
                            "--blockdev", "throttle,node-name=disk,throttle-group=g,file=below",
                            *self.export())
        self.assertEqual(self.read_file(self.target), self.read_file(self.image))
        self.end(server)

    def test_a_monitor_that_listens(self):
        server = self.start(*self.file_node(), *self.monitor())
        client = self.connect()
        self.assertIn("QMP", client.greeting)
        client.command("block-export-add", type="fuse", id="e", node_name="disk",
                       mountpoint=self.target, writable=True)
        self.assertEqual([(export["id"], export["node-name"])
                          for export in client.command("query-block-exports")], [("e", "disk")])
        self.write_disk(b"by monitor")
        client.command("block-export-del", id="e")
        client.wait_event("BLOCK_EXPORT_DELETED")
        client.command("quit")
        self.assertEqual(server.wait(LONG), 0)
        self.assertFalse(os.path.exists(self.pid_file))
        self.assertFalse(os.path.exists(self.qmp))
        self.assertEqual(self.read_file(self.image)[:10], b"by monitor")

    def test_the_older_switches_of_a_chardev(self):
        server = self.start("--chardev", f"socket,path={self.qmp},server,nowait,id=c",
                            "--monitor", "c")
        self.connect().command("query-version")
        self.end(server)

    def test_a_monitor_that_connects(self):
        listener = self.listen()
        server = self.start(*self.file_node(), "--chardev",
                            f"socket,id=c,path={self.path('peer.sock')}", "--monitor", "c")
        client = self.accept(listener)
        self.assertEqual(len(client.command("query-named-block-nodes")), 1)
        client.command("quit")
        self.assertEqual(server.wait(LONG), 0)

    def test_the_other_end_of_a_connection_may_go(self):
        listener = self.listen()
        server = self.start("--chardev", f"socket,id=c,path={self.path('peer.sock')}",
                            "--monitor", "c", *self.file_node(), *self.export())
        self.accept(listener).close()
        self.assertEqual(self.read_file(self.target), self.read_file(self.image))
        self.end(server)

    def test_descriptors_that_were_passed(self):
        listener = self.listen()
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        server = self.start("--chardev", f"socket,id=a,fd={listener.fileno()},server=on,wait=off",
                            "--monitor", "a",
                            "--chardev", f"socket,id=b,fd={theirs.fileno()}", "--monitor", "b",
                            pass_fds=[listener.fileno(), theirs.fileno()])
        one = Client(ours)
        self.addCleanup(one.close)
        one.command("query-version")
        self.connect(self.path("peer.sock")).command("query-version")
        one.command("quit")
        self.assertEqual(server.wait(LONG), 0)

    def test_standard_streams_are_a_monitor(self):
        server = subprocess.Popen(self.command("--chardev", "stdio,id=c", "--monitor", "c"),
                                  env=self.environment(), text=True, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end_process, server)
        output, errors = server.communicate('{"execute": "qmp_capabilities"}\n'
                                            '{"execute": "query-version", "id": 1}\n'
                                            '{"execute": "quit", "id": 2}\n', timeout=LONG)
        self.assertEqual(server.returncode, 0, errors)
        messages = [json.loads(line) for line in output.splitlines()]
        self.assertIn("QMP", messages[0])
        self.assertEqual([message["id"] for message in messages if "id" in message], [1, 2])

    def test_pretty_messages(self):
        server = subprocess.Popen(self.command("--chardev", "stdio,id=c",
                                               "--monitor", "c,pretty=on"),
                                  env=self.environment(), text=True, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end_process, server)
        self.assertEqual(server.stdout.readline().strip(), "{")
        self.assertEqual(server.stdout.readline(), '    "QMP": {\n')
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(LONG), 0)

    def test_daemonize_returns_when_everything_stands(self):
        self.succeed("--daemonize", *self.file_node(), *self.export(), *self.monitor(),
                     "--pidfile", self.pid_file)
        # Now, and not a moment later.
        pid = int(self.read_file(self.pid_file))
        self.assertEqual(self.read_file(self.target), self.read_file(self.image))
        for number in (0, 1, 2):
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/{number}"), "/dev/null")
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.connect().command("query-version")
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: process_is_gone(pid), "the end")
        self.assertFalse(self.is_mounted(self.target))
        self.assertFalse(os.path.exists(self.pid_file))

    def test_daemonize_tells_of_failure(self):
        self.refused(["--export"], "--daemonize", *self.export())

    def test_a_second_server_with_the_pid_file_is_refused(self):
        server = self.start()
        result = self.run_program("--pidfile", self.pid_file)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(int(self.read_file(self.pid_file)), server.pid)
        self.end(server)

    def test_a_pid_file_that_was_left_behind_is_replaced(self):
        with open(self.pid_file, "w", encoding="ascii") as left:
            left.write("99999999 and more\n")
        server = self.start()
        wait_until(lambda: self.read_file(self.pid_file) == b"%d\n" % server.pid, "the new PID")
        self.end(server)

    def test_signals_end_it(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number):
                server = self.start(*self.file_node(), *self.export())
                self.write_disk(b"last words %d" % number)
                self.end(server, number)
                self.assertIn(b"last words %d" % number, self.read_file(self.image))

    def test_a_server_that_waits_for_its_client(self):
        server = subprocess.Popen(
            self.command(*self.monitor("server=on"), *self.file_node(), *self.export(),
                         "--pidfile", self.pid_file),
            env=self.environment(), text=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(self.end_process, server)
        wait_until(lambda: os.path.exists(self.qmp), "the socket")
        self.assertFalse(self.is_mounted(self.target))
        client = self.connect()
        wait_until(self.is_ready, "the pid file")
        self.assertTrue(self.is_mounted(self.target))
        client.command("quit")
        self.assertEqual(server.wait(LONG), 0)

    def test_options_have_an_order(self):
        self.refused(["--export", "node-name='disk'"], *self.export(), *self.file_node())
        self.refused(["--monitor", "not found"], "--monitor", "c", "--chardev",
                     f"socket,id=c,path={self.qmp},server=on,wait=off")
        self.refused(["--export", "t0"], *self.file_node(),
                     *self.export(more="iothread=t0"), "--object", "iothread,id=t0")

    def test_wrong_options_are_named(self):
        node = ",".join(self.file_node()[1:])
        for words, arguments in [
                (["--blockdev", "nope"], ["--blockdev", "driver=nope,node-name=x"]),
                (["No such file"], ["--blockdev", "file,node-name=x,filename=/no/such"]),
                (["Parameter 'read-only' expects 'on' or 'off'"],
                 ["--blockdev", "file,node-name=x,filename=a,read-only=maybe"]),
                (["bogus"], ["--blockdev", f"{node},bogus=1"]),
                (["Expected '=' after parameter 'filename'"],
                 ["--blockdev", "file,node-name=x,filename"]),
                (["Invalid parameter 'file name'"], ["--blockdev", "file,file name=3"]),
                (["JSON parse error"], ["--blockdev", '{"driver":']),
                (["Parameter 'a.1' missing"], ["--blockdev", "file,a.0=1,a.2=3"]),
                (["Parameters 'a.*' used inconsistently"], ["--blockdev", "file,a=1,a.b=3"]),
                (["'node-name' must be specified for the root node"],
                 ["--blockdev", f"file,filename={self.image}"]),
                (["Parameter 'mountpoint' is missing"],
                 ["--export", "fuse,id=e,node-name=disk"]),
                (["'type'", "bogus"], ["--export", "bogus,id=e,node-name=disk"]),
                (["Parameter 'id' is missing"], ["--object", "iothread"]),
                (["Parameter 'id' expects an identifier"], ["--object", "iothread,id=1x"]),
                (["'qom-type'", "bogus"], ["--object", "bogus,id=x"]),
                (["--object iothread,id=t"], ["--object", "iothread,id=t"] * 2),
                (["Parameter 'poll-max-ns' expects integer"],
                 ["--object", "iothread,id=t,poll-max-ns=many"]),
                (["/no/such/x"],
                 ["--chardev", "socket,id=c,path=/no/such/x,server=on,wait=off"]),
                (["/no/such/x"], ["--chardev", "socket,id=c,path=/no/such/x"]),
                (["'bogus' is not a valid char driver name"], ["--chardev", "bogus,id=c"]),
                (["no id specified"], ["--chardev", "stdio"]),
                (["Invalid parameter 'zorch'"],
                 ["--chardev", "socket,id=c,path=x,server=on,wait=off,zorch=2"]),
                (["--chardev", "cannot use stdio with"],
                 ["--daemonize", "--chardev", "stdio,id=c"]),
                (["in use"], [*self.monitor(), "--monitor", "c"]),
                (["stray: Unexpected argument"], ["stray"]),
                (["'--bogus'"], ["--bogus"]),
                (["'--blockdev' requires an argument"], ["--blockdev"])]:
            with self.subTest(arguments):
                result = self.run_program(*arguments, cwd=self.folder)
                self.assertEqual(result.returncode, 1, result.stderr)
                for word in words:
                    self.assertIn(word, result.stderr)
                self.remove_socket()

    def test_options_may_be_cut_short(self):
        server = self.start("--blockd", f"file,node-name=disk,filename={self.image}",
                            "--exp", f"fuse,id=e,node-name=disk,mountpoint={self.target}")
        self.assertTrue(self.is_mounted(self.target))
        self.end(server)

    def test_help_and_version(self):
        for option in ("--help", "-h"):
            self.assertIn("--blockdev", self.succeed(option).stdout)
        for option in ("--version", "-V"):
            self.assertIn("version", self.succeed(option).stdout)


class PenstockTest(SameForBoth, StorageDaemonCase):
    def command(self, *arguments):
        return [PROGRAM, "storage-daemon", *arguments]

    def test_a_directory_and_a_list_of_threads(self):
        server = self.start("--object", "iothread,id=t0,poll-max-ns=0",
                            "--object", "iothread,id=t1", *self.file_node(),
                            *self.export(target=self.mount_point,
                                         more="iothread.0=t0,iothread.1=t1"),
                            *self.monitor())
        self.assertEqual(self.read_file(self.disk), self.read_file(self.image))
        self.assertEqual([(thread["id"], thread["poll-max-ns"] == 0)
                          for thread in self.connect().command("query-iothreads")],
                         [("t0", True), ("t1", False)])
        self.end(server)
        self.assertFalse(self.is_mounted())

    def test_a_failure_takes_back_what_others_made(self):
        before = self.read_file(self.image)
        self.refused(["--blockdev", "/no/such"], "--object", "iothread,id=t0", *self.file_node(),
                     *self.export(more="writable=on,iothread=t0"), *self.monitor(),
                     "--blockdev", "file,node-name=x,filename=/no/such")
        self.assertEqual(self.read_file(self.image), before)
        self.assertFalse(os.path.exists(self.qmp))

    def test_other_servers_are_refused_in_so_many_words(self):
        node = self.file_node()
        self.refused(["--nbd-server", "qemu-storage-daemon"], "--nbd-server",
                     "addr.type=unix,addr.path=nbd.sock")
        for kind in ("nbd", "vhost-user-blk", "vduse-blk"):
            self.refused([f"'{kind}'", "qemu-storage-daemon"], *node, "--export",
                         f"{kind},id=e,node-name=disk")
        self.refused(["'host'", "Unix socket"], "--chardev",
                     "socket,id=c,host=localhost,port=1,server=on,wait=off")
        self.refused(["'readline'"], "--chardev", f"socket,id=c,path={self.qmp},server=on,wait=off",
                     "--monitor", "c,mode=readline")

    def test_a_living_servers_socket_is_not_taken(self):
        server = self.start(*self.monitor())
        result = self.run_program(*self.monitor())
        self.assertEqual(result.returncode, 1)
        self.assertIn("another server listens", result.stderr)
        self.connect().command("query-version")
        self.end(server)

    def test_it_connects_again(self):
        server = self.start("--chardev",
                            f"socket,id=c,path={self.path('peer.sock')},reconnect-ms=20",
                            "--monitor", "c")
        listener = self.listen()
        for _ in range(3):
            client = self.accept(listener)
            client.command("query-version")
            client.close()
        self.accept(listener).command("quit")
        self.assertEqual(server.wait(LONG), 0)

    def test_a_signal_ends_it_while_it_waits_for_a_client(self):
        server = subprocess.Popen(self.command(*self.monitor("server=on")),
                                  env=self.environment(), stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end_process, server)
        wait_until(lambda: os.path.exists(self.qmp), "the socket")
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(LONG), 0)
        self.assertFalse(os.path.exists(self.qmp))

    def test_an_open_file_does_not_keep_it_from_ending(self):
        server = self.start(*self.file_node(), *self.export())
        with open(self.target, "rb"):
            start = time.monotonic()
            self.end(server)
            self.assertLess(time.monotonic() - start, 30)

    def test_standard_output_that_nobody_reads_does_not_keep_it_from_ending(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writer, bytes(4096)):
                pass
        os.set_blocking(writer, True)
        server = self.start("--chardev", "stdio,id=c", "--monitor", "c", stdout=writer)
        os.close(writer)
        self.end(server)

    def test_trace_is_accepted(self):
        result = self.succeed("-T", "blk_*", "--version")
        self.assertIn("ignored", result.stderr)

    def test_penstock_qmp_reaches_it(self):
        server = self.start(*self.file_node(), *self.monitor())
        result = subprocess.run([PROGRAM, "qmp", self.qmp, "query-named-block-nodes"],
                                capture_output=True, check=True, timeout=LONG)
        self.assertEqual([node["node-name"] for node in json.loads(result.stdout)], ["disk"])
        self.end(server)


@unittest.skipUnless(QEMU, "qemu-storage-daemon is not installed")
class QemuTest(SameForBoth, StorageDaemonCase):
    def command(self, *arguments):
        return [QEMU, *arguments]


if __name__ == "__main__":
    cli_case.main()
