#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Partitions appear as files where sfdisk and the kernel see them, whatever the table says."""

import contextlib
import json
import os
import random
import struct
import subprocess
import time
import zlib

import cli_case
from cli_case import MIB

SECTOR = 512
# Types that are containers of logical partitions, which are no files here.
CONTAINERS = ("5", "f", "85")

GPT = """label: gpt
label-id: 11111111-2222-3333-4444-555555555555
start=2048, size=8192, name="EFI System", type=uefi
start=10240, size=16384, name="root/a", type=linux
start=26624, size=2048, name="root/a", type=linux
"""
MBR = """label: dos
label-id: 0x12345678
start=2048, size=4096, type=83
start=6144, size=4096, type=c, bootable
start=10240, size=40960, type=5
start=12288, size=4096, type=83
start=18432, size=8192, type=82
start=30720, size=2048, type=83
"""


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, timeout=cli_case.LONG,
                          **options).stdout


def partition_number(node, image):
    """What sfdisk says after the image's name: "3", or "p3" where that ends in a digit."""
    return int(node[len(image):].lstrip("p"))


class PartitionCase(cli_case.CliCase):
    def make_disk(self, script, size=64 * MIB, sector_size=SECTOR, name="disk.img"):
        """A disk of random bytes with this table."""
        image = self.make_image(name, content=random.Random(script).randbytes(MIB))
        os.truncate(image, size)
        if sector_size == SECTOR:
            run("sfdisk", "--quiet", "--no-reread", "--wipe=never", image, input=script.encode())
        else:  # which sfdisk cannot do on a file, and fdisk can
            commands = self.make_image("script", content=script.encode())
            run("fdisk", f"--sector-size={sector_size}", "--wipe=never", image,
                input=f"I\n{commands}\nw\n".encode())
        for place in range(2 * MIB, size, MIB):  # so that each place can be told from others
            self.write_at(image, place, f"place {place}".encode())
        return image

    @staticmethod
    def write_at(path, offset, data):
        fd = os.open(path, os.O_WRONLY)
        try:
            os.pwrite(fd, data, offset)
        finally:
            os.close(fd)

    def partition_files(self, folder=None):
        """{number: size} of the files that the mount shows."""
        folder = folder or self.mount_point
        return {int(name[1:]): os.path.getsize(os.path.join(folder, name))
                for name in os.listdir(folder) if name[0] == "p" and name[1:].isdigit()}

    def info(self):
        return json.loads(self.read_file(os.path.join(self.mount_point, "info.json")))

    def places(self):
        """{number: (offset, size)} as info.json has them."""
        return {int(entry["file"][1:]): (entry["offset"], entry["size"])
                for entry in self.info()["partitions"]}

    @staticmethod
    def places_by_sfdisk(image):
        table = json.loads(run("sfdisk", "--json", image))
        return {partition_number(entry["node"], image):
                (entry["start"] * SECTOR, entry["size"] * SECTOR)
                for entry in table["partitiontable"]["partitions"]
                if entry["type"] not in CONTAINERS}

    @staticmethod
    def places_by_fdisk(image, sector_size):
        places = {}
        listing = run("fdisk", f"--sector-size={sector_size}", "--list",
                      "--output=Device,Start,Sectors", image, text=True)
        for line in listing.splitlines():
            if line.startswith(image):
                node, start, size = line.split()
                places[partition_number(node, image)] = (int(start) * sector_size,
                                                         int(size) * sector_size)
        return places

    def places_by_kernel(self, image, sector_size=SECTOR):
        """None where loop devices cannot be had, or the kernel reads no tables by itself."""
        if os.geteuid() != 0 or not self.kernel_reads_tables():
            return None
        return self.places_on_loop(image, sector_size)

    def places_on_loop(self, image, sector_size):
        made = subprocess.run(["losetup", "--find", "--show", "--partscan", "--read-only",
                               f"--sector-size={sector_size}", image], capture_output=True,
                              text=True, check=False)
        if made.returncode != 0:
            return None
        device = made.stdout.strip()
        try:
            name = os.path.basename(device)
            places = {}
            for entry in os.listdir(f"/sys/block/{name}"):
                if entry.startswith(name + "p"):
                    start, size = (int(self.read_file(f"/sys/block/{name}/{entry}/{fact}"))
                                   for fact in ("start", "size"))
                    places[int(entry[len(name) + 1:])] = (start * SECTOR, size * SECTOR)
            return places
        finally:
            run("losetup", "--detach", device)

    def kernel_reads_tables(self):
        """A kernel may be built without any kind of partition table."""
        known = self.make_disk("label: dos\nstart=2048, size=2048, type=83\n", name="known.img")
        return bool(self.places_on_loop(known, SECTOR))

    def check_content(self, image):
        """Each file has the bytes of its place and no others."""
        with open(image, "rb") as disk:
            content = disk.read()
        for number, (offset, size) in self.places().items():
            self.assertEqual(self.read_file(os.path.join(self.mount_point, f"p{number}")),
                             content[offset:offset + size])
        self.assertEqual(self.partition_files(),
                         {number: size for number, (_, size) in self.places().items()})


