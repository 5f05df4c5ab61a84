// SPDX-License-Identifier: Apache-2.0
#include "fuzz/expect.h"

#include <cstdio>
#include <cstdlib>

namespace penstock {

void expect(bool kept, std::string_view promise) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %.*s\n", static_cast<int>(promise.size()), promise.data());
  std::abort();
}

}  // namespace penstock
