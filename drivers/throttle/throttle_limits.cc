// SPDX-License-Identifier: Apache-2.0
#include "drivers/throttle/throttle_limits.h"

#include <cerrno>
#include <string>

#include "base/status.h"

namespace penstock {
namespace {

using nlohmann::json;

constexpr std::array<const char*, kThrottleKinds> kNames = {
    "iops-total", "iops-read", "iops-write", "bps-total", "bps-read", "bps-write",
};

absl::Status refuse(const std::string& text) { return errno_message(EINVAL, text); }

// Where the value of `key` belongs; nullptr if there is no such key.
uint64_t* find_value(ThrottleLimits& limits, const std::string& key) {
  if (key == "iops-size") return &limits.iops_size;
  for (size_t i = 0; i < kThrottleKinds; ++i) {
    const std::string name = kNames[i];
    if (key == name) return &limits.rates[i].average;
    if (key == name + "-max") return &limits.rates[i].maximum;
    if (key == name + "-max-length") return &limits.rates[i].length;
  }
  return nullptr;
}

absl::Status check_total(const ThrottleLimits& limits, ThrottleKind total, ThrottleKind one_way) {
  const bool averages = limits.rate(total).average != 0 && limits.rate(one_way).average != 0;
  const bool maxima = limits.rate(total).maximum != 0 && limits.rate(one_way).maximum != 0;
  if (!averages && !maxima) return absl::OkStatus();
  return refuse(std::string("'") + kNames[static_cast<size_t>(total)] + "' and '" +
                kNames[static_cast<size_t>(one_way)] +
                "' cannot be used at the same time. Give the total, or reads and writes, and 0 for "
                "the others.");
}

absl::Status check_rate(const std::string& name, const ThrottleRate& rate) {
  if (rate.average > kMaxThrottleValue || rate.maximum > kMaxThrottleValue) {
    return refuse("'" + name + "' and '" + name + "-max' must be within [0, " +
                  std::to_string(kMaxThrottleValue) + "].");
  }
  if (rate.length == 0) {
    return refuse("'" + name + "-max-length' cannot be 0. It takes seconds; the default is 1.");
  }
  if (rate.length > 1 && rate.maximum == 0) {
    return refuse("'" + name + "-max-length' is set without '" + name + "-max'. Set both.");
  }
  if (rate.maximum != 0 && rate.length > kMaxThrottleValue / rate.maximum) {
    return refuse("'" + name + "-max-length' is too high for this '" + name +
                  "-max': their product must be at most " + std::to_string(kMaxThrottleValue) +
                  ".");
  }
  if (rate.maximum != 0 && rate.average == 0) {
    return refuse("'" + name + "-max' requires '" + name + "'. Set both.");
  }
  if (rate.maximum != 0 && rate.maximum < rate.average) {
    return refuse("'" + name + "-max' cannot be lower than '" + name + "'.");
  }
  return absl::OkStatus();
}

absl::Status check_limits(const ThrottleLimits& limits) {
  using enum ThrottleKind;
  for (const ThrottleKind one_way : {kIopsRead, kIopsWrite}) {
    if (const auto fits = check_total(limits, kIopsTotal, one_way); !fits.ok()) return fits;
  }
  for (const ThrottleKind one_way : {kBpsRead, kBpsWrite}) {
    if (const auto fits = check_total(limits, kBpsTotal, one_way); !fits.ok()) return fits;
  }
  for (size_t i = 0; i < kThrottleKinds; ++i) {
    if (const auto fits = check_rate(kNames[i], limits.rates[i]); !fits.ok()) return fits;
  }
  const bool iops = limits.rate(kIopsTotal).average != 0 || limits.rate(kIopsRead).average != 0 ||
                    limits.rate(kIopsWrite).average != 0;
  if (limits.iops_size != 0 && !iops) {
    return refuse(
        "'iops-size' requires an iops value. Set 'iops-total', 'iops-read' or 'iops-write' too.");
  }
  return absl::OkStatus();
}

}  // namespace

const std::array<ThrottleKind, 4>& kinds_of(ThrottleDirection direction) {
  using enum ThrottleKind;
  static constexpr std::array<ThrottleKind, 4> kReads{kIopsTotal, kIopsRead, kBpsTotal, kBpsRead};
  static constexpr std::array<ThrottleKind, 4> kWrites{kIopsTotal, kIopsWrite, kBpsTotal,
                                                       kBpsWrite};
  return direction == ThrottleDirection::kRead ? kReads : kWrites;
}

bool ThrottleLimits::limits(ThrottleDirection direction) const {
  for (const ThrottleKind kind : kinds_of(direction)) {
    if (rate(kind).average != 0) return true;
  }
  return false;
}

absl::StatusOr<ThrottleLimits> throttle_limits_from_json(const json& object,
                                                         const ThrottleLimits& base) {
  if (!object.is_object()) return refuse("Throttle limits are an object: {\"iops-total\": 100}.");
  ThrottleLimits limits = base;
  for (const auto& [key, value] : object.items()) {
    uint64_t* const target = find_value(limits, key);
    if (target == nullptr) {
      return refuse("Parameter '" + key +
                    "' is unexpected. Throttle limits are 'iops-total', 'iops-read', "
                    "'iops-write', 'bps-total', 'bps-read', 'bps-write', each also with '-max' and "
                    "'-max-length', and 'iops-size'.");
    }
    if (!value.is_number_integer()) {
      return refuse("Invalid parameter type for '" + key + "', expected: integer");
    }
    if (!value.is_number_unsigned() && value.get<int64_t>() < 0) {
      return refuse("'" + key + "' cannot be negative; it takes 0 for no limit.");
    }
    *target = value.get<uint64_t>();
  }
  if (const auto fits = check_limits(limits); !fits.ok()) return fits;
  return limits;
}

json throttle_limits_to_json(const ThrottleLimits& limits) {
  json object = json::object();
  for (size_t i = 0; i < kThrottleKinds; ++i) {
    const std::string name = kNames[i];
    object[name] = limits.rates[i].average;
    object[name + "-max"] = limits.rates[i].maximum;
    object[name + "-max-length"] = limits.rates[i].length;
  }
  object["iops-size"] = limits.iops_size;
  return object;
}

}  // namespace penstock