class TableTest(PartitionCase):
    def check_against_both(self, image, sector_size=SECTOR):
        self.mount(image, self.mount_point)
        theirs = (self.places_by_sfdisk(image) if sector_size == SECTOR
                  else self.places_by_fdisk(image, sector_size))
        self.assertEqual(self.places(), theirs)
        kernel = self.places_by_kernel(image, sector_size)
        if kernel is not None:
            # The kernel shows the first KiB of a container.
            self.assertEqual({number: place for number, place in kernel.items()
                              if place[1] != 1024}, self.places())
        self.check_content(image)

    def test_gpt(self):
        self.check_against_both(self.make_disk(GPT))
        facts = self.info()
        self.assertEqual(facts["partition-table"], "gpt")
        self.assertEqual(facts["sector-size"], 512)
        self.assertEqual(facts["virtual-size"], 64 * MIB)
        self.assertEqual(facts["partitions"][0]["name"], "EFI System")
        self.assertEqual(facts["partitions"][0]["type"], "c12a7328-f81f-11d2-ba4b-00a0c93ec93b")

    def test_mbr_with_logical_partitions(self):
        self.check_against_both(self.make_disk(MBR))
        self.assertEqual(sorted(self.partition_files()), [1, 2, 5, 6, 7])
        self.assertEqual(self.info()["partitions"][1]["type"], "0xc")

    def test_gpt_with_sectors_of_4096_bytes(self):
        script = ("label: gpt\nstart=256, size=1024, name=one\nstart=1280, size=512, name=two\n"
                  "start=4096, name=rest\n")
        self.check_against_both(self.make_disk(script, sector_size=4096), 4096)
        self.assertEqual(self.info()["sector-size"], 4096)

    def test_mbr_with_sectors_of_4096_bytes_when_asked_for(self):
        script = "label: dos\nstart=256, size=1024, type=83\nstart=1280, size=512, type=83\n"
        image = self.make_disk(script, sector_size=4096)
        self.mount("-o", "sector-size=4096", image, self.mount_point)
        self.assertEqual(self.places(), self.places_by_fdisk(image, 4096))
        self.check_content(image)

    def test_gpt_whose_first_header_is_damaged(self):
        image = self.make_disk(GPT)
        self.write_at(image, SECTOR + 16, b"\xff\xff\xff\xff")  # its checksum
        self.mount(image, self.mount_point)
        self.assertEqual(sorted(self.places()), [1, 2, 3])
        kernel = self.places_by_kernel(image)
        if kernel is not None:
            self.assertEqual(self.places(), kernel)

    def test_many_partitions(self):
        entries = [f"start={2048 + 64 * i}, size=64, name=part{i}" for i in range(128)]
        self.check_against_both(self.make_disk("label: gpt\n" + "\n".join(entries) + "\n"))
        self.assertEqual(len(self.partition_files()), 128)
        links = os.path.join(self.mount_point, "by-partname")
        self.assertEqual(os.readlink(os.path.join(links, "part127")), "../p128")
        self.assertEqual(len(os.listdir(links)), 128)

    def test_no_table(self):
        self.mount(self.make_image(), self.mount_point)
        self.assertEqual(sorted(os.listdir(self.mount_point)), ["disk", "info.json"])
        self.assertEqual(self.info()["partitions"], [])

    def test_partitions_can_be_left_out(self):
        image = self.make_disk(GPT)
        for options in (["--no-partitions"], ["-o", "no-partitions"]):
            self.mount(*options, image, self.mount_point)
            self.assertEqual(sorted(os.listdir(self.mount_point)), ["disk", "info.json"])
            self.umount()

    def test_a_mount_over_a_file_is_the_disk_alone(self):
        image = self.make_disk(GPT)
        place = self.make_image("place", size=1)
        self.mount(image, place)
        self.assertEqual(os.path.getsize(place), 64 * MIB)
        self.umount(place)

    def test_window_of_an_image_has_partitions_of_its_own(self):
        inner = self.read_file(self.make_disk(MBR))
        image = self.make_image("outer.img", content=bytes(MIB) + inner)
        self.mount("-o", "offset=1M", image, self.mount_point)
        self.assertEqual(sorted(self.partition_files()), [1, 2, 5, 6, 7])
        self.assertEqual(self.read_file(os.path.join(self.mount_point, "p5")),
                         inner[12288 * SECTOR:16384 * SECTOR])


