#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How commands find what they work on; `penstock status`, `graph` and `close`."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import unittest

import cli_case
from cli_case import LONG, MIB, PROGRAM
from control_case import FAILED, USAGE, ControlCase

STRANGER = 64999  # a user that nobody is


class TargetTest(ControlCase):
    def test_a_disk_is_found_by_mount_point_file_image_export_and_node(self):
        where = self.add_disk("one")
        self.add_disk("two")
        for word in (where, where + "/", os.path.join(where, "disk"), self.path("one.img"),
                     "one-export", "one"):
            with self.subTest(word):
                disks = self.json("status", word)
                self.assertEqual([disk["export"] for disk in disks], ["one-export"])

    def test_a_relative_path_will_do(self):
        self.add_disk("one")
        for word in ("mnt-one", "./one.img"):
            result = self.succeed("status", word, "--socket", self.socket, "--output=json",
                                  cwd=self.folder)
            self.assertEqual(len(json.loads(result.stdout)), 1)

    def test_a_relative_name_is_one_of_the_callers_directory(self):
        served, other = self.path("served"), self.path("other")
        for folder in (served, other):
            os.mkdir(folder)
            with open(os.path.join(folder, "d.raw"), "wb") as image:
                image.truncate(MIB)
        where = self.path("where")
        os.mkdir(where)
        listener = self.path("second.sock")
        server = subprocess.Popen(
            self.command("storage-daemon", "--blockdev", "file,node-name=n,filename=d.raw",
                         "--export", f"fuse,id=e,node-name=n,mountpoint={where},writable=on",
                         "--chardev", f"socket,id=c,path={listener},server=on,wait=off",
                         "--monitor", "c", "--pidfile", self.path("second.pid")),
            cwd=served, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end_process, server)
        cli_case.wait_until(lambda: os.path.exists(self.path("second.pid")), "the second server")
        resize = ("resize", "--socket", listener)
        result = self.run_program(*resize, "d.raw", "2M", cwd=other)
        self.assertEqual(result.returncode, FAILED, result.stderr)
        self.assertIn("is no mount point, image", result.stderr)
        self.assertEqual(os.path.getsize(os.path.join(served, "d.raw")), MIB)
        self.succeed(*resize, "d.raw", "2M", cwd=served)
        self.assertEqual(os.path.getsize(os.path.join(served, "d.raw")), 2 * MIB)
        self.succeed(*resize, os.path.join(served, "d.raw"), "3M")
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(LONG), 0)

    def test_a_relative_name_where_there_is_no_directory_is_told(self):
        gone = self.path("gone")
        script = 'mkdir "$1"; cd "$1"; rmdir "$1"; shift; exec "$@"'
        where = self.add_disk("one")
        for words in (["backup", where, "x.img"], ["status", "one.img"],
                      ["daemon", "--socket", "x"], ["storage-daemon", "--pidfile", "x"]):
            result = subprocess.run(
                ["bash", "-c", script, "bash", gone, os.path.abspath(PROGRAM), *words],
                capture_output=True, text=True, timeout=LONG, check=False)
            self.assertIn(result.returncode, (FAILED, USAGE), result.stderr)
            self.assertTrue(result.stderr.startswith("penstock: "), result.stderr)
        self.refused("a path cannot be empty", "backup", where, "")

    def test_a_server_that_takes_no_commands_is_told(self):
        image = self.make_image()
        self.mount("--qmp", "none", "-f", "raw", image, self.mount_point)
        for command in (["status"], ["throttle"], ["close"]):
            self.fail_with(FAILED, "whose server takes no commands", *command, self.mount_point)
        self.fail_with(FAILED, "whose server takes no commands", "close", image)
        self.umount()

    def test_a_killed_server_is_told_and_umount_still_knows_it(self):
        image = self.make_image()
        self.mount("-f", "raw", image, self.mount_point)
        self.kill(self.listed()["pid"])
        self.fail_with(FAILED, "was killed: 'penstock umount' clears", "status", self.mount_point)
        self.assertIsNone(self.listed())
        self.assertIn("had been killed before", self.umount().stderr)

    def test_a_server_that_hangs_holds_up_nobody_who_asks_another_one(self):
        one = self.add_disk("one")
        self.mount("-f", "raw", self.make_image("hangs.img"), self.mount_point)
        hangs = self.listed()["pid"]
        os.kill(hangs, signal.SIGSTOP)
        self.addCleanup(os.kill, hangs, signal.SIGCONT)
        self.succeed("qmp", one, "query-version")
        self.succeed("throttle", one)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
    def test_another_users_record_of_a_mount_counts_for_nothing(self):
        self.mount("--qmp", "none", "-f", "raw", self.make_image(), self.mount_point)
        script = """
import fcntl, json, os, socket, sys
folder = "/tmp/penstock-%d" % os.getuid()
os.makedirs(folder, 0o700, exist_ok=True)
record = open(os.path.join(folder, "false.json"), "w")
path = os.path.join(folder, "false.sock")
json.dump({"mount-point": sys.argv[1], "image": "x", "pid": 1, "socket": path}, record)
record.flush()
fcntl.flock(record, fcntl.LOCK_EX)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
print(flush=True)
try:
    listener.accept()
    print("asked", flush=True)
finally:
    os.unlink(path)
    os.unlink(record.name)
"""
        stranger = subprocess.Popen(["python3", "-c", script, self.mount_point], user=STRANGER,
                                    group=STRANGER, extra_groups=[], stdout=subprocess.PIPE,
                                    cwd="/")
        self.addCleanup(self.end_process, stranger)
        self.addCleanup(shutil.rmtree, f"/tmp/penstock-{STRANGER}", ignore_errors=True)
        stranger.stdout.readline()
        for words in (["resize", self.mount_point, "1G"], ["status", self.mount_point],
                      ["qmp", self.mount_point, "query-version"]):
            self.fail_with(FAILED, "whose server takes no commands", *words)
        self.assertIsNone(stranger.poll())
        self.umount()

    def test_the_server_is_found_without_its_socket(self):
        where = self.add_disk("one")
        disks = json.loads(self.succeed("status", where, "--output=json").stdout)
        self.assertEqual(disks[0]["pid"], self.pid)
        self.assertEqual(disks[0]["socket"], self.socket)

    def test_a_mount_without_a_daemon_is_found_too(self):
        image = self.make_image()
        self.mount("-w", "-f", "raw", image, self.mount_point)
        disks = json.loads(self.succeed("status", self.mount_point, "--output=json").stdout)
        self.assertEqual(len(disks), 1)
        self.assertEqual(disks[0]["mount-point"], self.mount_point)
        self.assertEqual(disks[0]["mode"], "rw")
        self.assertEqual(disks[0]["format"], "raw")
        self.assertTrue(os.path.samefile(disks[0]["image"], image))
        self.assertNotEqual(disks[0]["pid"], self.pid)

    def test_what_is_not_clear_is_refused_with_all_that_it_could_be(self):
        one = self.add_disk("one")
        two = self.add_disk("two")
        error = self.refused("several disks", "throttle").stderr
        for word in ("one-export", one, "two-export", two, str(self.pid), "--socket"):
            self.assertIn(word, error)

    def test_one_image_that_is_mounted_twice_is_not_clear_either(self):
        one = self.add_disk("one", writable=False)
        again = self.path("again")
        os.mkdir(again)
        self.qmp("block-export-add", type="fuse", id="again", node_name="one", mountpoint=again)
        error = self.refused("is several disks", "throttle", self.path("one.img")).stderr
        self.assertIn(one, error)
        self.assertIn(again, error)

    def test_what_is_not_there_is_told(self):
        self.refused("'nothing' is no mount point, image, export or node", "throttle", "nothing")
        self.refused("no disk is mounted", "throttle")
        self.fail_with(1, "no server listens at", "status", "--socket", self.path("none"))

    def test_a_node_that_is_not_mounted_is_no_disk(self):
        self.qmp("blockdev-add", driver="null-co", node_name="lonely", size=MIB)
        self.refused("is a node and no mounted disk", "move", "lonely", "--iothreads", "x")
        self.refused("is a node and no mounted disk", "status", "lonely")
        self.refused("is a node and no mounted disk", "close", "lonely")

    def test_another_server_than_ours_is_told(self):
        listener = subprocess.Popen(
            ["python3", "-c", "import socket, sys; s = socket.socket(socket.AF_UNIX); "
             "s.bind(sys.argv[1]); s.listen(); print(flush=True); c = s.accept()[0]; "
             "c.sendall(b'hello\\n'); c.recv(1)", self.path("strange")],
            stdout=subprocess.PIPE)
        self.addCleanup(self.end_process, listener)
        listener.stdout.readline()
        self.fail_with(1, "does not speak QMP", "status", "--socket", self.path("strange"))


