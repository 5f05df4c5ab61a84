// SPDX-License-Identifier: Apache-2.0
// All throttle groups, by their names.
//
// Ownership: owns the groups together with their members.
// Threads: any; a short lock.
// Errors: EEXIST, ENOENT; EBUSY for a group in use, with its nodes named.
// Invariants: a group that nodes use is never removed, and a node never joins one that was.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "drivers/throttle/throttle_group.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class DriverRegistry;

class ThrottleGroups {
 public:
  ThrottleGroups() = default;
  ThrottleGroups(const ThrottleGroups&) = delete;
  ThrottleGroups& operator=(const ThrottleGroups&) = delete;

  absl::Status add(const std::string& name, const ThrottleLimits& limits);
  absl::Status remove(const std::string& name);
  // nullptr if there is none.
  std::shared_ptr<ThrottleGroup> find(const std::string& name);
  std::vector<std::string> names();
  // Makes the node a member.
  absl::StatusOr<std::unique_ptr<ThrottleMember>> join(const std::string& name,
                                                       const std::string& node_name);

 private:
  ThreadMutex mutex_{"ThrottleGroups"};
  std::map<std::string, std::shared_ptr<ThrottleGroup>> groups_ GUARDED_BY(mutex_);
};

// The groups that the registry's throttle driver uses. REQUIRES: it is registered.
ThrottleGroups& throttle_groups(const DriverRegistry& drivers);

}  // namespace penstock
