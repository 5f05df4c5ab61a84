// SPDX-License-Identifier: Apache-2.0
#include "drivers/throttle/throttle_groups.h"

#include <cerrno>

#include "base/status.h"

namespace penstock {

absl::Status ThrottleGroups::add(const std::string& name, const ThrottleLimits& limits) {
  const ThreadLock lock(mutex_);
  if (groups_.count(name) != 0) {
    return errno_message(EEXIST,
                         "There is a throttle group '" + name + "' already. Choose another id.");
  }
  groups_.emplace(name, std::make_shared<ThrottleGroup>(name, limits));
  return absl::OkStatus();
}

absl::Status ThrottleGroups::remove(const std::string& name) {
  const ThreadLock lock(mutex_);
  const auto found = groups_.find(name);
  if (found == groups_.end()) {
    return errno_message(ENOENT, "Throttle group '" + name + "' does not exist.");
  }
  std::string users;
  for (const std::string& node : found->second->users()) {
    users += (users.empty() ? "node '" : ", node '") + node + "'";
  }
  if (!users.empty()) {
    return errno_message(EBUSY, "Throttle group '" + name + "' is in use and cannot be deleted: " +
                                    users + ". Remove the node first.");
  }
  groups_.erase(found);
  return absl::OkStatus();
}

std::shared_ptr<ThrottleGroup> ThrottleGroups::find(const std::string& name) {
  const ThreadLock lock(mutex_);
  const auto found = groups_.find(name);
  return found == groups_.end() ? nullptr : found->second;
}

std::vector<std::string> ThrottleGroups::names() {
  const ThreadLock lock(mutex_);
  std::vector<std::string> result;
  for (const auto& [name, group] : groups_) result.push_back(name);
  return result;
}

absl::StatusOr<std::unique_ptr<ThrottleMember>> ThrottleGroups::join(const std::string& name,
                                                                     const std::string& node_name) {
  const ThreadLock lock(mutex_);
  const auto found = groups_.find(name);
  if (found == groups_.end()) {
    return errno_message(ENOENT, "Throttle group '" + name +
                                     "' does not exist. Add it first: object-add with qom-type "
                                     "throttle-group.");
  }
  return std::make_unique<ThrottleMember>(found->second, node_name);
}

}  // namespace penstock
