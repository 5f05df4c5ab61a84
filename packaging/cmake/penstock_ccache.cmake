# SPDX-License-Identifier: Apache-2.0
# Compile through ccache where it is installed. The paths of the source and build folders are kept
# out of the hash, so that checkouts and build folders share results.
find_program(PENSTOCK_CCACHE ccache)
if(PENSTOCK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_NOHASHDIR=1 "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}"
      "${PENSTOCK_CCACHE}")
endif()