class StatusTest(ControlCase):
    def test_counts_what_was_done(self):
        where = self.add_disk()
        with open(os.path.join(where, "disk"), "r+b", buffering=0) as disk:
            disk.write(b"x" * 4096)
            os.fsync(disk.fileno())
            disk.seek(0)
            disk.read(4096)
        [disk] = self.json("status")
        self.assertEqual(disk["image"], self.path("disk.img"))
        self.assertEqual((disk["format"], disk["mode"]), ("raw", "rw"))
        self.assertEqual(disk["virtual-size"], 4 * MIB)
        self.assertEqual(disk["mount-point"], where)
        self.assertGreaterEqual(len(disk["iothreads"]), 1)
        self.assertGreaterEqual(disk["stats"]["wr_bytes"], 4096)
        self.assertGreaterEqual(disk["stats"]["rd_operations"], 1)
        self.assertGreaterEqual(disk["stats"]["flush_operations"], 1)
        text = self.here("status").stdout
        for word in (where, self.path("disk.img"), "writable", "reads", "writes", "flushes"):
            self.assertIn(word, text)

    def test_without_disks(self):
        self.assertEqual(self.json("status"), [])
        self.assertEqual(self.here("status").stdout, "no disk is mounted\n")

    def test_names_cannot_send_codes_to_the_terminal(self):
        image = self.make_image("a\x1b[31m.img")
        self.qmp("blockdev-add", driver="file", node_name="n", filename=image, read_only=True)
        self.qmp("block-export-add", type="fuse", id="e", node_name="n",
                 mountpoint=self.mount_point)
        for command in ("status", "graph"):
            text = self.here(command).stdout
            self.assertNotIn("\x1b", text)
            self.assertIn("\\x1b[31m.img", text)

    def test_watching_shows_rates_until_it_is_interrupted(self):
        where = self.add_disk()
        watch = self.start_program("status", "--watch=0.2", where, "--output=json")
        first = json.loads(watch.stdout.readline())
        self.assertNotIn("rates", first[0])
        rates = None
        with open(os.path.join(where, "disk"), "r+b", buffering=0) as disk:
            while rates is None or rates["wr"]["operations-per-second"] == 0:
                os.pwrite(disk.fileno(), b"y" * 4096, 0)
                rates = json.loads(watch.stdout.readline())[0]["rates"]
        self.assertGreater(rates["wr"]["bytes-per-second"], 0)
        self.assertGreater(rates["wr"]["mean-ns"], 0)
        self.assertGreater(rates["seconds"], 0)
        watch.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(LONG), 0)
        self.assertEqual(watch.stderr.read(), "")
        [stats] = [each["stats"] for each in self.qmp("query-blockstats")
                   if each["node-name"] == "disk"]
        self.assertNotIn("wr_latency_histogram", stats)

    def test_watching_ends_with_its_reader_and_leaves_nothing_on(self):
        where = self.add_disk()
        watch = self.start_program("status", "--watch=0.1", where, "--output=json")
        watch.stdout.readline()
        watch.stdout.readline()
        watch.stdout.close()
        self.assertEqual(watch.wait(LONG), 1)
        watch.stdout = None
        self.assertIn("could not be written", watch.stderr.read())
        for each in self.qmp("query-blockstats"):
            self.assertNotIn("wr_latency_histogram", each["stats"])

    def test_output_that_is_lost_is_no_success(self):
        self.add_disk()
        for words in (["status"], ["graph"], ["iothread", "ls"], ["qmp", "query-version"]):
            with open("/dev/full", "w", encoding="ascii") as full:
                result = subprocess.run(self.command(*words, "--socket", self.socket), stdout=full,
                                        stderr=subprocess.PIPE, timeout=LONG, check=False)
            self.assertEqual(result.returncode, 1, words)
            self.assertIn(b"could not be written", result.stderr)

    def test_watching_ends_with_its_disk(self):
        where = self.add_disk()
        watch = self.start_program("status", "--watch=0.1", where, "--output=json")
        watch.stdout.readline()
        self.here("close", where)
        self.assertEqual(watch.wait(LONG), 1)
        self.assertIn("is no mount point", watch.stderr.read())

    def test_watching_redraws_in_place_on_a_terminal_only(self):
        self.add_disk()
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        watch = subprocess.Popen(
            self.command("status", "--watch=0.1", "--socket", self.socket),
            env=dict(self.environment(), TERM="xterm"), stdin=subprocess.DEVNULL, stdout=theirs,
            stderr=subprocess.PIPE)
        self.addCleanup(self.end_process, watch)
        os.close(theirs)
        seen = b""
        while not re.search(rb"\x1b\[\d+A\r\x1b\[J", seen):
            self.assertTrue(select.select([ours], [], [], LONG)[0], seen)
            seen += os.read(ours, 4096)
        watch.send_signal(signal.SIGTERM)
        self.assertEqual(watch.wait(LONG), 0)

    def test_wrong_usage(self):
        for words in (["--watch=0"], ["--watch=x"], ["--output=xml"], ["a", "b"]):
            with self.subTest(words):
                self.misused("penstock status --help", "status", *words)


