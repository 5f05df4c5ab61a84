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


class CheckCatalogueTest(TreeTest):
    def setUp(self):
        super().setUp()
        self.write("tests/a_test.cc", "TEST(A, Works) {}\nTEST_F(AFixture, works_too) {}\n")
        self.write("tests/b_test.py", "class B:\n    def test_it(self):\n        pass\n")

    def catalogue(self, *rows):
        head = "| entry | what | here |\n|---|---|---|\n"
        self.write("docs/catalogue.md", head + "".join(f"{row}\n" for row in rows))

    def test_accepts_tests_and_files_that_exist(self):
        self.catalogue("| B1 | `x` | `A.Works`, `AFixture.works_too` |",
                       "| B2 | y | `b_test.py`, `b_test.py:test_it` |",
                       "| B3 | z | cannot occur: `tests/a_test.cc` |")
        self.assert_clean("check_catalogue.py")

    def test_finds_names_that_do_not_exist(self):
        self.catalogue("| B1 | x | `A.Gone` |", "| B2 | y | `b_test.py:test_gone` |",
                       "| B3 | z | `tests/gone.cc`, `gone_test.py` |")
        self.assert_finds("check_catalogue.py", ":3: there is no 'A.Gone'", "test_gone",
                          "tests/gone.cc", "gone_test.py")

    def test_finds_rows_that_name_nothing_or_are_there_twice(self):
        self.catalogue("| B1 | x | `A.Works` |", "| B1 | y | `A.Works` |", "| B2 | z | |")
        self.assert_finds("check_catalogue.py", "B1 is there twice", ":5: a row has")

    def test_knows_names_in_small_letters_and_as_programs_print_them(self):
        self.write("tests/a_test.cc", "TEST_P(small, works) {}\n")
        self.catalogue("| B1 | x | `small.works`, `All/small.works/0` |")
        self.assert_clean("check_catalogue.py")
        self.catalogue("| B1 | x | `small.gone` |", "| B2 | y | `All/small.gone_too/0` |")
        self.assert_finds("check_catalogue.py", ":3: there is no 'small.gone'", "gone_too")

    def test_finds_entries_that_the_numbering_passes_over(self):
        self.catalogue("| B1 | x | `A.Works` |", "| B3 | y | `A.Works` |",
                       "| T1.2 | z | `A.Works` |")
        self.assert_finds("check_catalogue.py", "entry B2 is missing", "entry T1.1 is missing")

    def test_finds_an_empty_catalogue(self):
        self.catalogue()
        self.assert_finds("check_catalogue.py", "no entry")


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
