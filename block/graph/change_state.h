// SPDX-License-Identifier: Apache-2.0
// What control commands that run at the same time know of each other.
//
// Ownership: embedded in the graph.
// Threads: the control thread.
// Errors: none.
// Invariants: a pinned, claimed or drained node stays allocated. `released` is set whenever an
//   entry goes away; waiters reset it, look, and wait (co_wait_released).
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/thread_roles.h"
#include "iothreads/co_event.h"
#include "iothreads/poller.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class Backend;
class DrainedSection;
class Node;

struct ChangeState {
  std::vector<DrainedSection*> sections;       // begun, or waiting to be
  std::map<const Node*, int> driver_drains;    // sections that keep the node's driver quiet
  std::map<const Node*, int> driver_hurries;   // drains that wait for requests in the node
  std::map<const Node*, int> pins;             // changes under way that name the node
  std::map<const Backend*, int> backend_pins;  // the same for a backend
  std::set<const Node*> claims;                // drivers with a prepared permission change
  std::set<const Node*> closing;               // nodes that take no new users
  std::set<const Backend*> detaching;          // backends that no other change may name any more
  std::set<const Node*> reopening;             // nodes that get another driver or other options
  std::set<std::string> reserved_names;        // of nodes that are being opened
  CoEvent released;

  // Held over the slice in which a change is verified and committed: a debug build aborts if a
  // coroutine yields with it.
  ThreadMutex slice{"slice of a graph change"};
};

// Waits until `condition` holds, looking again whenever something was released; false after
// `deadline` (the control context's clock).
bool co_wait_released(ChangeState& state, Nanoseconds deadline,
                      const std::function<bool()>& condition) CONTROL_COROUTINE_CODE;

}  // namespace penstock
