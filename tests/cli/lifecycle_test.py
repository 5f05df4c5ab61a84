#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How mounts end: by umount, by signals, by a crash, and while somebody uses them."""

import os
import signal
import socket
import subprocess
import time
import unittest

import cli_case
import loop_device
from cli_case import MIB, process_is_gone, wait_until


class EndTest(cli_case.CliCase):
    def test_plain_unmount_ends_the_server(self):
        commands = [["umount"], ["fusermount3", "-u"]] if os.geteuid() == 0 else [
            ["fusermount3", "-u"]]
        for command in commands:
            with self.subTest(command):
                self.mount(self.make_image(), self.mount_point)
                pid = self.listed()["pid"]
                subprocess.run([*command, self.mount_point], check=True)
                wait_until(lambda p=pid: process_is_gone(p), "the server's end")
                self.assertIsNone(self.listed())

    def test_signals_end_the_server_and_the_mount(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number):
                self.mount(self.make_image(), self.mount_point)
                pid = self.listed()["pid"]
                os.kill(pid, number)
                wait_until(lambda p=pid: process_is_gone(p), "the server's end")
                self.assertFalse(self.is_mounted())

    def test_the_list_has_one_line_for_a_mount_whatever_its_image_is_called(self):
        self.mount(self.make_image("two\nlines\x1b.img"), self.mount_point)
        lines = [line for line in self.succeed("ls").stdout.splitlines()
                 if self.mount_point in line]
        self.assertEqual(len(lines), 1)
        self.assertIn("two\\x0alines\\x1b.img", lines[0])
        self.umount()

    def test_mount_again_directly_after_plain_unmount(self):
        image = self.make_image()
        for _ in range(5):
            self.mount("-w", "-f", "raw", image, self.mount_point)
            subprocess.run(["fusermount3", "-u", self.mount_point], check=True)

    def test_server_leaves_no_trace_of_its_caller(self):
        self.mount(self.make_image(), self.mount_point)
        pid = self.listed()["pid"]
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        for fd in (0, 1, 2):
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/{fd}"), "/dev/null")
        self.assertEqual(os.getsid(pid), pid)


class StaleTest(cli_case.CliCase):
    def leave_stale_mount(self):
        image = self.make_image()
        self.mount(image, self.mount_point)
        self.kill(self.listed()["pid"])
        with self.assertRaises(OSError):
            os.statvfs(self.mount_point)  # asks the server; stat may be answered from a cache
        return image

    def test_next_mount_removes_a_killed_servers_mount(self):
        image = self.leave_stale_mount()
        result = self.mount(image, self.mount_point)
        self.assertIn("removed the stale mount", result.stderr)
        self.assertEqual(self.read_file(self.disk), self.read_file(image))
        self.umount()
        self.assertFalse(self.is_mounted())

    def test_umount_removes_a_killed_servers_mount(self):
        self.leave_stale_mount()
        self.assertIn("had been killed", self.umount().stderr)
        self.assertFalse(self.is_mounted())

    def test_ls_forgets_a_killed_server(self):
        self.leave_stale_mount()
        self.assertIsNone(self.listed())

    def test_written_bytes_survive_a_killed_server(self):
        image = self.make_image()
        self.mount("-w", "-f", "raw", image, self.mount_point)
        with open(self.disk, "r+b", buffering=0) as disk:
            disk.write(b"kept")
        self.kill(self.listed()["pid"])
        self.mount("-w", "-f", "raw", image, self.mount_point)
        self.assertEqual(self.read_file(self.disk)[:4], b"kept")


