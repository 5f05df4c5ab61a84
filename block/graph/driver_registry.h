// SPDX-License-Identifier: Apache-2.0
// The known drivers: one explicit list, filled by the composition root.
//
// Ownership: owns the types.
// Threads: filled before threads start; then read only.
// Errors: ENOENT for an unknown name, listing the known ones.
// Invariants: names are unique.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "block/node/driver.h"

namespace penstock {

class DriverRegistry {
 public:
  void add(std::unique_ptr<DriverType> type);
  absl::StatusOr<const DriverType*> find(std::string_view name) const;
  // The format whose magic is at the start of an image; nullptr if none is (then it may be raw).
  const DriverType* probe(std::span<const std::byte> head) const;
  std::vector<std::string> names() const;

 private:
  std::vector<std::unique_ptr<DriverType>> types_;
};

}  // namespace penstock
