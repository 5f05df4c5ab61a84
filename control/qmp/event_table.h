// SPDX-License-Identifier: Apache-2.0
// All events of the control socket, for the documentation.
//
// Ownership: constants.
// Threads: pure.
// Errors: none.
// Invariants: each name is there once.
#pragma once

#include <span>

namespace penstock {

struct QmpEvent {
  const char* name;
  const char* help;  // sentences
  const char* data;  // the keys of "data"
};

// In alphabetical order.
std::span<const QmpEvent> all_qmp_events();

}  // namespace penstock
