// SPDX-License-Identifier: Apache-2.0
#include "block/node/permission.h"

#include <utility>

namespace penstock {

std::string permission_names(Permission permissions) {
  static constexpr std::pair<Permission, const char*> kNames[] = {
      {kConsistentRead, "consistent read"},
      {kWrite, "write"},
      {kWriteUnchanged, "write unchanged"},
      {kResize, "resize"},
  };
  std::string names;
  for (const auto& [permission, name] : kNames) {
    if ((permissions & permission) == 0) continue;
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names.empty() ? "nothing" : names;
}

}  // namespace penstock
