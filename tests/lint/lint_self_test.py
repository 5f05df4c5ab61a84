#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that each lint accepts a good tree and finds the mistake in a bad one."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SKIPPED = 77

LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"
HEADER = LICENCE + "#pragma once\n"


class TreeTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def run_check(self, check):
        return subprocess.run(
            [sys.executable, "-B", os.path.join(HERE, check), self.root],
            capture_output=True, text=True, check=False)

    def assert_clean(self, check):
        result = self.run_check(check)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def assert_finds(self, check, *parts):
        result = self.run_check(check)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        for part in parts:
            self.assertIn(part, result.stdout + result.stderr)


class CheckLayersTest(TreeTest):
    def setUp(self):
        super().setUp()
        for path in ("base/a.h", "block/graph/g.h", "block/node/n.h", "block/node/n_gs.h",
                     "drivers/d.h", "fuse/f.h", "control/c.h", "tests/t.h"):
            self.write(path, HEADER)
        self.write("base/version.h.in", HEADER)

    def include(self, path, *targets):
        self.write(path, LICENCE + "".join(f'#include "{target}"\n' for target in targets))

    def test_accepts_arrows_that_point_down(self):
        self.include("cli/x.cc", "base/a.h", "base/version.h", "control/c.h", "fuse/f.h")
        self.include("fuse/x.cc", "absl/status/status.h", "block/node/n.h", "fuse/f.h")
        self.include("tests/x.cc", "fuse/f.h", "drivers/d.h", "tests/t.h")
        self.include("block/io/x.cc", "block/node/n.h")
        self.assert_clean("check_layers.py")

    def test_finds_an_arrow_that_points_up(self):
        self.include("block/x.cc", "base/a.h", "drivers/d.h")
        self.assert_finds("check_layers.py", "block/x.cc:3", "drivers/d.h")

    def test_finds_siblings_that_see_each_other(self):
        self.include("fuse/x.cc", "drivers/d.h")
        self.include("drivers/x.cc", "fuse/f.h")
        self.assert_finds("check_layers.py", "fuse/x.cc:2", "drivers/x.cc:2")

    def test_finds_product_code_that_includes_tests(self):
        self.include("cli/x.cc", "tests/t.h")
        self.assert_finds("check_layers.py", "cli/x.cc:2")

    def test_finds_an_io_file_that_includes_global_state(self):
        self.include("block/io/x.cc", "block/graph/g.h")
        self.include("drivers/file_io.cc", "block/node/n_gs.h")
        self.assert_finds("check_layers.py", "block/io/x.cc:2", "drivers/file_io.cc:2")

    def test_finds_a_path_that_is_not_from_the_root(self):
        self.include("block/node/x.cc", "n.h")
        self.include("block/x.cc", "node/n.h", "base/missing.h")
        self.assert_finds("check_layers.py", "block/node/x.cc:2", "block/x.cc:2", "block/x.cc:3",
                          "root")

    def test_finds_an_umbrella_header(self):
        self.write("block/block.h", HEADER + '#include "base/a.h"\n#include "block/node/n.h"\n')
        self.assert_finds("check_layers.py", "block/block.h:1", "umbrella")


class CheckFilesTest(TreeTest):
    def test_accepts_good_files(self):
        self.write("base/a.h", HEADER + "int a;\n")
        self.write("tests/long_test.cc", LICENCE + "int a;\n" * 700)
        self.write("packaging/tool", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n")
        self.write("README.md", "# no licence line wanted\n")
        self.assert_clean("check_files.py")

    def test_finds_a_missing_licence_line(self):
        self.write("base/a.cc", "int a;\n")
        self.write("packaging/tool", "#!/bin/sh\n")
        self.write("base/CMakeLists.txt", "project(x)\n")
        self.assert_finds("check_files.py", "base/a.cc", "packaging/tool", "base/CMakeLists.txt")

    def test_finds_a_missing_header_guard(self):
        self.write("base/a.h", LICENCE)
        self.assert_finds("check_files.py", "base/a.h", "#pragma once")

    def test_finds_a_long_file(self):
        self.write("base/a.cc", LICENCE + "int a;\n" * 600)
        self.write("tests/a_test.cc", LICENCE + "int a;\n" * 800)
        self.assert_finds("check_files.py", "base/a.cc:600", "tests/a_test.cc:800")

    def test_finds_a_wide_line(self):
        self.write("base/a.cc", LICENCE + "//" + "x" * 98 + "\n//" + "y" * 99 + "\n")
        self.assert_finds("check_files.py", "base/a.cc:3", "1 problem")

    def test_finds_white_space_at_the_end_of_a_line(self):
        self.write("base/a.cc", LICENCE + "int a; \n")
        self.assert_finds("check_files.py", "base/a.cc:2")


class CheckFormatTest(TreeTest):
    def setUp(self):
        super().setUp()
        shutil.copy(os.path.join(ROOT, ".clang-format"), self.root)
        self.write("base/a.cc", "int a = 0;\n")
        if self.run_check("check_format.py").returncode == SKIPPED:
            self.skipTest("no clang-format of the right release")

    def test_accepts_formatted_files(self):
        self.assert_clean("check_format.py")

    def test_finds_an_unformatted_file(self):
        self.write("base/b.cc", "int   b=0 ;\n")
        self.assert_finds("check_format.py", "base/b.cc:1")


class HeaderChecksTest(TreeTest):
    def build(self):
        self.write("CMakeLists.txt", f"""
cmake_minimum_required(VERSION 3.25)
project(headers LANGUAGES CXX)
include("{HERE}/header_checks.cmake")
penstock_header_checks(TARGET headers_compile ROOT "${{CMAKE_SOURCE_DIR}}" FOLDERS base)
""")
        build = os.path.join(self.root, "build")
        subprocess.run(["cmake", "-G", "Ninja", "-S", self.root, "-B", build],
                       capture_output=True, check=True)
        return subprocess.run(["cmake", "--build", build, "--target", "headers_compile"],
                              capture_output=True, text=True, check=False)

    def test_accepts_a_header_that_includes_what_it_uses(self):
        self.write("base/a.h", HEADER + "#include <string>\nstruct A { std::string a; };\n")
        result = self.build()
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_finds_a_header_that_does_not_compile_alone(self):
        self.write("base/a.h", HEADER + "#include <string>\nstruct A { std::string a; };\n")
        self.write("base/b.h", HEADER + "struct B { std::string b; };\n")
        result = self.build()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("base/b.h", result.stdout)

    def test_finds_a_header_that_cannot_be_included_twice(self):
        self.write("base/a.h", LICENCE + "struct A {};\n")
        result = self.build()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("redefinition", result.stdout)


if __name__ == "__main__":
    unittest.main()
