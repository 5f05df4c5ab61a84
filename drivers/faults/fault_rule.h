// SPDX-License-Identifier: Apache-2.0
// One rule of the faults filter, and its two written forms.
//
// JSON: {"event": "read_aio", "nth": 3, "errno": "EIO"}. Text, for mount options:
// "read_aio:nth=3:errno=EIO".
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL, naming the key and what it takes.
// Invariants: a parsed rule does something: it fails, delays or suspends.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/byte_range.h"
#include "iothreads/poller.h"
#include "nlohmann/json.hpp"

namespace penstock {

struct FaultRule {
  std::string event;               // one of fault_events()
  uint64_t nth = 1;                // fires at the nth request that matches, counted from 1
  bool once = true;                // else at every later one too
  std::optional<ByteRange> range;  // only requests that touch it; unset: all
  int error_number = 0;            // 0: does not fail
  Nanoseconds delay{0};            // before it fails or goes on
  std::string suspend;             // hold the request until resume(tag); empty: do not
};

// The events that rules may name.
std::span<const char* const> fault_events();

// The first spelling of an event that has two ("pdiscard" is "discard", "truncate" is "resize").
std::string canonical_fault_event(const std::string& name);

absl::StatusOr<FaultRule> fault_rule_from_json(const nlohmann::json& value);
absl::StatusOr<FaultRule> parse_fault_rule(const std::string& text);

}  // namespace penstock
