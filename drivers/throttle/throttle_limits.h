// SPDX-License-Identifier: Apache-2.0
// The limits of a throttle group, by the names of QEMU's ThrottleLimits.
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL, naming the key and what it takes.
// Invariants: limits that came from throttle_limits_from_json() make sense together.
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace penstock {

// One limit, in operations or bytes.
struct ThrottleRate {
  uint64_t average = 0;  // a second; 0: unlimited
  uint64_t maximum = 0;  // a second, in bursts; 0: no bursts longer than a tenth of a second
  uint64_t length = 1;   // seconds that a burst at `maximum` may last

  bool operator==(const ThrottleRate&) const = default;
};

enum class ThrottleDirection : uint8_t { kRead, kWrite };
inline constexpr size_t kThrottleDirections = 2;

enum class ThrottleKind : uint8_t {
  kIopsTotal,
  kIopsRead,
  kIopsWrite,
  kBpsTotal,
  kBpsRead,
  kBpsWrite,
};
inline constexpr size_t kThrottleKinds = 6;

// Largest average or maximum.
inline constexpr uint64_t kMaxThrottleValue = 1'000'000'000'000'000;

struct ThrottleLimits {
  std::array<ThrottleRate, kThrottleKinds> rates;
  // Longer requests count as several operations, in proportion. Bytes; 0: each counts once.
  uint64_t iops_size = 0;

  ThrottleRate& rate(ThrottleKind kind) { return rates[static_cast<size_t>(kind)]; }
  const ThrottleRate& rate(ThrottleKind kind) const { return rates[static_cast<size_t>(kind)]; }
  bool limits(ThrottleDirection direction) const;
  bool operator==(const ThrottleLimits&) const = default;
};

// The kinds that a request in this direction counts for.
const std::array<ThrottleKind, 4>& kinds_of(ThrottleDirection direction);

// `base` with what `object` names: {"iops-total": 100, "iops-total-max": 200,
// "iops-total-max-length": 10, "bps-read": ..., "iops-size": 4096}.
absl::StatusOr<ThrottleLimits> throttle_limits_from_json(const nlohmann::json& object,
                                                         const ThrottleLimits& base);
// Every key.
nlohmann::json throttle_limits_to_json(const ThrottleLimits& limits);

}  // namespace penstock
