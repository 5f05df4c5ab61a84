// SPDX-License-Identifier: Apache-2.0
// What a client of the control socket reaches: commands and events.
//
// Ownership: `events`, and what `co_run` uses, outlive every session that has a copy.
// Threads: the control thread.
// Errors: `co_run`'s; see qmp_command.h for how they are told.
// Invariants: none.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "control/event_hub.h"
#include "nlohmann/json.hpp"

namespace penstock {

struct QmpDispatch {
  EventHub* events = nullptr;
  // Runs in a coroutine of the control thread.
  std::function<absl::StatusOr<nlohmann::json>(const std::string& name,
                                               const nlohmann::json& arguments)>
      co_run;
};

}  // namespace penstock
