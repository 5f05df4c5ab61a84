// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/check/check_report.h"

#include <cinttypes>
#include <cstdio>

namespace penstock {

std::string hex(uint64_t value) {
  char text[24];
  snprintf(text, sizeof text, "0x%" PRIx64, value);
  return text;
}

std::string counted(uint64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace penstock
