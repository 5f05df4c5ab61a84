# SPDX-License-Identifier: Apache-2.0
# Compile through ccache where it is installed. The build folder's path is kept out of the hash, so
# that build folders share results: sources are named by absolute paths, debug information stays right.
find_program(PENSTOCK_CCACHE ccache)
if(PENSTOCK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_NOHASHDIR=1 "${PENSTOCK_CCACHE}")
endif()
