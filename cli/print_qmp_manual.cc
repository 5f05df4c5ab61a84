// SPDX-License-Identifier: Apache-2.0
// Prints penstock-qmp(7) when the program is built.
#include <cstdio>

#include "cli/qmp_manual.h"

int main() {
  const bool is_written = std::fputs(penstock::qmp_manual().c_str(), stdout) >= 0;
  return is_written && std::fflush(stdout) == 0 ? 0 : 1;
}
