// SPDX-License-Identifier: Apache-2.0
// What the greeting and query-version say.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: the keys are QEMU's.
#pragma once

#include "nlohmann/json.hpp"

namespace penstock {

// {"qemu": {"major", "minor", "micro"}, "package": "penstock X"}: the QEMU release whose commands
// and errors ours follow, since clients choose by it what they may send.
nlohmann::json qmp_version();

}  // namespace penstock