class GraphTest(ControlCase):
    def test_a_tree_from_the_exports_down(self):
        where = self.add_disk("one")
        self.add_disk("two")
        self.qmp("blockdev-add", driver="null-co", node_name="lonely", size=MIB)
        text = self.here("graph").stdout
        lines = text.splitlines()
        at = lines.index(next(line for line in lines if line.startswith("export one-export")))
        self.assertIn(where, lines[at])
        self.assertRegex(lines[at + 1], r"^`- root: one  raw, 4 MiB, rw  \([rwus-]{4}/[rwus-]{4}\)")
        self.assertRegex(lines[at + 2], r"^   `- file: #block\d+  file, 4 MiB, rw  .*one\.img")
        self.assertIn("no user", lines)
        self.assertIn("lonely", text)

    def test_of_one_disk_only_what_belongs_to_it(self):
        self.add_disk("one")
        self.add_disk("two")
        for output in ("human", "dot", "json"):
            text = self.here("graph", "one", "--output=" + output).stdout
            self.assertIn("one.img", text)
            self.assertNotIn("two.img", text)

    def test_json_has_qemus_keys(self):
        self.add_disk("one")
        [server] = self.json("graph")
        self.assertEqual(server["pid"], self.pid)
        [node] = [node for node in server["nodes"] if node["node-name"] == "one"]
        self.assertEqual((node["drv"], node["ro"]), ("raw", False))
        [root] = [edge for edge in server["edges"] if edge.get("user") == "export one-export"]
        self.assertEqual(root["child"], "one")
        self.assertIn("write", root["perm"])
        [child] = [edge for edge in server["edges"] if edge.get("parent") == "one"]
        self.assertEqual((child["name"], child["role"]), ("file", "data"))
        self.assertEqual(server["exports"][0]["mountpoint"], self.path("mnt-one"))

    def test_dot_is_one_graph_with_all_edges(self):
        self.add_disk("one")
        text = self.here("graph", "--output=dot").stdout
        self.assertTrue(text.startswith("digraph penstock {\n"))
        self.assertTrue(text.endswith("}\n"))
        self.assertIn('"user export one-export" -> "node one"', text)

    def test_lines_are_unicode_on_a_utf8_terminal(self):
        self.add_disk("one")
        for locale, line in (("C.UTF-8", "└─ ".encode()), ("C", b"`- ")):
            ours, theirs = pty.openpty()
            self.addCleanup(os.close, ours)
            subprocess.run(self.command("graph", "one", "--socket", self.socket),
                           env=dict(self.environment(), TERM="xterm", LC_ALL=locale),
                           stdin=subprocess.DEVNULL, stdout=theirs, timeout=LONG, check=True)
            os.close(theirs)
            self.assertIn(line, os.read(ours, 65536))


