// SPDX-License-Identifier: Apache-2.0
#include "iothreads/fatal.h"

#include <cstdio>
#include <cstdlib>

namespace penstock {

void fatal(std::string_view what, std::string_view subject) {
  std::fprintf(stderr, "penstock: %.*s%s%.*s\n", static_cast<int>(what.size()), what.data(),
               subject.empty() ? "" : ": ", static_cast<int>(subject.size()), subject.data());
  std::abort();
}

}  // namespace penstock