class WritingTest(PartitionCase):
    def test_what_is_written_to_a_partition_is_in_the_disk(self):
        image = self.make_disk(GPT)
        expected = bytearray(self.read_file(image))
        self.mount("-w", "-f", "raw", image, self.mount_point)
        first = os.path.join(self.mount_point, "p1")
        self.write_at(first, 5000, b"partition")
        expected[2048 * SECTOR + 5000:2048 * SECTOR + 5009] = b"partition"
        self.assertEqual(self.read_file(self.disk), bytes(expected))
        self.write_at(self.disk, 2048 * SECTOR, b"disk")
        expected[2048 * SECTOR:2048 * SECTOR + 4] = b"disk"
        self.assertEqual(self.read_file(first)[:4], b"disk")
        with self.assertRaises(OSError):
            self.write_at(first, 8192 * SECTOR, b"past the end")
        self.umount()
        self.assertEqual(self.read_file(image), bytes(expected))

    def test_partitions_never_grow(self):
        image = self.make_disk(GPT)
        self.mount("-w", "-f", "raw", "--growable", image, self.mount_point)
        first = os.path.join(self.mount_point, "p1")
        with self.assertRaises(OSError):
            os.truncate(first, 64 * MIB)
        with self.assertRaises(OSError):
            self.write_at(first, 8192 * SECTOR, b"x")
        self.assertEqual(os.path.getsize(first), 8192 * SECTOR)

    def test_partitions_of_a_read_only_mount_are_read_only(self):
        self.mount(self.make_disk(GPT), self.mount_point)
        with self.assertRaises(OSError):
            self.write_at(os.path.join(self.mount_point, "p1"), 0, b"x")