class BusyTest(cli_case.CliCase):
    def test_umount_names_who_uses_the_mount(self):
        self.mount(self.make_image(), self.mount_point)
        with open(self.disk, "rb"):
            self.fail_with(1, f"PID {os.getpid()} (", "umount", self.mount_point)
        user = subprocess.Popen(["sleep", "60"], cwd=self.mount_point)
        self.addCleanup(user.communicate)
        self.addCleanup(user.kill)
        self.fail_with(1, f"PID {user.pid} (sleep)", "umount", self.mount_point)
        user.kill()
        user.wait()
        self.umount()
        self.assertFalse(self.is_mounted())

    @unittest.skipUnless(os.geteuid() == 0 and os.path.exists("/dev/loop-control"),
                         "needs loop devices, and root to make them")
    def test_umount_names_a_loop_device_that_uses_the_mount(self):
        self.mount(self.make_image(), self.mount_point)
        with loop_device.LoopDevice(self.disk, read_only=True) as loop:
            self.fail_with(1, f"in use by {loop.path}", "umount", self.mount_point)
        self.umount()

    def test_sigterm_ends_a_mount_that_is_in_use(self):
        image = self.make_image()
        self.mount(image, self.mount_point)
        pid = self.listed()["pid"]
        with open(self.disk, "rb"):
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: process_is_gone(pid), "the server's end", limit=30)
        self.assertFalse(self.is_mounted())

    def test_requests_in_flight_finish_before_the_end(self):
        image = self.make_image()
        self.mount("-w", "-f", "raw", "--fault", "write_aio:delay-ns=1500000000", image,
                   self.mount_point)
        pid = self.listed()["pid"]
        writer = subprocess.Popen(["dd", f"of={self.disk}", "bs=4096", "count=1", "conv=notrunc",
                                   "status=none"], stdin=subprocess.PIPE)
        self.addCleanup(writer.kill)
        writer.stdin.write(b"w" * 4096)
        writer.stdin.close()
        self.wait_for_request(writer.pid)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(writer.wait(timeout=cli_case.LONG), 0)
        wait_until(lambda: process_is_gone(pid), "the server's end")
        self.assertEqual(self.read_file(image)[:4096], b"w" * 4096)

    def wait_for_request(self, pid):
        """Until the process waits in the kernel for the answer to a FUSE request."""
        if os.geteuid() != 0:
            self.skipTest("only root may see where a process waits in the kernel")

        def waits_for_an_answer():
            with open(f"/proc/{pid}/stack", encoding="utf-8") as stack:
                return "fuse_" in stack.read()
        wait_until(waits_for_an_answer, "a process in a request")

    def test_suspended_request_bounds_the_end_in_time(self):
        image = self.make_image()
        server = self.start_program("mount", "--foreground", "--no-partitions", "--fault",
                                    "read_aio:suspend=x", image, self.mount_point)
        wait_until(lambda: self.listed() is not None and self.is_mounted(), "the mount")
        self.assertIn("is mounted at", self.first_message(server))
        reader = subprocess.Popen(["dd", f"if={self.disk}", "of=/dev/null", "bs=4096", "count=1",
                                   "status=none"], stderr=subprocess.DEVNULL)
        self.addCleanup(reader.kill)
        self.wait_for_request(reader.pid)
        start = time.monotonic()
        server.send_signal(signal.SIGTERM)
        _, messages = server.communicate(timeout=cli_case.LONG)
        self.assertLess(time.monotonic() - start, 30)
        self.assertEqual(server.returncode, 1)
        self.assertIn("could not be closed in time", messages)
        self.assertIn("read", messages)
        self.assertNotEqual(reader.wait(timeout=cli_case.LONG), 0)
        self.assertFalse(self.is_mounted())
        self.assertIsNone(self.listed())


class FailedFlushTest(cli_case.CliCase):
    def test_umount_reports_a_failed_flush(self):
        image = self.make_image()
        self.mount("-w", "-f", "raw", "--fault", "flush_to_disk:always:errno=EIO", image,
                   self.mount_point)
        fd = os.open(self.disk, os.O_WRONLY)
        os.write(fd, b"x")
        try:
            os.close(fd)
        except OSError:
            pass  # close may report the failure already
        result = self.run_program("umount", self.mount_point)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("Input/output error", result.stderr)
        self.assertFalse(self.is_mounted())
        self.assertIsNone(self.listed())


class ForegroundTest(cli_case.CliCase):
    def test_systemd_is_told_when_the_file_is_readable(self):
        address = self.path("notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(address)
            receiver.settimeout(cli_case.LONG)
            os.environ["NOTIFY_SOCKET"] = address
            self.addCleanup(os.environ.pop, "NOTIFY_SOCKET", None)
            server = self.start_program("mount", "--foreground", self.make_image(),
                                        self.mount_point)
            self.assertIn(b"READY=1", receiver.recv(4096))
            self.assertEqual(os.path.getsize(self.disk), MIB)
            server.send_signal(signal.SIGTERM)
            _, messages = server.communicate(timeout=cli_case.LONG)
            self.assertEqual(server.returncode, 0, messages)
            self.assertIn("after SIGTERM", messages)

    def test_unmount_ends_it_with_success(self):
        server = self.start_program("mount", "--foreground", self.make_image(), self.mount_point)
        self.assertIn("is mounted at", self.first_message(server))
        self.umount()
        _, messages = server.communicate(timeout=cli_case.LONG)
        self.assertEqual(server.returncode, 0, messages)


if __name__ == "__main__":
    cli_case.main()
