// SPDX-License-Identifier: Apache-2.0
#include "block/node/driver.h"

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/printable_text.h"
#include "base/status.h"
#include "block/node/below_filters.h"
#include "block/node/child.h"
#include "block/node/node.h"

namespace penstock {

absl::Status MappedIo::co_read_special(const Mapping& /*mapping*/, const IoVector& /*data*/) {
  return errno_status(EOPNOTSUPP, "the driver has no special ranges to read");
}

absl::Status MappedIo::co_write_special(const Mapping& /*mapping*/, const IoVector& /*data*/) {
  return errno_status(EOPNOTSUPP, "the driver has no special ranges to write");
}

absl::Status MappedIo::co_map_zeroes(ByteRange /*range*/, RequestFlags /*flags*/) {
  return errno_status(EOPNOTSUPP, "the driver keeps no record of zeroes");
}

absl::Status MappedIo::co_map_discard(ByteRange /*range*/) {
  return errno_status(EOPNOTSUPP, "the driver frees nothing");
}

absl::Status MappedIo::co_flush_metadata() { return absl::OkStatus(); }

absl::Status DirectIo::co_write_zeroes(ByteRange /*range*/, RequestFlags /*flags*/) {
  return errno_status(EOPNOTSUPP, "the driver has no quick way to write zeroes");
}

absl::Status DirectIo::co_discard(ByteRange /*range*/) {
  return errno_status(EOPNOTSUPP, "the driver does not discard");
}

absl::StatusOr<BlockStatus> DirectIo::co_block_status(ByteRange range) {
  return BlockStatus{.length = range.length, .data = true, .zero = false, .allocated = true};
}

absl::Status refuse_changed_options(const ReopenContext& context,
                                    std::span<const std::string_view> changeable) {
  const nlohmann::json& now = context.now.driver_options;
  const nlohmann::json& then = context.options.driver_options;
  std::set<std::string> names;
  for (const auto& [name, value] : now.items()) names.insert(name);
  for (const auto& [name, value] : then.items()) names.insert(name);
  for (const std::string& name : names) {
    if (std::find(changeable.begin(), changeable.end(), name) != changeable.end()) continue;
    const auto old_value = now.find(name);
    const auto new_value = then.find(name);
    if (old_value != now.end() && new_value != then.end() && *old_value == *new_value) continue;
    const auto text = [&](const nlohmann::json& options, const auto& found) {
      return found == options.end() ? std::string("its default") : printable_text(found->dump());
    };
    return errno_message(EINVAL, "Cannot change the option '" + printable_text(name) +
                                     "' of driver '" + context.now.driver + "' from " +
                                     text(now, old_value) + " to " + text(then, new_value) +
                                     " while the node is open. Say it as it was opened.");
  }
  return absl::OkStatus();
}

absl::Status refuse_other_storage(const ReopenContext& context) {
  if (context.file == context.new_file) return absl::OkStatus();
  if (&below_filters(*context.file) == &below_filters(*context.new_file)) return absl::OkStatus();
  return errno_message(EINVAL, "Cannot change 'file' from '" + context.file->name + "' to '" +
                                   context.new_file->name + "': what driver '" +
                                   context.now.driver +
                                   "' has read belongs to the file. Give the same file, with or "
                                   "without filters above it, or add a new node.");
}

absl::StatusOr<Reopened> Driver::co_prepare_reopen(const ReopenContext& context) {
  if (absl::Status status = refuse_changed_options(context); !status.ok()) return status;
  Reopened result;
  if (is_filter()) {
    result.size = context.new_file_size;
    result.size_follows_file = true;
  } else if (absl::Status status = refuse_other_storage(context); !status.ok()) {
    return status;
  }
  return result;
}

absl::Status Driver::co_prepare_permissions(const Permissions& /*permissions*/) {
  return absl::OkStatus();
}

Permissions Driver::child_permissions(const Child& child, const Permissions& parents) const {
  const bool writes = (parents.taken & (kWrite | kWriteUnchanged)) != 0;
  switch (child.role) {
    case ChildRole::kRoot:
    case ChildRole::kFiltered:
      // The same bytes at the same offsets: the users' needs are the child's.
      return parents;
    case ChildRole::kImage: {
      // The image holds metadata, which must be consistent even if no user asks for that. Any guest
      // write may write metadata and lengthen the image. Somebody else who changes the image pulls
      // metadata from under us, whether we write or not: write and resize are never shared. Writing
      // what is there already harms nobody.
      Permissions result{kConsistentRead, (parents.shared & kConsistentRead) | kWriteUnchanged};
      if (writes) result.taken |= kWrite | kWriteUnchanged | kResize;
      if ((parents.taken & kResize) != 0) result.taken |= kWrite | kWriteUnchanged | kResize;
      return result;
    }
    case ChildRole::kData: {
      // No metadata: what the users need; a change from outside would be one of guest data.
      Permissions result{parents.taken & (kConsistentRead | kResize),
                         (parents.shared & kConsistentRead) | kWriteUnchanged};
      if (writes) result.taken |= kWrite | kWriteUnchanged;
      return result;
    }
    case ChildRole::kBacking: {
      // Only read, and only as consistently as the users want it: writes go to this layer. If the
      // users put up with data that others change, so does this edge; its resizes then come with
      // it.
      Permissions result{parents.taken & kConsistentRead, kConsistentRead | kWriteUnchanged};
      if ((parents.shared & kWrite) != 0) result.shared |= kWrite | kResize;
      return result;
    }
  }
  return parents;
}

ChildRole DriverType::role_of(std::string_view child_name) const {
  if (child_name == "backing") return ChildRole::kBacking;
  if (child_name == "data-file") return ChildRole::kData;
  return ChildRole::kImage;
}

}  // namespace penstock
