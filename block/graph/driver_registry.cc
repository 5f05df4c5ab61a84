// SPDX-License-Identifier: Apache-2.0
#include "block/graph/driver_registry.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/status.h"

namespace penstock {

void DriverRegistry::add(std::unique_ptr<DriverType> type) {
  for (const auto& known : types_) {
    if (known->name() == type->name()) std::abort();
  }
  types_.push_back(std::move(type));
}

absl::StatusOr<const DriverType*> DriverRegistry::find(std::string_view name) const {
  for (const auto& type : types_) {
    if (type->name() == name) return type.get();
  }
  std::string known;
  for (const std::string& each : names()) {
    if (!known.empty()) known += ", ";
    known += each;
  }
  return errno_message(
      ENOENT, "There is no driver '" + std::string(name) + "'. The known ones are: " + known + ".");
}

const DriverType* DriverRegistry::probe(std::span<const std::byte> head) const {
  const DriverType* best = nullptr;
  int best_score = 0;
  for (const auto& type : types_) {
    const int score = type->probe(head);
    if (score > best_score) {
      best = type.get();
      best_score = score;
    }
  }
  return best;
}

std::vector<std::string> DriverRegistry::names() const {
  std::vector<std::string> result;
  for (const auto& type : types_) result.emplace_back(type->name());
  return result;
}

}  // namespace penstock
