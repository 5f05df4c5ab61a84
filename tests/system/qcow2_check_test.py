# SPDX-License-Identifier: Apache-2.0
"""`penstock check` agrees with `qemu-img check` on images with planted defects.

Each case makes a small image, changes one thing in it by hand, and asks both programs. Counts and
exit status are equal, but for the cases in DIFFERENCES, where ours are right
(docs/decisions/0021-check-differs-from-qemu.md).
"""

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.environ.get("PENSTOCK_PROGRAM", "penstock")
SEED = 20240917
LONG = 60  # seconds
KIB = 1024
MIB = 1024 * KIB

OFFSET = 0x00FFFFFFFFFFFE00
COPIED = 1 << 63
COMPRESSED = 1 << 62
COUNTS = ("corruptions", "leaks", "check-errors", "total-clusters", "allocated-clusters",
          "fragmented-clusters", "compressed-clusters", "image-end-offset")

# What is written into each kind of image: (options of qemu-img create, size, qemu-io commands).
KINDS = {
    "plain": ("", "4M", ["write -P 1 0 300k", "write -P 2 2M 64k", "write -z 3M 64k"]),
    "old": ("compat=0.10", "4M", ["write -P 1 0 300k"]),
    "c512": ("cluster_size=512", "64k", ["write -P 1 0 20k", "write -P 2 40k 9k"]),
    "c2m": ("cluster_size=2M", "16M", ["write -P 1 0 3M", "write -P 2 9M 1M"]),
    "r1": ("refcount_bits=1", "4M", ["write -P 1 0 300k"]),
    "r2": ("refcount_bits=2", "4M", ["write -P 1 0 300k"]),
    "r4": ("refcount_bits=4", "4M", ["write -P 1 0 300k"]),
    "r8": ("refcount_bits=8", "4M", ["write -P 1 0 300k"]),
    "r32": ("refcount_bits=32", "4M", ["write -P 1 0 300k"]),
    "r64": ("refcount_bits=64", "4M", ["write -P 1 0 300k"]),
    "r1c512": ("refcount_bits=1,cluster_size=512", "64k", ["write -P 1 0 20k"]),
    "r64c512": ("refcount_bits=64,cluster_size=512", "64k", ["write -P 1 0 20k"]),
    "extended": ("extended_l2=on,cluster_size=64k", "4M",
                 ["write -P 1 0 70k", "write -P 2 1M 10k", "write -z 1056k 4k"]),
    "dirty": ("lazy_refcounts=on", "4M", ["write -P 1 0 300k"]),
    "two_tables": ("cluster_size=4k", "8M", ["write -P 1 0 40k", "write -P 2 4M 40k"]),
}


def be64(image, offset):
    return struct.unpack_from(">Q", image, offset)[0]


def be32(image, offset):
    return struct.unpack_from(">I", image, offset)[0]


def put64(image, offset, value):
    struct.pack_into(">Q", image, offset, value & (2**64 - 1))


def put32(image, offset, value):
    struct.pack_into(">I", image, offset, value & (2**32 - 1))


