#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Everything that can be changed while disks are in use is changed, in random order, under load.

fio with verify and a writer with a model work on three exports of one `penstock daemon`, while
nodes are resized and moved, filters come and go, exports and threads come and go, nodes are
reopened and copied. At the end no verification has failed, all data is as the model says, and
nothing is left over: nodes, threads, exports, descriptors, memory.

Usage: live_changes_test.py [SECONDS]. PENSTOCK_LIVE_SECONDS sets how long it lasts otherwise (60;
600 for a long run), PENSTOCK_TEST_SEED replays an order of changes.
"""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import traceback

from served_image import (PROGRAM, Directory, require_programs, require_root_and_fuse, run, seed)

MIB = 1 << 20
SECONDS = int(sys.argv[1] if len(sys.argv) > 1 else
              os.environ.get("PENSTOCK_LIVE_SECONDS", "60"))
LONG = 60  # seconds: a limit that only a broken program reaches
BLOCK = 4096

# A disk: fio has its first part, the writer with a model the second. Sizes never go below both.
FIO_SIZE = 16 * MIB
MODEL_START = FIO_SIZE
MODEL_SIZE = 4 * MIB
LEAST_SIZE = MODEL_START + MODEL_SIZE
IOTHREADS = ("io0", "io1", "io2")


def wait_until(condition, what, limit=LONG):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit} s in vain: {what}")
        time.sleep(0.01)


def is_sanitized():
    """Sanitizers keep freed memory on purpose."""
    with open(PROGRAM, "rb") as program:
        text = program.read()
    return b"__asan_init" in text or b"__tsan_init" in text


class Refused(Exception):
    """An error reply."""


class Client:
    """One connection to the daemon. For one thread."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LONG)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rwb")
        self.events = []
        self.read()
        self.do("qmp_capabilities")

    def read(self):
        line = self.stream.readline()
        if not line:
            raise AssertionError("the server has closed the connection")
        return json.loads(line)

    def do(self, command, **arguments):
        message = {"execute": command,
                   "arguments": {key.replace("_", "-"): value for key, value in arguments.items()}}
        self.stream.write(json.dumps(message).encode() + b"\n")
        self.stream.flush()
        while "event" in (reply := self.read()):
            self.events.append(reply)
        if "error" in reply:
            raise Refused(f"{command} {arguments}: {reply['error']['desc']}")
        return reply["return"]

    def wait_event(self, wanted):
        """The first event that `wanted` accepts; what came before it is forgotten."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if wanted(event):
                    return event
            self.events.append(self.read())

    def close(self):
        self.stream.close()
        self.socket.close()


class ModelWriter(threading.Thread):
    """Writes random blocks, reads random blocks, and knows what they are."""

    def __init__(self, path, value):
        super().__init__(name=f"writer of {path}")
        self.path = path
        self.random = random.Random(value)
        self.model = bytearray(MODEL_SIZE)
        self.between_requests = threading.Lock()
        self.stopping = threading.Event()
        self.failure = None
        self.requests = 0

    def run(self):
        try:
            fd = os.open(self.path, os.O_RDWR)
            try:
                while not self.stopping.is_set():
                    with self.between_requests:
                        self.step(fd)
                    time.sleep(0.0005)
                os.fsync(fd)
            finally:
                os.close(fd)
        except Exception:  # pylint: disable=broad-except
            self.failure = traceback.format_exc()

    def step(self, fd):
        length = self.random.randrange(1, 8 * BLOCK)
        at = self.random.randrange(MODEL_SIZE - length)
        self.requests += 1
        choice = self.random.randrange(16)
        if choice == 0:
            os.fsync(fd)
        elif choice < 8:
            data = self.random.randbytes(length)
            if os.pwrite(fd, data, MODEL_START + at) != length:
                raise AssertionError("a short write")
            self.model[at:at + length] = data
        elif os.pread(fd, length, MODEL_START + at) != self.model[at:at + length]:
            raise AssertionError(f"read other bytes than were written, at {MODEL_START + at}")

    def stop(self):
        self.stopping.set()
        self.join()
        if self.failure:
            raise AssertionError(f"{self.name}: {self.failure}")


class Disk:
    """A file, a format above it, and an export under load."""

    def __init__(self, world, letter):
        self.world = world
        self.letter = letter
        self.file = f"file-{letter}"
        self.node = f"disk-{letter}"
        self.export = f"export-{letter}"
        self.size = 64 * MIB
        self.image = world.directory.image(f"{letter}.raw", self.size)
        self.mount_point = world.directory.file(f"mnt-{letter}")
        os.mkdir(self.mount_point)
        self.served = os.path.join(self.mount_point, "disk")
        self.filters = {}  # names to the nodes that they are above
        self.direct = False
        self.fio = self.writer = None

    def file_options(self):
        return {"driver": "file", "node-name": self.file, "filename": self.image,
                "discard": "unmap", "cache": {"direct": self.direct}}

    def open(self, client):
        client.do("blockdev-add", **self.file_options())
        client.do("blockdev-add", driver="raw", node_name=self.node, file=self.file,
                  discard="unmap")
        client.do("block-export-add", type="fuse", id=self.export, node_name=self.node,
                  mountpoint=self.mount_point, writable=True,
                  iothread=self.world.random.sample(IOTHREADS, 2))

    def start_load(self, value):
        depth = "8" if self.letter == "a" else "2"
        self.fio = subprocess.Popen(
            ["fio", "--name=verify", "--verify_state_save=0",
             f"--filename={self.served}", "--rw=randwrite",
             "--bsrange=4k-64k", f"--size={FIO_SIZE}", "--direct=1", "--ioengine=libaio",
             f"--iodepth={depth}", "--verify=crc32c", "--verify_fatal=1", "--verify_dump=0",
             "--verify_backlog=64", "--time_based", f"--runtime={SECONDS}", f"--randseed={value}",
             "--allow_file_create=0", "--fsync=128"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.writer = ModelWriter(self.served, value)
        self.writer.start()

    def stop_load(self):
        output, _ = self.fio.communicate(timeout=SECONDS + LONG)
        self.writer.stop()
        if self.fio.returncode != 0:
            raise AssertionError(f"fio on {self.served}: exit {self.fio.returncode}\n{output}")

    def check_data(self):
        """What is in the image is what the writers know."""
        with open(self.image, "rb") as image:
            image.seek(MODEL_START)
            if image.read(MODEL_SIZE) != self.writer.model:
                raise AssertionError(f"{self.image} is not what was written")
        if os.path.getsize(self.image) != self.size:
            raise AssertionError(f"{self.image}: {os.path.getsize(self.image)} bytes, not "
                                 f"{self.size}")

    def close(self, client):
        if self.export in (each["id"] for each in client.do("query-block-exports")):
            client.do("block-export-del", id=self.export, mode="hard")
            client.wait_event(lambda event: event["event"] == "BLOCK_EXPORT_DELETED" and
                              event["data"]["id"] == self.export)
        for name in list(self.filters):
            client.do("x-penstock-remove-filter", node_name=name)
            del self.filters[name]
        client.do("blockdev-del", node_name=self.node)
        client.do("blockdev-del", node_name=self.file)


class World:
    """The daemon, its disks, and the changes that are made to them."""

    def __init__(self, directory, value):
        self.directory = directory
        self.random = random.Random(value)
        self.socket = directory.file("p.sock")
        run(PROGRAM, "daemon", "--socket", self.socket, "--pid-file", directory.file("pid"))
        with open(directory.file("pid"), encoding="ascii") as pid_file:
            self.pid = int(pid_file.read())
        self.client = Client(self.socket)
        self.commands = {each["name"] for each in self.client.do("query-commands")}
        self.disks = []
        self.done = {}
        self.copies = 0
        self.extra = False  # an export of its own is there
        self.changes = [self.resize, self.put_filter, self.put_filter, self.take_filter,
                        self.take_filter, self.move_home, self.add_or_remove_export,
                        self.change_throttle, self.remove_iothread_in_use, self.refuse,
                        self.replace_child, self.transaction, self.read_only_and_back]
        for command, change in (("x-penstock-export-set-iothreads", self.move_export),
                                ("x-penstock-iothread-del", self.replace_iothread),
                                ("blockdev-reopen", self.reopen),
                                ("blockdev-backup", self.backup),
                                ("job-cancel", self.cancel_backup)):
            if command in self.commands:
                self.changes.append(change)
            else:
                print(f"not there yet, left out: {command}")

    # What it consists of.

    def build(self):
        for name in IOTHREADS:
            self.client.do("object-add", qom_type="iothread", id=name)
        self.client.do("object-add", qom_type="throttle-group", id="group",
                       limits={"iops-total": 20000})
        self.disks = [Disk(self, letter) for letter in "abc"]
        for disk in self.disks:
            disk.open(self.client)

    def take_down(self):
        if self.extra:
            self.add_or_remove_export()
        for disk in self.disks:
            disk.close(self.client)
            os.rmdir(disk.mount_point)
        self.disks = []
        self.client.do("object-del", id="group")
        for name in IOTHREADS:
            self.client.do("object-del", id=name)
        for query in ("query-named-block-nodes", "query-iothreads", "query-block-exports",
                      "x-penstock-query-throttle"):
            # Threads whose ids begin with '#' are the daemon's own: they stay once they were needed.
            left = [each for each in self.client.do(query)
                    if query != "query-iothreads" or not each["id"].startswith("#")]
            if left:
                raise AssertionError(f"left over, says {query}: {left}")
        if "query-jobs" in self.commands and self.client.do("query-jobs"):
            raise AssertionError("a job is left over")

    def warm_up(self):
        """Once round, so that what is kept for next time is there."""
        self.build()
        mount_point = self.directory.file("mnt-first")
        os.mkdir(mount_point)
        self.client.do("block-export-add", type="fuse", id="first", node_name=self.disks[0].node,
                       mountpoint=mount_point)
        self.client.do("block-export-del", id="first")
        self.client.wait_event(lambda event: event["event"] == "BLOCK_EXPORT_DELETED")
        os.rmdir(mount_point)
        self.take_down()

    # Changes: each is one that has to succeed.

    def step(self):
        change = self.random.choice(self.changes)
        change()
        self.done[change.__name__] = self.done.get(change.__name__, 0) + 1

    def resize(self):
        disk = self.random.choice(self.disks)
        disk.size = LEAST_SIZE + self.random.randrange(64) * MIB
        self.client.do("block_resize", node_name=disk.node, size=disk.size)
        wait_until(lambda: os.stat(disk.served).st_size == disk.size, "the new size in the mount")
        with open(disk.served, "rb", buffering=0) as served:
            beyond = os.pread(served.fileno(), BLOCK, disk.size)
            last = os.pread(served.fileno(), 2 * BLOCK, disk.size - BLOCK)
        if beyond or len(last) != BLOCK:
            raise AssertionError(f"{len(beyond)} and {len(last)} bytes at the end of {disk.size}")

    def put_filter(self):
        disk = self.random.choice(self.disks)
        above = self.random.choice((disk.file, disk.node))
        name = f"filter-{disk.letter}-{self.random.randrange(3)}"
        if name in disk.filters:
            return
        what = self.random.choice((
            {"driver": "throttle", "throttle-group": "group"},
            {"driver": "copy-on-read"},
            {"driver": "faults"},
            {"driver": "faults", "rules": ["write_aio:always:delay-ns=300000"]}))
        self.client.do("x-penstock-insert-filter", node_name=above,
                       filter={**what, "node-name": name})
        disk.filters[name] = above

    def take_filter(self):
        disk = self.random.choice(self.disks)
        if disk.filters:
            name = self.random.choice(sorted(disk.filters))
            self.client.do("x-penstock-remove-filter", node_name=name)
            del disk.filters[name]

    def move_home(self):
        disk = self.random.choice(self.disks)
        node = self.random.choice([disk.node, disk.file, *sorted(disk.filters)])
        self.client.do("x-blockdev-set-iothread", node_name=node,
                       iothread=self.random.choice((*IOTHREADS, None)))

    def add_or_remove_export(self):
        """A second, read-only export of a node in use."""
        mount_point = self.directory.file("mnt-extra")
        if self.extra:
            self.client.do("block-export-del", id="extra", mode="hard")
            self.client.wait_event(lambda event: event["event"] == "BLOCK_EXPORT_DELETED" and
                                   event["data"]["id"] == "extra")
            os.rmdir(mount_point)
            self.extra = False
            return
        disk = self.random.choice(self.disks)
        os.mkdir(mount_point)
        self.client.do("block-export-add", type="fuse", id="extra", node_name=disk.node,
                       mountpoint=mount_point, iothread=self.random.choice(IOTHREADS))
        self.extra = True
        with open(os.path.join(mount_point, "disk"), "rb") as served, disk.writer.between_requests:
            served.seek(MODEL_START)
            if served.read(MODEL_SIZE) != disk.writer.model:
                raise AssertionError("the second export shows other bytes")

    def change_throttle(self):
        self.client.do("x-penstock-set-throttle", group="group",
                       limits={"iops-total": self.random.choice((0, 1000, 20000))})

    def remove_iothread_in_use(self):
        """A thread that a node uses stays; once nobody does it goes."""
        node = self.random.choice(self.disks).file
        self.client.do("object-add", qom_type="iothread", id="used")
        self.client.do("x-blockdev-set-iothread", node_name=node, iothread="used")
        self.must_fail("object-del", id="used")
        self.client.do("x-blockdev-set-iothread", node_name=node, iothread=None)
        self.client.do("object-del", id="used")

    def must_fail(self, command, **arguments):
        try:
            self.client.do(command, **arguments)
        except Refused:
            return
        raise AssertionError(f"{command} {arguments} was done")

    def picture(self):
        """The graph, without what requests change."""
        return [{key: node[key] for key in ("node-name", "drv", "ro", "children",
                                            "x-penstock-users", "x-penstock-iothread")}
                for node in self.client.do("query-named-block-nodes", flat=True)]

    def refuse(self):
        """What has to fail, and change nothing."""
        before = self.picture()
        disk = self.random.choice(self.disks)
        command, arguments = self.random.choice((
            ("blockdev-del", {"node_name": disk.node}),
            ("blockdev-add", {"driver": "null-co", "node_name": disk.file}),
            ("blockdev-add", {"driver": "raw", "node_name": "new", "file": {
                "driver": "file", "filename": self.directory.file("none")}}),
            ("x-penstock-insert-filter", {"node_name": disk.node, "filter": {
                "driver": "throttle", "throttle-group": "none"}}),
            ("x-blockdev-set-iothread", {"node_name": disk.node, "iothread": "none"}),
            ("block-export-add", {"type": "fuse", "id": "new", "node_name": disk.node,
                                  "mountpoint": disk.mount_point, "iothread": "io0"})))
        self.must_fail(command, **arguments)
        after = self.picture()
        if before != after:
            raise AssertionError(f"{command} failed, and changed\n{before}\nto\n{after}")

    def move_export(self):
        disk = self.random.choice(self.disks)
        threads = self.random.sample(IOTHREADS, self.random.randrange(1, 4))
        self.client.do("x-penstock-export-set-iothreads", id=disk.export, iothreads=threads)

    def replace_iothread(self):
        gone, other = self.random.sample(IOTHREADS, 2)
        self.client.do("x-penstock-iothread-del", id=gone, move_to=other)
        self.client.do("object-add", qom_type="iothread", id=gone)

    def reopen(self):
        disk = self.random.choice(self.disks)
        disk.direct = not disk.direct
        self.client.do("blockdev-reopen", options=[disk.file_options()])

    def replace_child(self):
        """The format gets its file through another node, and then directly again."""
        disk = self.random.choice(self.disks)
        if disk.file in disk.filters.values():
            return
        self.client.do("blockdev-add", driver="faults", node_name="beside", file=disk.file)
        for node in ("beside", disk.file):
            self.client.do("x-penstock-replace-child", parent=disk.node, child="file", node=node)
            before = disk.writer.requests
            wait_until(lambda: disk.writer.requests > before, "a request of the writer")
        self.client.do("blockdev-del", node_name="beside")

    def transaction(self):
        """A filter and a reopening together, or neither."""
        disk = self.random.choice(self.disks)
        direct = disk.direct
        disk.direct = not direct
        actions = [{"type": "x-penstock-insert-filter",
                    "data": {"node-name": disk.node,
                             "filter": {"driver": "faults", "node-name": "together"}}},
                   {"type": "blockdev-reopen", "data": {"options": [disk.file_options()]}}]
        if self.random.randrange(2):
            before = self.picture()
            self.must_fail("transaction", actions=[*actions, {"type": "abort"}])
            disk.direct = direct
            if self.picture() != before:
                raise AssertionError("an aborted transaction has changed the graph")
            return
        self.client.do("transaction", actions=actions)
        self.client.do("x-penstock-remove-filter", node_name="together")

    def read_only_and_back(self):
        """A disk that is written, closed, made read-only, read, and made writable again."""
        image = self.directory.image("turned.raw", MIB)
        mount_point = self.directory.file("mnt-turned")
        os.makedirs(mount_point, exist_ok=True)

        def options(read_only):
            return [{"driver": "raw", "node-name": "turned", "file": "turned-file",
                     "read-only": read_only},
                    {"driver": "file", "node-name": "turned-file", "filename": image,
                     "read-only": read_only}]

        def export(writable, use):
            self.client.do("block-export-add", type="fuse", id="turned", node_name="turned",
                           mountpoint=mount_point, writable=writable)
            with open(os.path.join(mount_point, "disk"), "r+b" if writable else "rb") as served:
                use(served)
            self.client.do("block-export-del", id="turned", mode="hard")
            self.client.wait_event(lambda event: event["event"] == "BLOCK_EXPORT_DELETED" and
                                   event["data"]["id"] == "turned")

        def read(served):
            if served.read(len(data)) != data:
                raise AssertionError("the reopened disk shows other bytes")

        data = self.random.randbytes(BLOCK)
        for node in reversed(options(False)):
            self.client.do("blockdev-add", **node)
        export(True, lambda served: served.write(data))
        self.client.do("blockdev-reopen", options=options(True))
        self.must_fail("block-export-add", type="fuse", id="turned", node_name="turned",
                       mountpoint=mount_point, writable=True)
        export(False, read)
        self.client.do("blockdev-reopen", options=options(False))
        export(True, read)
        self.client.do("blockdev-del", node_name="turned")
        self.client.do("blockdev-del", node_name="turned-file")
        os.rmdir(mount_point)

    def cancel_backup(self):
        """A slow copy that is given up."""
        disk = self.random.choice(self.disks)
        target = self.directory.image("cancelled.raw", disk.size)
        self.client.do("blockdev-add", driver="file", node_name="cancelled", filename=target)
        self.client.do("blockdev-backup", job_id="cancelled", device=disk.node,
                       target="cancelled", sync="full", speed=MIB)
        before = disk.writer.requests
        wait_until(lambda: disk.writer.requests > before, "a request of the writer")
        self.client.do("job-cancel", id="cancelled")
        self.client.wait_event(lambda event: event["event"] == "BLOCK_JOB_CANCELLED" and
                               event["data"]["device"] == "cancelled")
        wait_until(lambda: not self.client.do("query-jobs"), "the end of the job")
        self.client.do("blockdev-del", node_name="cancelled")
        os.unlink(target)

    def backup(self):
        """A copy of the moment when the job began."""
        disk = self.random.choice(self.disks)
        self.copies += 1
        target = self.directory.image(f"copy-{self.copies}.raw", disk.size)
        self.client.do("blockdev-add", driver="file", node_name="target", filename=target)
        job = f"copy-{self.copies}"
        with disk.writer.between_requests:
            self.client.do("blockdev-backup", job_id=job, device=disk.node, target="target",
                           sync="full")
            then = bytes(disk.writer.model)
        end = self.client.wait_event(
            lambda event: event["event"] in ("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED") and
            event["data"]["device"] == job)
        if end["event"] != "BLOCK_JOB_COMPLETED" or "error" in end["data"]:
            raise AssertionError(f"the copy failed: {end}")
        wait_until(lambda: not self.client.do("query-jobs"), "the end of the job")
        self.client.do("blockdev-del", node_name="target")
        with open(target, "rb") as copy:
            copy.seek(MODEL_START)
            if copy.read(MODEL_SIZE) != then:
                raise AssertionError("the copy is of another moment")
        os.unlink(target)

    # What the process holds.

    def resources(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            facts = dict(line.split(":", 1) for line in status)
        return {"descriptors": len(os.listdir(f"/proc/{self.pid}/fd")),
                "threads": self.threads(),
                "KiB": int(facts["VmRSS"].split()[0])}

    def threads(self):
        """The names of all threads, but for the kernel's own workers of a ring."""
        names = []
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{self.pid}/task/{task}/comm", encoding="utf-8") as comm:
                    names.append(comm.read().strip())
        return sorted(name for name in names if not name.startswith("iou-"))

    def wait_for_resources(self, start):
        """Workers of the thread pool end after idling."""
        def is_back():
            now = self.resources()
            return (now["descriptors"] <= start["descriptors"] and
                    len(now["threads"]) <= len(start["threads"]))
        try:
            wait_until(is_back, "descriptors and threads as at the start", 30)
        except AssertionError as error:
            raise AssertionError(f"{error}: {start} became {self.resources()}") from error
        if not is_sanitized() and self.resources()["KiB"] > start["KiB"] + 64 * 1024:
            raise AssertionError(f"memory grew: {start} became {self.resources()}")

    def end(self):
        self.client.do("quit")
        self.client.close()
        wait_until(lambda: not os.path.exists(self.directory.file("pid")), "the end after quit")


