// SPDX-License-Identifier: Apache-2.0
#include "drivers/raw/raw_driver.h"

#include <cerrno>
#include <string>

#include "base/byte_range.h"
#include "base/status.h"
#include "block/io/child_io.h"
#include "block/node/node.h"

namespace penstock {
namespace {

struct Window {
  uint64_t base = 0;  // bytes, in the child
  uint64_t size = 0;
  bool fixed_size = false;
};

// `below`: the child's size in bytes.
absl::StatusOr<Window> read_window(const NodeOptions& options, uint64_t below) {
  OptionReader reader(options);
  const bool fixed_size = options.driver_options.contains("size");
  const auto base = reader.take_size("offset", 0);
  if (!base.ok()) return base.status();
  const auto wanted = reader.take_size("size", 0);
  if (!wanted.ok()) return wanted.status();
  if (const auto left = reader.finish(); !left.ok()) return left;
  if (*base > below || (fixed_size && *wanted > below - *base)) {
    return errno_message(EINVAL,
                         "raw: the window at offset " + std::to_string(*base) +
                             (fixed_size ? " of " + std::to_string(*wanted) + " bytes" : "") +
                             " does not fit into the " + std::to_string(below) +
                             " bytes of the file; choose a smaller offset or size.");
  }
  return Window{*base, fixed_size ? *wanted : below - *base, fixed_size};
}

}  // namespace

bool RawDriver::grows_by_writing() const {
  const Resizable* below = file_.node->driver->resizable();
  return !fixed_size_ && below != nullptr && below->grows_by_writing();
}

Permissions RawDriver::child_permissions(const Child& /*child*/, const Permissions& parents) const {
  // There is no metadata of its own to read or protect, so nothing is added; but the window must
  // stay inside the child.
  Permissions permissions = parents;
  if (fixed_size_ || base_ > 0) permissions.shared &= ~kResize;
  return permissions;
}

nlohmann::json RawDriver::describe() const {
  if (base_ == 0 && !fixed_size_) return nullptr;
  return {{"offset", base_}};
}

absl::StatusOr<Mapping> RawDriver::co_map(ByteRange range, MapIntent /*intent*/) {
  const auto child_range = checked_add(base_, range.end());
  if (!child_range) return errno_status(EFBIG, "raw: the range ends past the largest offset");
  Mapping mapping;
  mapping.kind = MappingKind::kData;
  mapping.range = range;
  mapping.child = &file_;
  mapping.child_offset = base_ + range.offset;
  return mapping;
}

absl::Status RawDriver::co_resize(uint64_t size) {
  const auto child_size = checked_add(base_, size);
  if (!child_size) return errno_status(EFBIG, "raw: the new size is past the largest offset");
  return penstock::co_resize(file_, *child_size);
}

absl::StatusOr<Reopened> RawDriver::co_prepare_reopen(const ReopenContext& context) {
  const absl::StatusOr<Window> window = read_window(context.options, context.new_file_size);
  if (!window.ok()) return window.status();
  Reopened result;
  result.size = window->size;
  result.size_follows_file = !window->fixed_size;
  if (window->base != base_ || window->fixed_size != fixed_size_) {
    result.driver = std::make_unique<RawDriver>(file_, window->base, window->fixed_size);
  }
  return result;
}

ChildRole RawDriverType::role_of(std::string_view /*child_name*/) const { return ChildRole::kData; }

absl::StatusOr<LoadedDriver> RawDriverType::co_load(const LoadContext& context) const {
  if (context.file == nullptr) {
    return errno_message(EINVAL, "raw: there is no \"file\" child; name one in the options.");
  }
  const absl::StatusOr<Window> window = read_window(context.options, context.file->node->size());
  if (!window.ok()) return window.status();
  LoadedDriver loaded;
  loaded.driver = std::make_unique<RawDriver>(*context.file, window->base, window->fixed_size);
  loaded.size = window->size;
  loaded.file_name = context.file->node->file_name;
  return loaded;
}

}  // namespace penstock