class Layout:
    """Where things are in an image."""

    def __init__(self, image):
        self.cluster_bits = be32(image, 20)
        self.cluster = 1 << self.cluster_bits
        self.l1 = be64(image, 40)
        self.refcount_table = be64(image, 48)
        self.refcount_block = be64(image, self.refcount_table)
        self.l2 = be64(image, self.l1) & OFFSET
        self.snapshots = be64(image, 64)
        self.clusters = (len(image) + self.cluster - 1) // self.cluster
        version = be32(image, 4)
        self.order = be32(image, 96) if version == 3 else 4

    def data(self, image, index=0):
        """The index-th entry of the first L2 table that is not zero: (its place, itself)."""
        step = 16 if be32(image, 4) == 3 and be64(image, 72) & 16 else 8
        found = [at for at in range(self.l2, self.l2 + self.cluster, step)
                 if be64(image, at) & OFFSET]
        return found[index], be64(image, found[index])

    def set_refcount(self, image, cluster, value):
        bits = 1 << self.order
        block = be64(image, self.refcount_table + cluster * bits // 8 // self.cluster * 8)
        index = cluster % (self.cluster * 8 // bits)
        if bits >= 8:
            size = bits // 8
            image[block + index * size:block + (index + 1) * size] = value.to_bytes(size, "big")
        else:
            at = block + index * bits // 8
            shift = index * bits % 8
            mask = ((1 << bits) - 1) << shift
            image[at] = image[at] & ~mask | value << shift


def change_entry(change, index=0):
    """A defect: the index-th data entry becomes change(entry, layout, image)."""
    def plant(image, layout):
        at, entry = layout.data(image, index)
        put64(image, at, change(entry, layout, image))
    return plant


def change_l1(change, index=0):
    def plant(image, layout):
        at = layout.l1 + 8 * index
        put64(image, at, change(be64(image, at), layout, image))
    return plant


def change_table(change, index=0):
    def plant(image, layout):
        at = layout.refcount_table + 8 * index
        put64(image, at, change(be64(image, at), layout, image))
    return plant


def refcount(cluster, value):
    """`cluster`: a number, or a function of (image, layout)."""
    def plant(image, layout):
        number = cluster(image, layout) if callable(cluster) else cluster
        layout.set_refcount(image, number, value)
    return plant


def cluster_of(index):
    return lambda image, layout: (layout.data(image, index)[1] & OFFSET) >> layout.cluster_bits


def snapshot_field(offset, width, value, of=0):
    """A field of the of-th entry of the snapshot table."""
    def plant(image, layout):
        at = layout.snapshots
        for _ in range(of):
            at += 40 + be32(image, at + 36) + struct.unpack_from(">H", image, at + 12)[0] + \
                struct.unpack_from(">H", image, at + 14)[0]
            at = (at + 7) & ~7
        new = value(be64(image, at + offset) if width == 8 else be32(image, at + offset),
                    layout) if callable(value) else value
        (put64 if width == 8 else put32)(image, at + offset, new)
    return plant


def snapshot_l1(change, index=0):
    def plant(image, layout):
        at = be64(image, layout.snapshots) + 8 * index
        put64(image, at, change(be64(image, at), layout, image))
    return plant


def header32(offset, change):
    return lambda image, layout: put32(image, offset, change(be32(image, offset)))


def header64(offset, change):
    return lambda image, layout: put64(image, offset, change(be64(image, offset)))


def bitmap_directory(image):
    at = be32(image, 100)
    while be32(image, at) != 0x23852875:
        at += 8 + (be32(image, at + 4) + 7) // 8 * 8
    return be64(image, at + 24)


def bitmap_field(offset, value):
    return lambda image, layout: put32(image, bitmap_directory(image) + offset, value)


def bitmap_table(change):
    def plant(image, layout):
        at = be64(image, bitmap_directory(image))
        put64(image, at, change(be64(image, at), layout))
    return plant


def nothing(_image, _layout):
    pass


def append(size):
    return lambda image, layout: image.extend(bytes(size))


def cut(size):
    def plant(image, _layout):
        del image[len(image) - size:]
    return plant


def subclusters(value, index=0):
    def plant(image, layout):
        at, _ = layout.data(image, index)
        put64(image, at + 8, value)
    return plant


def several(*plants):
    def plant(image, layout):
        for each in plants:
            each(image, layout)
    return plant


def random_defects(seed):
    """Three words of metadata become random ones."""
    def plant(image, layout):
        numbers = random.Random(SEED + seed)
        for _ in range(3):
            table = numbers.choice([layout.l1, layout.l2, layout.refcount_block])
            at = table + 8 * numbers.randrange(8)
            word = be64(image, at)
            put64(image, at, numbers.choice([word ^ 1 << numbers.randrange(9, 24), 0,
                                             word + layout.cluster, word & ~COPIED]))
    return plant


UNALIGNED = change_entry(lambda entry, *_: entry + 512)

# (name, kind of image, defect)
CASES = [(f"sound {kind}", kind, nothing) for kind in
         [*KINDS, "snapshot", "compressed", "zstd", "data_file", "bitmaps", "backed"]]
CASES += [
    # L2 entries.
    ("entry without copied", "plain", change_entry(lambda e, *_: e & ~COPIED)),
    ("entry beyond the file", "plain", change_entry(lambda e, *_: e & COPIED | 1 << 40)),
    ("entry at the file's end", "plain", change_entry(lambda e, l, i: COPIED | len(i))),
    ("entry at the largest offset", "plain", change_entry(lambda e, *_: COPIED | OFFSET)),
    ("entry not aligned", "plain", UNALIGNED),
    ("entry not aligned in the last cluster", "plain",
     change_entry(lambda e, l, i: COPIED | (len(i) - l.cluster + 512))),
    ("zero entry not aligned", "plain", change_entry(lambda e, *_: e + 513)),
    ("entry with low reserved bits", "plain", change_entry(lambda e, *_: e | 0x1FE)),
    ("entry with high reserved bits", "plain", change_entry(lambda e, *_: e | 0x3F << 56)),
    ("entry cleared", "plain", change_entry(lambda e, *_: 0)),
    ("entry doubled", "plain", change_entry(lambda e, l, i: l.data(i, 1)[1])),
    ("entry on the header", "plain", change_entry(lambda e, *_: COPIED | 1)),
    ("entry on its own table", "plain", change_entry(lambda e, l, i: COPIED | l.l2)),
    ("entry on the L1 table", "plain", change_entry(lambda e, l, i: COPIED | l.l1)),
    ("entry on the refcount block", "plain",
     change_entry(lambda e, l, i: COPIED | l.refcount_block)),
    ("entry on the refcount table", "plain",
     change_entry(lambda e, l, i: COPIED | l.refcount_table)),
    ("entry becomes compressed", "plain", change_entry(lambda e, *_: e & OFFSET | COMPRESSED)),
    ("compressed and copied", "plain", change_entry(lambda e, *_: e | COMPRESSED)),
    ("zero flag on data", "plain", change_entry(lambda e, *_: e | 1)),
    ("all bits set", "plain", change_entry(lambda e, *_: 2**64 - 1)),
    ("swapped entries", "plain", several(change_entry(lambda e, l, i: e + 2 * l.cluster, 0))),
    ("entry beyond the file, 512", "c512", change_entry(lambda e, *_: COPIED | 1 << 30)),
    ("entry cleared, 512", "c512", change_entry(lambda e, *_: 0, 3)),
    ("entry doubled, 512", "c512", change_entry(lambda e, l, i: l.data(i, 2)[1])),
    ("entry not aligned, 2M", "c2m", UNALIGNED),
    ("entry doubled, 2M", "c2m", change_entry(lambda e, l, i: l.data(i, 1)[1])),
    ("zero flag in version 2", "old", change_entry(lambda e, *_: e | 1)),
    ("entry without copied in version 2", "old", change_entry(lambda e, *_: e & ~COPIED)),
    # L1 entries.
    ("L1 entry without copied", "plain", change_l1(lambda e, *_: e & ~COPIED)),
    ("L1 entry cleared", "plain", change_l1(lambda e, *_: 0)),
    ("L1 entry beyond the file", "plain", change_l1(lambda e, *_: COPIED | 1 << 40)),
    ("L1 entry at the largest offset", "plain", change_l1(lambda e, *_: 2**64 - 1)),
    ("L1 entry with reserved bits", "plain", change_l1(lambda e, *_: e | 1 << 60 | 1)),
    ("L1 entry not aligned", "plain", change_l1(lambda e, *_: e + 512)),
    ("L1 entry of the copied flag alone", "plain", change_l1(lambda e, *_: COPIED)),
    ("L1 entry on the refcount block", "plain",
     change_l1(lambda e, l, i: COPIED | l.refcount_block)),
    ("two L1 entries, one table", "two_tables", change_l1(lambda e, l, i: be64(i, l.l1 + 8))),
    ("L1 entry cleared, 4k", "two_tables", change_l1(lambda e, *_: 0, 1)),
    # Refcounts.
    ("refcount of data too small", "plain", refcount(cluster_of(0), 0)),
    ("refcount of data too large", "plain", refcount(cluster_of(0), 2)),
    ("refcount of data at its largest", "plain", refcount(cluster_of(1), 65535)),
    ("refcount of the header", "plain", refcount(0, 0)),
    ("refcount of the L1 table", "plain", refcount(lambda i, l: l.l1 >> l.cluster_bits, 3)),
    ("refcount of the L2 table", "plain", refcount(lambda i, l: l.l2 >> l.cluster_bits, 2)),
    ("refcount of the L2 table zero", "plain", refcount(lambda i, l: l.l2 >> l.cluster_bits, 0)),
    ("refcount past the end of the file", "plain", refcount(lambda i, l: l.clusters + 3, 1)),
    ("1-bit refcount too small", "r1", refcount(cluster_of(0), 0)),
    ("1-bit refcount, two references", "r1", change_entry(lambda e, l, i: l.data(i, 1)[1])),
    ("1-bit refcount, block with two", "r1c512",
     change_entry(lambda e, l, i: COPIED | l.refcount_block)),
    ("1-bit refcount leaked, 512", "r1c512", change_entry(lambda e, *_: 0, 4)),
    ("2-bit refcount too large", "r2", refcount(cluster_of(1), 3)),
    ("4-bit refcount too large", "r4", refcount(cluster_of(1), 9)),
    ("8-bit refcount too large", "r8", refcount(cluster_of(2), 200)),
    ("32-bit refcount too large", "r32", refcount(cluster_of(1), 70000)),
    ("64-bit refcount too large", "r64", refcount(cluster_of(1), 2**40)),
    ("64-bit refcount too small, 512", "r64c512", refcount(cluster_of(5), 0)),
    # The refcount table.
    ("refcount table entry cleared", "plain", change_table(lambda e, *_: 0)),
    ("refcount table entry reserved", "plain", change_table(lambda e, *_: e | 1)),
    ("refcount table entry not aligned", "plain", change_table(lambda e, *_: e + 512)),
    ("refcount table entry outside", "plain", change_table(lambda e, *_: 1 << 40)),
    ("refcount table entry huge", "plain", change_table(lambda e, *_: 0xFFFFFFFFFFFFFE00)),
    ("refcount block twice", "plain",
     change_table(lambda e, l, i: l.refcount_block, 1)),
    ("refcount block on data", "plain",
     change_table(lambda e, l, i: l.data(i, 0)[1] & OFFSET, 1)),
    ("refcount block cleared, 512", "c512", change_table(lambda e, *_: 0)),
    # Extended L2 entries.
    ("subclusters allocated and zero", "extended", subclusters(0x100000001)),
    ("compressed with subclusters", "extended",
     change_entry(lambda e, *_: e & OFFSET | COMPRESSED)),
    ("subclusters without a cluster", "extended", change_entry(lambda e, *_: 0)),
    ("no subcluster, not aligned", "extended", several(subclusters(0), UNALIGNED)),
    ("zero flag beside subclusters", "extended", change_entry(lambda e, *_: e | 1)),
    # Snapshots.
    ("snapshot's L1 table not aligned", "snapshot",
     snapshot_field(0, 8, lambda v, l: v + 512)),
    ("snapshot's L1 table beyond the file", "snapshot", snapshot_field(0, 8, 1 << 40)),
    ("snapshot's L1 table too large", "snapshot", snapshot_field(8, 4, 0x7FFFFFFF)),
    ("snapshot's L1 table empty", "snapshot", snapshot_field(8, 4, 0)),
    ("snapshot's L1 table is the disk's", "snapshot", snapshot_field(0, 8, lambda v, l: l.l1)),
    ("second snapshot's L1 table is the disk's", "snapshot",
     snapshot_field(0, 8, lambda v, l: l.l1, of=1)),
    ("snapshot without sizes", "snapshot", snapshot_field(36, 4, 8)),
    ("snapshot's L1 entry cleared", "snapshot", snapshot_l1(lambda e, *_: 0)),
    ("snapshot's L1 entry beyond the file", "snapshot", snapshot_l1(lambda e, *_: 1 << 40)),
    ("snapshot's L1 entry reserved", "snapshot", snapshot_l1(lambda e, *_: e | 2)),
    ("one snapshot too few", "snapshot", header32(60, lambda n: n - 1)),
    ("shared entry marked copied", "snapshot", change_entry(lambda e, *_: e | COPIED, 2)),
    ("shared entry cleared", "snapshot", change_entry(lambda e, *_: 0, 2)),
    # Compressed clusters.
    ("compressed entry cleared", "compressed", change_entry(lambda e, *_: 0)),
    ("compressed entry copied", "compressed", change_entry(lambda e, *_: e | COPIED, 1)),
    ("compressed entry elsewhere", "compressed", change_entry(lambda e, l, i: e + l.cluster, 1)),
    ("compressed entry longer", "compressed", change_entry(lambda e, *_: e | 0xFF << 54)),
    ("compressed entry beyond the file", "compressed", change_entry(lambda e, *_: e | 1 << 40)),
    ("compressed entry doubled", "zstd", change_entry(lambda e, l, i: l.data(i, 1)[1])),
    ("refcount of compressed data", "zstd", refcount(lambda i, l: l.clusters - 1, 9)),
    # External data files.
    ("data file: entry without copied", "data_file", change_entry(lambda e, *_: e & ~COPIED, 1)),
    ("data file: compressed", "data_file", change_entry(lambda e, *_: e | COMPRESSED, 1)),
    ("data file: entry not aligned", "data_file", change_entry(lambda e, *_: e + 512, 1)),
    ("data file: entry far away", "data_file", change_entry(lambda e, *_: COPIED | 1 << 40, 1)),
    # Bitmaps.
    ("bitmap's table entry reserved", "bitmaps", bitmap_table(lambda e, l: e | 2)),
    ("bitmap's table entry not aligned", "bitmaps", bitmap_table(lambda e, l: e + 512)),
    ("bitmap's table entry beyond the file", "bitmaps", bitmap_table(lambda e, l: 1 << 40)),
    ("bitmap's table entry cleared", "bitmaps", bitmap_table(lambda e, l: 0)),
    ("bitmap's table beyond the file", "bitmaps", bitmap_field(0, 0x100)),
    ("bitmap with unknown flags", "bitmaps", bitmap_field(12, 0x80000000)),
    ("bitmap with a table too large", "bitmaps", bitmap_field(8, 2)),
    ("bitmaps forgotten by another program", "bitmaps", header64(88, lambda f: f & ~1)),
    # The header and the file.
    ("dirty bit", "dirty", header64(72, lambda f: f | 1)),
    ("dirty, refcounts not written", "dirty",
     several(header64(72, lambda f: f | 1), refcount(cluster_of(0), 0),
             refcount(cluster_of(1), 0))),
    ("corrupt bit", "plain", header64(72, lambda f: f | 2)),
    ("cluster appended", "plain", append(64 * KIB)),
    ("bytes appended", "plain", append(100)),
    ("last cluster cut off", "plain", cut(64 * KIB)),
    ("last cluster cut short", "plain", cut(1000)),
    ("two clusters cut off", "plain", cut(128 * KIB)),
    ("data cut off, 512", "c512", cut(4 * KIB)),
    ("L1 table beyond the file", "plain", header64(40, lambda v: 1 << 40)),
    ("L1 table not aligned", "plain", header64(40, lambda v: v + 512)),
    ("L1 table too small", "plain", header32(36, lambda v: 0)),
    ("L1 table larger", "plain", header32(36, lambda v: v + 100)),
    ("refcount table not aligned", "plain", header64(48, lambda v: v + 512)),
    ("refcount table of no cluster", "plain", header32(56, lambda v: 0)),
    ("refcount table of two clusters", "plain", header32(56, lambda v: v + 1)),
    ("no magic", "plain", header32(0, lambda v: v + 1)),
    ("version 4", "plain", header32(4, lambda v: 4)),
    ("snapshot table not aligned", "snapshot", header64(64, lambda v: v + 512)),
    ("disk of another size", "plain", header64(24, lambda v: v - 65536)),
]
CASES += [(f"random defects {seed}", kind, random_defects(seed))
          for seed in range(4) for kind in ("plain", "c512", "r1", "two_tables")]

# Ours says more than QEMU's, by these counts: the driver refuses to read such a cluster, so that
# the image is not sound.
DIFFERENCES = {
    "zero flag in version 2": {"corruptions": 1},
    "zero flag beside subclusters": {"corruptions": 1},
}


def run(*command, check=True):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=LONG, check=check)


class Qcow2CheckTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="penstock-check-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        for kind, (options, size, commands) in KINDS.items():
            image = cls.create(kind, options, size)
            cls.write(image, *commands)

        image = cls.create("snapshot", "", "4M")
        cls.write(image, "write -P 1 0 300k")
        run("qemu-img", "snapshot", "-c", "first", image)
        cls.write(image, "write -P 2 0 70k")
        run("qemu-img", "snapshot", "-c", "second", image)
        cls.write(image, "write -P 3 1M 64k")

        source = os.path.join(cls.folder, "source")
        numbers = random.Random(SEED)
        with open(source, "wb") as file:
            for _ in range(8):
                file.write(numbers.randbytes(20 * KIB) + bytes(44 * KIB))
        for kind, method in (("compressed", "zlib"), ("zstd", "zstd")):
            run("qemu-img", "convert", "-c", "-O", "qcow2", "-o", f"compression_type={method}",
                source, cls.path(kind))

        image = cls.create("data_file", f"data_file={cls.path('data')}", "4M")
        cls.write(image, "write -P 1 0 300k")

        image = cls.create("bitmaps", "", "4M")
        run("qemu-img", "bitmap", "--add", image, "b0")
        cls.write(image, "write -P 1 0 300k")

        image = cls.create("backed", "", "4M", "-b", cls.path("plain"), "-F", "qcow2")
        cls.write(image, "write -P 1 0 70k")

    @classmethod
    def path(cls, kind):
        return os.path.join(cls.folder, f"{kind}.qcow2")

    @classmethod
    def create(cls, kind, options, size, *more):
        image = cls.path(kind)
        run("qemu-img", "create", "-q", "-f", "qcow2", *(["-o", options] if options else []),
            *more, image, size)
        return image

    @staticmethod
    def write(image, *commands):
        arguments = [argument for command in commands for argument in ("-c", command)]
        run("qemu-io", "-f", "qcow2", *arguments, image)

    def checked(self, *command):
        """(exit status, counts or None, all output)"""
        result = run(*command, "-f", "qcow2", "--output=json", self.damaged, check=False)
        counts = None
        if result.stdout:
            facts = json.loads(result.stdout)
            self.assertEqual(facts["filename"], self.damaged)
            self.assertEqual(facts["format"], "qcow2")
            counts = {key: facts.get(key, 0) for key in COUNTS}
        return result.returncode, counts, result.stdout + result.stderr

    def look(self, kind, plant):
        with open(self.path(kind), "rb") as file:
            image = bytearray(file.read())
        plant(image, Layout(image))
        self.damaged = os.path.join(self.folder, "damaged.qcow2")
        with open(self.damaged, "wb") as file:
            file.write(image)
        return self.checked("qemu-img", "check"), self.checked(PROGRAM, "check")

    def test_agrees_with_qemu_img_on_planted_defects(self):
        self.assertEqual(len({name for name, _, _ in CASES}), len(CASES) - 12)
        for name, kind, plant in CASES:
            with self.subTest(name, kind=kind):
                (status, counts, said), (our_status, our_counts, we_said) = self.look(kind, plant)
                both = f"\nqemu-img:\n{said}\npenstock:\n{we_said}"
                if name in DIFFERENCES:
                    for key, more in DIFFERENCES[name].items():
                        counts[key] += more
                    status = 2
                self.assertEqual(our_status, status, both)
                if counts is not None:
                    self.assertEqual(our_counts, counts, both)

    def test_sound_images_have_no_findings(self):
        for name, kind, plant in CASES:
            if plant is nothing:
                with self.subTest(name):
                    _, (status, counts, said) = self.look(kind, plant)
                    self.assertEqual(status, 0, said)
                    self.assertEqual((counts["corruptions"], counts["leaks"]), (0, 0), said)


if __name__ == "__main__":
    print(f"seed {SEED}", file=sys.stderr)
    unittest.main()
