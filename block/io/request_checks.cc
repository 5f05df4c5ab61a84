// SPDX-License-Identifier: Apache-2.0
#include "block/io/request_checks.h"

#include <cerrno>
#include <cstdint>
#include <limits>
#include <string>

#include "base/status.h"

namespace penstock {
namespace {

[[gnu::cold, gnu::noinline]] std::string request_name(const char* operation, const Node& node,
                                                      ByteRange range) {
  return std::string(operation) + " of " + std::to_string(range.length) + " bytes at offset " +
         std::to_string(range.offset) + " on node '" + node.name + "'";
}

[[gnu::cold, gnu::noinline]] absl::Status refuse(int error_number, const char* operation,
                                                 const Node& node, ByteRange range,
                                                 const std::string& why) {
  return errno_message(error_number, request_name(operation, node, range) + ": " + why);
}

}  // namespace

absl::Status check_request(const char* operation, const Child& child, ByteRange range,
                           Permission needed) {
  const Node& node = *child.node;
  const auto end = checked_add(range.offset, range.length);
  if (!end) [[unlikely]] {
    return refuse(EINVAL, operation, node, range, "the range ends past the largest number");
  }
  if (*end > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) [[unlikely]] {
    return refuse(EFBIG, operation, node, range, "no file can be that large");
  }
  if ((needed & ~kConsistentRead) != 0 && node.read_only) [[unlikely]] {
    return refuse(EROFS, operation, node, range, "the node is read-only");
  }
  const Permission missing = needed & ~child.taken.load(std::memory_order_relaxed);
  if (missing != 0) [[unlikely]] {
    return refuse(EPERM, operation, node, range,
                  "'" + child.name + "' has no permission for: " + permission_names(missing));
  }
  return absl::OkStatus();
}

absl::Status check_bounds(const char* operation, const Node& node, ByteRange range) {
  const uint64_t size = node.size();
  if (range.end() <= size) [[likely]]
    return absl::OkStatus();
  return refuse(EIO, operation, node, range,
                "past the end of the node, which has " + std::to_string(size) + " bytes");
}

absl::Status check_write_bounds(const char* operation, const Child& child, ByteRange range) {
  const Node& node = *child.node;
  if (range.end() <= node.size()) [[likely]]
    return absl::OkStatus();
  Resizable* const resizable = node.driver->resizable();
  if (resizable == nullptr || !resizable->grows_by_writing()) {
    return check_bounds(operation, node, range);
  }
  if ((child.taken.load(std::memory_order_relaxed) & kResize) != 0) return absl::OkStatus();
  return refuse(EPERM, operation, node, range,
                "it would grow the node, and '" + child.name + "' has no permission to resize");
}

absl::Status describe(const absl::Status& status, const char* operation, const Node& node,
                      ByteRange range) {
  if (status.ok()) [[likely]]
    return status;
  return annotate(status, request_name(operation, node, range));
}

}  // namespace penstock