class CloseTest(ControlCase):
    def test_a_closed_disk_is_flushed_and_the_daemon_lives_on(self):
        where = self.add_disk()
        with open(os.path.join(where, "disk"), "r+b", buffering=0) as disk:
            disk.write(b"last words")
        self.here("close", where)
        self.assertFalse(self.is_mounted(where))
        self.assertEqual(self.read_file(self.path("disk.img"))[:10], b"last words")
        self.assertEqual(self.qmp("query-block-exports"), [])
        self.assertIsNotNone(self.node("disk"))

    def test_a_disk_in_use_stays_unless_it_is_forced(self):
        where = self.add_disk()
        with open(os.path.join(where, "disk"), "rb", buffering=0) as disk:
            self.refused("is in use by PID", "close", where)
            self.assertTrue(self.is_mounted(where))
            self.assertEqual(len(disk.read(512)), 512)
            self.here("close", where, "--force")
            with self.assertRaises(OSError):
                os.pread(disk.fileno(), 512, MIB)
        self.assertFalse(self.is_mounted(where))

    def test_a_mount_ends_with_its_server(self):
        image = self.make_image()
        self.mount("-w", "-f", "raw", image, self.mount_point)
        pid = self.listed()["pid"]
        with open(self.disk, "r+b", buffering=0) as disk:
            disk.write(b"last words")
        self.succeed("close", self.mount_point)
        self.assertFalse(self.is_mounted())
        self.assertEqual(self.read_file(image)[:10], b"last words")
        self.assertIsNone(self.listed())
        cli_case.wait_until(lambda: cli_case.process_is_gone(pid), "the server's end")

    def test_wrong_usage(self):
        self.misused("TARGET is required", "close")


class ManualTest(cli_case.CliCase):
    COMMANDS = (["status"], ["graph"], ["resize"], ["move"], ["iothread"], ["iothread", "add"],
                ["iothread", "rm"], ["iothread", "ls"], ["throttle"], ["filter"],
                ["filter", "add"], ["filter", "rm"], ["close"], ["backup"], ["jobs"],
                ["jobs", "ls"], ["jobs", "cancel"], ["jobs", "dismiss"], ["qmp"])

    def test_every_option_is_in_the_manual(self):
        manual = self.read_file(
            os.path.join(os.environ["PENSTOCK_SOURCE_DIR"], "cli/penstock-control.1")).decode()
        manual = manual.replace("\\-", "-")
        for words in self.COMMANDS:
            text = self.succeed(*words, "--help").stdout
            for option in re.findall(r"--[a-z-]+[a-z]", text):
                self.assertIn(option, manual, f"{option} of {words}")
            if len(words) == 1:
                self.assertRegex(text, "(?s)Examples?:.*Exit status:")


if __name__ == "__main__":
    cli_case.main()
