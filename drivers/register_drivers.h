// SPDX-License-Identifier: Apache-2.0
// The one list of all drivers.
//
// Ownership: the registry owns what is added.
// Threads: once, before threads start.
// Errors: none.
// Invariants: a driver exists for users exactly if it is in this list.
#pragma once

#include "block/graph/driver_registry.h"

namespace penstock {

void register_drivers(DriverRegistry& registry);

}  // namespace penstock
