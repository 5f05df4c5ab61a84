// SPDX-License-Identifier: Apache-2.0
#include "cli/exit_status.h"

#include <cstdio>

#include "base/printable_text.h"
#include "base/status.h"

namespace penstock {

void print_error(const std::string& text) { std::fprintf(stderr, "penstock: %s\n", text.c_str()); }

int report(const absl::Status& status) {
  if (status.ok()) return kDone;
  print_error(printable_text(status_text(status)));
  return kFailed;
}

}  // namespace penstock
