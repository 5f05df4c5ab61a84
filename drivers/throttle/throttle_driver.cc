// SPDX-License-Identifier: Apache-2.0
#include "drivers/throttle/throttle_driver.h"

#include <cerrno>
#include <utility>

#include "base/status.h"
#include "block/graph/driver_registry.h"
#include "block/io/child_io.h"
#include "block/node/node.h"
#include "iothreads/fatal.h"

namespace penstock {
namespace {

// What a request says about itself; the rest of its flags is between a node and its choke point.
constexpr RequestFlags kPassedFlags = kFua | kMayUnmap | kNoFallback;

// The group that the options name.
absl::StatusOr<std::string> read_group(const NodeOptions& options) {
  OptionReader reader(options);
  auto group = reader.take_required_string("throttle-group");
  if (!group.ok()) return group;
  if (const auto left = reader.finish(); !left.ok()) return left;
  return group;
}

}  // namespace

Resizable* ThrottleDriver::resizable() {
  return file_.node->driver->resizable() != nullptr ? this : nullptr;
}

bool ThrottleDriver::grows_by_writing() const {
  const Resizable* below = file_.node->driver->resizable();
  return below != nullptr && below->grows_by_writing();
}

nlohmann::json ThrottleDriver::describe() const {
  return {{"throttle-group", member_->group().name}};
}

absl::Status ThrottleDriver::co_readv(uint64_t offset, const IoVector& data, RequestFlags flags) {
  member_->co_pass(ThrottleDirection::kRead, data.length());
  return co_preadv(file_, offset, data, flags & kPassedFlags);
}

absl::Status ThrottleDriver::co_writev(uint64_t offset, const IoVector& data, RequestFlags flags) {
  member_->co_pass(ThrottleDirection::kWrite, data.length());
  return co_pwritev(file_, offset, data, flags & kPassedFlags);
}

absl::Status ThrottleDriver::co_flush() { return penstock::co_flush(file_); }

absl::Status ThrottleDriver::co_write_zeroes(ByteRange range, RequestFlags flags) {
  member_->co_pass(ThrottleDirection::kWrite, range.length);
  return penstock::co_write_zeroes(file_, range, flags & kPassedFlags);
}

absl::Status ThrottleDriver::co_discard(ByteRange range) {
  member_->co_pass(ThrottleDirection::kWrite, range.length);
  return penstock::co_discard(file_, range);
}

absl::Status ThrottleDriver::co_resize(uint64_t size) { return penstock::co_resize(file_, size); }

absl::StatusOr<Reopened> ThrottleDriver::co_prepare_reopen(const ReopenContext& context) {
  const auto group = read_group(context.options);
  if (!group.ok()) return group.status();
  Reopened result;
  result.size = context.new_file_size;
  result.size_follows_file = true;
  if (*group == member_->group().name) return result;
  auto member = groups_.join(*group, file_.parent->name);
  if (!member.ok()) return member.status();
  result.driver = std::make_unique<ThrottleDriver>(file_, groups_, *std::move(member));
  return result;
}

ChildRole ThrottleDriverType::role_of(std::string_view /*child_name*/) const {
  return ChildRole::kFiltered;
}

absl::StatusOr<LoadedDriver> ThrottleDriverType::co_load(const LoadContext& context) const {
  const auto group = read_group(context.options);
  if (!group.ok()) return group.status();
  if (context.file == nullptr) {
    return errno_message(EINVAL, "throttle: there is no \"file\" child; name one in the options.");
  }
  auto member = groups_->join(*group, context.file->parent->name);
  if (!member.ok()) return member.status();

  LoadedDriver loaded;
  loaded.size = context.file->node->size();
  loaded.file_name = context.file->node->file_name;
  loaded.driver = std::make_unique<ThrottleDriver>(*context.file, *groups_, *std::move(member));
  return loaded;
}

ThrottleGroups& throttle_groups(const DriverRegistry& drivers) {
  const auto type = drivers.find("throttle");
  if (!type.ok()) fatal("the throttle driver is not registered");
  return static_cast<const ThrottleDriverType*>(*type)->groups();
}

}  // namespace penstock
