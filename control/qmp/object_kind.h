// SPDX-License-Identifier: Apache-2.0
// A type of object that object-add makes: "iothread", "throttle-group".
//
// Ownership: constants.
// Threads: the control thread. The functions are CONTROL_COROUTINE_CODE, and GLOBAL_STATE_CODE the
//   last; pointers cannot say so.
// Errors: of adding: EINVAL for properties that do not fit; nothing is made then. Of removing:
//   EBUSY, naming the users; nothing is removed then.
// Invariants: object-add has checked the id: well-formed, and of no other object.
#pragma once

#include <span>
#include <string>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace penstock {

class Daemon;

struct ObjectKind {
  const char* type;  // qom-type
  // `properties`: what object-add was given, without qom-type and id. All of it must be understood.
  absl::Status (*co_add)(Daemon& daemon, const std::string& id, const nlohmann::json& properties);
  // REQUIRES: has().
  absl::Status (*co_remove)(Daemon& daemon, const std::string& id);
  bool (*has)(Daemon& daemon, const std::string& id);
};

}  // namespace penstock