class LinkTest(PartitionCase):
    def link(self, *names):
        return os.readlink(os.path.join(self.mount_point, *names))

    def make_file_systems(self, image):
        """ext4 in p2, vfat in p1; answers ext4's UUID."""
        ext4 = self.path("ext4")
        with open(ext4, "wb") as part:
            part.truncate(8 * MIB)
        run("mkfs.ext4", "-q", "-L", "my disk/1", ext4)
        self.write_at(image, 10240 * SECTOR, self.read_file(ext4))
        vfat = self.path("vfat")
        with open(vfat, "wb") as part:
            part.truncate(4 * MIB)
        run("mkfs.vfat", "-n", "BOOT", "-i", "1234abcd", vfat)
        self.write_at(image, 2048 * SECTOR, self.read_file(vfat))
        return run("blkid", "-p", "-s", "UUID", "-o", "value", ext4, text=True).strip()

    def test_links_name_partitions_by_their_content(self):
        image = self.make_disk(GPT)
        uuid = self.make_file_systems(image)
        self.mount(image, self.mount_point)
        self.assertEqual(sorted(os.listdir(self.mount_point)),
                         ["by-label", "by-partname", "by-uuid", "disk", "info.json", "p1", "p2",
                          "p3"])
        self.assertEqual(self.link("by-label", "my\\x20disk\\x2f1"), "../p2")
        self.assertEqual(self.link("by-label", "BOOT"), "../p1")
        self.assertEqual(self.link("by-uuid", uuid), "../p2")
        self.assertEqual(self.link("by-uuid", "1234-ABCD"), "../p1")
        self.assertEqual(self.link("by-partname", "EFI\\x20System"), "../p1")
        self.assertEqual(self.link("by-partname", "root\\x2fa"), "../p2")  # the first of two
        through = os.path.join(self.mount_point, "by-label", "BOOT")
        self.assertEqual(self.read_file(through),
                         self.read_file(os.path.join(self.mount_point, "p1")))
        second = self.info()["partitions"][1]
        self.assertEqual((second["fstype"], second["label"], second["uuid"]),
                         ("ext4", "my disk/1", uuid))

    def test_a_file_system_without_a_table_is_the_disk(self):
        image = self.make_image(content=bytes(8 * MIB))
        run("mkfs.ext4", "-q", "-L", "whole", image)
        self.mount(image, self.mount_point)
        self.assertEqual(self.link("by-label", "whole"), "../disk")
        self.assertEqual(sorted(os.listdir(self.mount_point)),
                         ["by-label", "by-uuid", "disk", "info.json"])
        self.assertEqual(self.info()["fstype"], "ext4")

    def test_labels_with_any_bytes(self):
        image = self.make_image(content=bytes(8 * MIB))
        run("mkfs.ext4", "-q", image)
        run("tune2fs", "-L", b"../\xff\nx", image)
        self.mount(image, self.mount_point)
        self.assertEqual(os.listdir(os.path.join(self.mount_point, "by-label")),
                         ["..\\x2f\\xff\\x0ax"])
        self.info()


