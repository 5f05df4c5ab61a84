# SPDX-License-Identifier: Apache-2.0
"""Every kind of qcow2 image that qemu-img makes reads through a mount as QEMU reads it.

    qcow2_matrix_test.py options|convert|snapshots|chains
"""

import concurrent.futures
import os
import random
import sys

import qcow2_images
from qcow2_images import KIB, MIB
from served_image import Directory, Mount, digest, require_programs, run, seed

THREADS = 4


def expect_equal(served, wanted):
    """The served file holds exactly the bytes of `wanted`: in order, and by threads at random."""
    size = os.path.getsize(wanted)
    assert os.path.getsize(served) == size, f"{os.path.getsize(served)} bytes, not {size}"
    with open(served, "rb", buffering=0) as one, open(wanted, "rb") as other:
        position = 0
        while position < size:
            block = one.read(MIB)
            assert block == other.read(len(block)) and block, f"differs at {position}"
            position += len(block)

    def read_at_random(number):
        choose = random.Random(number)
        ours, theirs = (os.open(path, os.O_RDONLY) for path in (served, wanted))
        try:
            for _ in range(60):
                position = choose.randrange(size)
                length = choose.choice([1, 512, 4096, 65536, 300_001])
                got, expected = (os.pread(file, length, position) for file in (ours, theirs))
                assert got == expected, f"differs in {length} bytes at {position}"
        finally:
            os.close(ours)
            os.close(theirs)

    if size:
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(read_at_random, range(THREADS)))


def expect_holes(served, image):
    """Holes where qemu-img map has them. Ours are finer: a hole of the image file inside an
    allocated cluster is one as well."""
    theirs = iter(qcow2_images.data_ranges(image))
    start, end = next(theirs, (0, 0))
    for ours in qcow2_images.seek_ranges(served):
        while end <= ours[0]:
            start, end = next(theirs, (ours[0], 1 << 63))
            assert end != 1 << 63, f"data at {ours}, which is a hole for qemu-img map"
        assert start <= ours[0] and ours[1] <= end, f"data at {ours}, not within {start, end}"


def check_mounted(image, wanted, holes=True):
    before = os.stat(image).st_mtime_ns, digest(image)
    with Mount(image) as mount:
        expect_equal(mount.disk, wanted)
        if holes:
            expect_holes(mount.disk, image)
    assert before == (os.stat(image).st_mtime_ns, digest(image))


def option_sets():
    """All the options of qemu-img create, each cluster size and refcount width at least once."""
    sizes = [512, 4 * KIB, 64 * KIB, 2 * MIB]
    for cluster in sizes:
        yield {"compat": "0.10", "cluster_size": cluster}
        yield {"compat": "1.1", "cluster_size": cluster, "compression_type": "zstd"}
    for number, bits in enumerate([1, 2, 4, 8, 32, 64]):
        yield {"refcount_bits": bits, "cluster_size": 1024 << number}
    for cluster in (16 * KIB, 64 * KIB, 2 * MIB):
        yield {"extended_l2": "on", "cluster_size": cluster}
    for how in ("metadata", "falloc", "full"):
        yield {"preallocation": how}
        yield {"preallocation": how, "extended_l2": "on", "cluster_size": 128 * KIB}
    yield {"lazy_refcounts": "on"}
    yield {"data_file": "external", "data_file_raw": "off"}
    yield {"data_file": "external", "data_file_raw": "on"}
    yield {"data_file": "external", "extended_l2": "on", "cluster_size": 32 * KIB}


def test_options(folder, choose):
    for number, options in enumerate(option_sets()):
        options = dict(options)
        cluster = options.get("cluster_size", 64 * KIB)
        size = choose.choice([4 * MIB, 4 * MIB + 512, 7 * MIB - 1024]) if cluster < MIB else 21 * MIB
        print(number, size, options, flush=True)
        image = folder.file(f"{number}.qcow2")
        if "data_file" in options:
            options["data_file"] = folder.file(f"{number}.data")
        qcow2_images.create(image, size, options)
        compressed = "data_file" not in options
        qcow2_images.fill(choose, image, size, 40, compressed)
        check_mounted(image, qcow2_images.as_raw(image, folder.file("wanted")))
        os.unlink(image)


