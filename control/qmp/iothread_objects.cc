// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/iothread_objects.h"

#include <cerrno>
#include <climits>
#include <cstdint>
#include <string>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/daemon_state.h"

namespace penstock {
namespace {

constexpr char kPollMax[] = "poll-max-ns";

struct Property {
  const char* name;
  int64_t largest;
};

// QEMU's. All but the first are accepted without effect: how long to poll is found out by itself,
// and each call that blocks has a thread.
constexpr Property kProperties[] = {
    // A second of spinning is nobody's wish; QEMU's limit is that of its type.
    {kPollMax, 1'000'000'000},    {"poll-grow", INT64_MAX},     {"poll-shrink", INT64_MAX},
    {"aio-max-batch", INT64_MAX}, {"thread-pool-min", INT_MAX}, {"thread-pool-max", INT_MAX},
};

absl::StatusOr<int64_t> read_property(const std::string& name, const nlohmann::json& value) {
  for (const Property& property : kProperties) {
    if (name != property.name) continue;
    if (!value.is_number_integer()) {
      return errno_message(EINVAL, "Invalid parameter type for '" + name + "', expected: integer");
    }
    const bool is_huge =
        value.is_number_unsigned() && value.get<uint64_t>() > uint64_t(property.largest);
    if (is_huge || value.get<int64_t>() < 0 || value.get<int64_t>() > property.largest) {
      return errno_message(
          EINVAL, name + " must be in range [0, " + std::to_string(property.largest) + "]");
    }
    return value.get<int64_t>();
  }
  std::string known;
  for (const Property& property : kProperties) {
    known += (known.empty() ? "'" : ", '") + std::string(property.name) + "'";
  }
  return errno_message(EINVAL, "Parameter '" + printable_text(name, kLongestQuote) +
                                   "' is unexpected: an iothread takes " + known);
}

absl::Status co_add_iothread(Daemon& daemon, const std::string& id,
                             const nlohmann::json& properties) CONTROL_COROUTINE_CODE;
absl::Status co_add_iothread(Daemon& daemon, const std::string& id,
                             const nlohmann::json& properties) {
  Nanoseconds poll_max = IoThreadRegistry::kDefaultPollMax;
  for (const auto& [name, value] : properties.items()) {
    const absl::StatusOr<int64_t> read = read_property(name, value);
    if (!read.ok()) return read.status();
    if (name == kPollMax) poll_max = Nanoseconds(*read);
  }
  return daemon.iothreads.co_add(id, poll_max);
}

absl::Status co_remove_iothread(Daemon& daemon, const std::string& id) CONTROL_COROUTINE_CODE;
absl::Status co_remove_iothread(Daemon& daemon, const std::string& id) {
  return daemon.iothreads.co_remove(id);
}

bool has_iothread(Daemon& daemon, const std::string& id) GLOBAL_STATE_CODE;
bool has_iothread(Daemon& daemon, const std::string& id) { return daemon.iothreads.has(id); }

}  // namespace

const ObjectKind& iothread_kind() {
  static constexpr ObjectKind kKind = {"iothread", co_add_iothread, co_remove_iothread,
                                       has_iothread};
  return kKind;
}

}  // namespace penstock