class Watcher(threading.Thread):
    """Asks for everything all the time, as a monitoring program does."""

    def __init__(self, path):
        super().__init__(name="watcher")
        self.client = Client(path)
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.stopping.is_set():
                for query in ("query-blockstats", "query-named-block-nodes", "query-iothreads",
                              "query-block-exports"):
                    self.client.do(query)
                time.sleep(0.02)
        except Exception:  # pylint: disable=broad-except
            self.failure = traceback.format_exc()

    def stop(self):
        self.stopping.set()
        self.join()
        self.client.close()
        if self.failure:
            raise AssertionError(f"{self.name}: {self.failure}")


def change_under_load(world, value):
    for number, disk in enumerate(world.disks):
        disk.start_load(value + number)
    watcher = Watcher(world.socket)
    watcher.start()
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            world.step()
            for disk in world.disks:
                if disk.fio.poll() not in (None, 0):
                    raise AssertionError(disk.fio.stdout.read())
    finally:
        # What waits in a throttle of 1,000 operations ends sooner.
        world.client.do("x-penstock-set-throttle", group="group", limits={"iops-total": 0})
        watcher.stop()
        for disk in world.disks:
            disk.stop_load()


def main():
    require_root_and_fuse()
    require_programs("fio")
    value = seed()
    with Directory() as directory:
        world = World(directory, value)
        try:
            world.warm_up()
            start = world.resources()
            world.build()
            change_under_load(world, value)
            disks = world.disks
            world.take_down()
            for disk in disks:
                disk.check_data()
            world.wait_for_resources(start)
            print("changes:", json.dumps(world.done, sort_keys=True))
            print("requests of the writers:", [disk.writer.requests for disk in disks])
            world.end()
        except BaseException:
            for disk in world.disks:
                if disk.fio and disk.fio.poll() is None:
                    disk.fio.kill()
                if disk.writer:
                    disk.writer.stopping.set()
                subprocess.run(["umount", "-l", disk.mount_point], capture_output=True,
                               check=False)
            subprocess.run(["umount", "-l", directory.file("mnt-extra")], capture_output=True,
                           check=False)
            os.kill(world.pid, 9)
            raise


if __name__ == "__main__":
    main()