class HostileTableTest(PartitionCase):
    SIZE = 16 * MIB

    def mbr(self, *sectors):
        """A disk with tables at (sector, [(type, start, count), ...])."""
        disk = bytearray(self.SIZE)
        for sector, entries in sectors:
            for i, (kind, start, count) in enumerate(entries):
                place = sector * SECTOR + 446 + 16 * i
                disk[place:place + 16] = struct.pack("<4xB3xII", kind, start, count)
            disk[sector * SECTOR + 510:sector * SECTOR + 512] = b"\x55\xaa"
        return disk

    def check_bounds(self, disk, name="hostile.img"):
        """The mount works, and no file reaches outside the disk."""
        image = self.make_image(name, content=bytes(disk))
        self.mount(image, self.mount_point)
        places = self.places()
        for number, (offset, size) in places.items():
            self.assertGreater(size, 0)
            self.assertLessEqual(offset + size, len(disk))
            data = self.read_file(os.path.join(self.mount_point, f"p{number}"))
            self.assertEqual(data, bytes(disk[offset:offset + size]))
        self.assertEqual(self.read_file(self.disk), bytes(disk))
        self.umount()
        return places

    def test_overlapping_partitions_are_shown_as_they_are(self):
        places = self.check_bounds(self.mbr((0, [(0x83, 64, 4096), (0x83, 2048, 4096)])))
        self.assertEqual(places[2], (2048 * SECTOR, 4096 * SECTOR))

    def test_partitions_past_the_end_as_the_kernel_has_them(self):
        end = self.SIZE // SECTOR
        disk = self.mbr((0, [(0x83, 64, 2 * end), (0x83, end - 1, 0xffffffff), (0x83, end, 1),
                             (0x83, 0xffffffff, 0xffffffff)]))
        places = self.check_bounds(disk)
        self.assertEqual(places, {1: (64 * SECTOR, self.SIZE - 64 * SECTOR),
                                  2: (self.SIZE - SECTOR, SECTOR)})
        kernel = self.places_by_kernel(self.path("hostile.img"))
        if kernel is not None:
            self.assertEqual(kernel, places)

    def test_logical_partitions_in_a_loop(self):
        for name, target in (("itself", 0), ("before", 64)):
            disk = self.mbr((0, [(0x05, 2048, 8192)]),
                            (2048, [(0x83, 8, 8), (0x05, 64, 1024)]),
                            (2112, [(0x83, 8, 8), (0x05, target, 1024)]))
            self.check_bounds(disk, name)

    def test_gpt_with_wrong_checksums(self):
        image = self.make_disk(GPT, size=self.SIZE)
        disk = bytearray(self.read_file(image))
        for header in (SECTOR, self.SIZE - SECTOR):
            disk[header + 16] ^= 1
        self.assertEqual(self.check_bounds(disk), {})

    def test_gpt_with_entries_past_the_end(self):
        image = self.make_disk(GPT, size=self.SIZE)
        disk = bytearray(self.read_file(image))
        entries = 2 * SECTOR
        struct.pack_into("<QQ", disk, entries + 32, 2048, 1 << 60)
        struct.pack_into("<QQ", disk, entries + 128 + 32, (1 << 63) - 1, (1 << 64) - 1)
        struct.pack_into("<I", disk, SECTOR + 88, zlib.crc32(disk[entries:entries + 128 * 128]))
        struct.pack_into("<I", disk, SECTOR + 16, 0)
        struct.pack_into("<I", disk, SECTOR + 16, zlib.crc32(disk[SECTOR:SECTOR + 92]))
        self.check_bounds(disk)

    def test_random_damage(self):
        seeds = random.Random(7)
        for script in (GPT, MBR):
            good = self.read_file(self.make_disk(script.replace("40960", "20000"), size=self.SIZE))
            for round_number in range(6):
                with self.subTest(script=script.split()[1], round=round_number):
                    disk = bytearray(good)
                    for _ in range(8):
                        sector = seeds.choice((0, 1, 2, self.SIZE // SECTOR - 1, 10240, 16384))
                        disk[sector * SECTOR + seeds.randrange(SECTOR)] = seeds.randrange(256)
                    self.check_bounds(disk, f"damaged{round_number}.img")


class FailedProbeTest(PartitionCase):
    def test_an_image_that_cannot_be_read_is_mounted_without_partitions(self):
        image = self.make_disk(GPT)
        self.mount("--fault", "read_aio:always:errno=EIO", image, self.mount_point)
        self.assertEqual(sorted(os.listdir(self.mount_point)), ["disk", "info.json"])

    def test_an_image_that_does_not_answer_is_mounted_without_partitions(self):
        image = self.make_disk(GPT)
        server = self.start_program("mount", "--foreground", "--fault",
                                    "read_aio:delay-ns=7000000000", image, self.mount_point)
        messages = [self.first_message(server), server.stderr.readline()]
        self.assertIn("no partitions are shown", messages[0])
        self.assertIn("it took too long", messages[0])
        self.assertIn("is mounted at", messages[1])
        self.assertEqual(sorted(os.listdir(self.mount_point)), ["disk", "info.json"])
        # The killed process ends with its read, and keeps the mount busy until then.
        cli_case.wait_until(lambda: self.run_program("umount", self.mount_point).returncode == 0,
                            "an unmount")
        self.assertEqual(server.wait(timeout=cli_case.LONG), 0)

    def test_the_hidden_directory_is_not_listed_and_read_only(self):
        self.mount("-w", "-f", "raw", self.make_disk(GPT), self.mount_point)
        self.assertNotIn(".penstock", os.listdir(self.mount_point))
        hidden = os.path.join(self.mount_point, ".penstock", "0")
        with contextlib.suppress(PermissionError):
            self.write_at(hidden, 0, b"x")
            self.fail("written through the hidden file")

    def test_the_probe_answers_in_json(self):
        answer = json.loads(self.succeed("probe-partitions", self.make_disk(MBR)).stdout)
        self.assertEqual([entry["number"] for entry in answer["partitions"]], [1, 2, 5, 6, 7])
        self.assertNotIn("probe-partitions", self.succeed("--help").stdout)


class TimeTest(PartitionCase):
    def test_looking_for_partitions_takes_little_time(self):
        image = self.make_disk(GPT)
        times = {}
        for options in (["--no-partitions"], []):
            taken = []
            for _ in range(5):
                start = time.monotonic()
                self.mount(*options, image, self.mount_point)
                taken.append(time.monotonic() - start)
                self.umount()
            times[bool(options)] = min(taken)
        print(f"mount: {times[True] * 1000:.1f} ms without, {times[False] * 1000:.1f} ms with"
              " partitions")
        # Much less is usual; a loaded machine must pass.
        self.assertLess(times[False] - times[True], 1)


if __name__ == "__main__":
    cli_case.main()
