# SPDX-License-Identifier: Apache-2.0
"""What tests share that make images with qemu-img and compare with it."""

import json
import subprocess

import cli_case


class QemuCase(cli_case.CliCase):
    def qemu_img(self, *arguments):
        result = subprocess.run(["qemu-img", *arguments], check=True, capture_output=True, text=True,
                                cwd=self.folder, timeout=cli_case.LONG)
        return result.stdout

    def qemu_io(self, name, *commands):
        words = [word for command in commands for word in ("-c", command)]
        subprocess.run(["qemu-io", *words, name], check=True, capture_output=True,
                       cwd=self.folder, timeout=cli_case.LONG)

    def create(self, name, size="4M", *options, backing=None, backing_format="qcow2"):
        """A new qcow2 image in the test's folder."""
        below = ["-b", backing, "-F", backing_format] if backing else []
        self.qemu_img("create", "-q", "-f", "qcow2", *options, *below, name, size)
        return self.path(name)

    def name_backing(self, name, backing, backing_format="qcow2"):
        """Changes the name in the image only."""
        self.qemu_img("rebase", "-q", "-u", "-b", backing, "-F", backing_format, name)

    def name_backing_without_format(self, name, backing):
        """As older programs did. The image must be new and have no backing file."""
        data = bytearray(self.read_file(self.path(name)))
        words = backing.encode()
        place = (1 << int.from_bytes(data[20:24], "big")) - 1024
        data[place:place + len(words)] = words
        data[8:20] = place.to_bytes(8, "big") + len(words).to_bytes(4, "big")
        with open(self.path(name), "wb") as image:
            image.write(data)

    def json_of(self, *arguments, cwd=None):
        return json.loads(self.succeed(*arguments, "--output=json", cwd=cwd or self.folder).stdout)