def test_convert(folder, choose):
    source = folder.file("source.qcow2")
    qcow2_images.create(source, 12 * MIB + 512)
    qcow2_images.fill(choose, source, 12 * MIB + 512, 80)
    raw = qcow2_images.as_raw(source, folder.file("wanted"))
    with open(raw, "r+b") as file:
        file.seek(5 * MIB)
        file.write(os.urandom(700_000))  # does not compress: stored as data
        file.write(bytes(choose.choices(range(4), k=900_000)))  # does, and needs many sectors
    for options in ("", "compression_type=zstd", "cluster_size=4k", "cluster_size=2M",
                    "extended_l2=on,compression_type=zstd", "compat=0.10"):
        for flags in (["-c"], ["-c", "-m", "8", "-W"], ["-S", "0"], []):
            image = folder.file("converted.qcow2")
            print(options, flags, flush=True)
            run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *flags,
                *(["-o", options] if options else []), raw, image)
            check_mounted(image, raw)
            os.unlink(image)


def test_snapshots(folder, choose):
    for options in ({}, {"compat": "0.10"}, {"extended_l2": "on"}, {"cluster_size": 512}):
        image = folder.file("snapshots.qcow2")
        qcow2_images.create(image, 3 * MIB, options)
        size = 3 * MIB
        wanted = {}
        for number in range(4):
            qcow2_images.fill(choose, image, size, 25)
            name = f"state {number}"
            run("qemu-img", "snapshot", "-c", name, image)
            wanted[name] = qcow2_images.as_raw(image, folder.file(f"wanted{number}"))
            if number == 1 and options.get("compat") != "0.10":
                size = 5 * MIB
                run("qemu-img", "resize", "-q", image, str(size))
        qcow2_images.fill(choose, image, size, 25)
        newest = qcow2_images.as_raw(image, folder.file("newest"))
        print(options, flush=True)
        with Mount(image) as mount:
            expect_equal(mount.disk, newest)
            root = os.path.join(mount.directory, "snapshots")
            assert sorted(os.listdir(root)) == sorted(wanted), os.listdir(root)
            for name, expected in wanted.items():
                expect_equal(os.path.join(root, name, "disk"), expected)
        with Mount(image, "--snapshot", "state 1") as mount:
            expect_equal(mount.disk, wanted["state 1"])
        os.unlink(image)


def test_chains(folder, choose):
    for depth in (1, 5, 200):
        layers = []
        size = 0
        for number in range(depth + 1):
            # Growing, shrinking and growing again; the last one is not the largest.
            size = choose.choice([2 * MIB, 3 * MIB + 512, 4 * MIB])
            path = folder.file(f"chain{depth}-{number}.img")
            if number == 0:
                with open(path, "wb") as base:
                    base.write(os.urandom(size))
            else:
                options = {"cluster_size": choose.choice([4096, 65536])}
                qcow2_images.create(path, size, options, backing=os.path.basename(layers[-1]),
                                    backing_format="raw" if number == 1 else "qcow2")
                # Each start of qemu-io opens the whole chain: few of them in the deep one.
                if depth < 10:
                    qcow2_images.fill(choose, path, size, 12)
                elif number % 3 == 0:
                    qcow2_images.fill(choose, path, size, 9, compressed=False)
            layers.append(path)
        print(depth, flush=True)
        check_mounted(layers[-1], qcow2_images.as_raw(layers[-1], folder.file("wanted")),
                      holes=depth < 10)
        for path in layers:
            os.unlink(path)


def main():
    require_programs("qemu-img", "qemu-io")
    choose = random.Random(seed())
    with Directory(memory=True) as folder:
        {"options": test_options, "convert": test_convert, "snapshots": test_snapshots,
         "chains": test_chains}[sys.argv[1]](folder, choose)


if __name__ == "__main__":
    main()
