// SPDX-License-Identifier: Apache-2.0
// Opening a copy-before-write node.
#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <string>

#include "base/status.h"
#include "block/node/node.h"
#include "drivers/copy_before_write/copy_before_write_driver.h"

namespace penstock {
namespace {

constexpr uint64_t kSmallestGranularity = 64 * 1024;
constexpr uint64_t kLargestGranularity = 64 * 1024 * 1024;
constexpr uint64_t kLongestTimeout = UINT32_MAX;  // seconds

// Clusters of the target are written whole, so that it need not fill them up from elsewhere.
uint64_t granularity_for(const Node& target) {
  uint64_t cluster = std::max(target.limits.request_alignment, target.limits.zero_alignment);
  const nlohmann::json facts = target.driver->describe();
  if (facts.is_object()) cluster = std::max(cluster, facts.value("cluster-size", uint64_t{0}));
  const bool usable = std::has_single_bit(cluster) && cluster <= kLargestGranularity;
  return usable ? std::max(cluster, kSmallestGranularity) : kSmallestGranularity;
}

absl::StatusOr<CopyBeforeWriteDriver::Settings> take_settings(OptionReader& reader) {
  CopyBeforeWriteDriver::Settings settings;
  const auto on_error = reader.take_string("on-cbw-error", "break-guest-write");
  if (!on_error.ok()) return on_error.status();
  const auto timeout = reader.take_size("cbw-timeout", 0);
  if (!timeout.ok()) return timeout.status();
  if (!reader.take_json("bitmap").is_null()) {
    return errno_message(EOPNOTSUPP,
                         "copy-before-write: \"bitmap\" is not supported; leave it out to have "
                         "the whole disk copied.");
  }
  if (const auto left = reader.finish(); !left.ok()) return left;
  if (*on_error == "break-snapshot") {
    settings.on_error = CopyBeforeWriteDriver::OnError::kBreakSnapshot;
  } else if (*on_error != "break-guest-write") {
    return errno_message(EINVAL,
                         "copy-before-write: \"on-cbw-error\" takes \"break-guest-write\" or "
                         "\"break-snapshot\".");
  }
  if (*timeout > kLongestTimeout) {
    return errno_message(EINVAL, "copy-before-write: \"cbw-timeout\" takes at most " +
                                     std::to_string(kLongestTimeout) + " seconds.");
  }
  settings.timeout = std::chrono::seconds(*timeout);
  return settings;
}

}  // namespace

ChildRole CopyBeforeWriteDriverType::role_of(std::string_view child_name) const {
  return child_name == "file" ? ChildRole::kFiltered : ChildRole::kData;
}

absl::StatusOr<LoadedDriver> CopyBeforeWriteDriverType::co_load(const LoadContext& context) const {
  OptionReader reader(context.options);
  auto settings = take_settings(reader);
  if (!settings.ok()) return settings.status();
  if (context.file == nullptr) {
    return errno_message(EINVAL,
                         "copy-before-write: there is no \"file\" child; name one in the options.");
  }
  const Child* const target = context.file->parent->find_child("target");
  if (target == nullptr || target->node == nullptr) {
    return errno_message(
        EINVAL, "copy-before-write: there is no \"target\" child; name one in the options.");
  }
  const Node& source = *context.file->node;
  settings->size = source.size();
  if (target->node->size() < settings->size) {
    return errno_message(EINVAL, "copy-before-write: the target, node '" + target->node->name +
                                     "', has " + std::to_string(target->node->size()) +
                                     " bytes and cannot hold the " +
                                     std::to_string(settings->size) + " of node '" + source.name +
                                     "'. Make it as long first.");
  }
  settings->granularity = granularity_for(*target->node);

  LoadedDriver loaded;
  loaded.size = settings->size;
  loaded.file_name = source.file_name;
  loaded.driver = std::make_unique<CopyBeforeWriteDriver>(*context.file, *target, *settings);
  return loaded;
}

}  // namespace penstock
