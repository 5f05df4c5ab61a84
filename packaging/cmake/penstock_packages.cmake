# SPDX-License-Identifier: Apache-2.0
# Libraries from the distribution. packaging/dependencies names the packages that hold them.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(absl REQUIRED)
find_package(Boost 1.74 REQUIRED COMPONENTS context)
find_package(nlohmann_json 3.9 REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(LIBURING REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(FUSE3 REQUIRED IMPORTED_TARGET fuse3)
pkg_check_modules(LIBSYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
if(PENSTOCK_TESTS)
  find_package(GTest REQUIRED)
endif()
