// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/qmp_version.h"

#include <string>

#include "base/version.h"

namespace penstock {

nlohmann::json qmp_version() {
  return {{"qemu", {{"major", 7}, {"minor", 2}, {"micro", 0}}},
          {"package", std::string("penstock ") + kVersion}};
}

}  // namespace penstock
