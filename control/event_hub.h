// SPDX-License-Identifier: Apache-2.0
// What happened, told to all who listen: the clients of the control socket, above all.
//
// Ownership: owned by the daemon; listeners unsubscribe before they are destroyed.
// Threads: the control thread; a coroutine elsewhere hops there first (CoControlHop).
// Errors: none; a listener that cannot take an event loses it. It must not wait, and leaves the
//   list of listeners as it is.
// Invariants: listeners get events in the order in which they were emitted.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/thread_roles.h"
#include "nlohmann/json.hpp"

namespace penstock {

class EventHub {
 public:
  // `event`: {"event": NAME, "data": {...}, "timestamp": {"seconds": S, "microseconds": US}}
  using Listener = std::function<void(const nlohmann::json& event)>;

  int subscribe(Listener listener) GLOBAL_STATE_CODE;
  void unsubscribe(int subscription) GLOBAL_STATE_CODE;
  void emit(const std::string& name, nlohmann::json data) GLOBAL_STATE_CODE;

 private:
  std::map<int, Listener> listeners_;
  int next_ = 1;
};

}  // namespace penstock
