// SPDX-License-Identifier: Apache-2.0
#include "drivers/faults/faults_driver.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/status.h"
#include "block/io/child_io.h"
#include "block/node/node.h"

namespace penstock {
namespace {

constexpr uint64_t kLargestAlignment = 1u << 20;
// What a request says about itself; the rest of its flags is between a node and its choke point.
constexpr RequestFlags kPassedFlags = kFua | kMayUnmap | kNoFallback;

}  // namespace

FaultsController* faults_controller(const Node& node) {
  if (node.driver_name != "faults" || node.driver == nullptr) return nullptr;
  return &static_cast<FaultsDriver*>(node.driver.get())->controller();
}

Resizable* FaultsDriver::resizable() {
  return file_.node->driver->resizable() != nullptr ? this : nullptr;
}

bool FaultsDriver::grows_by_writing() const {
  const Resizable* below = file_.node->driver->resizable();
  return below != nullptr && below->grows_by_writing();
}

absl::Status FaultsDriver::co_event(const char* event, ByteRange range) {
  return controller_.co_reach(event, range);
}

// Where `align` pads the last piece of a disk of odd size, it reaches past the child's end.
uint64_t FaultsDriver::length_inside(uint64_t offset, uint64_t length) const {
  const uint64_t size = file_.node->size();
  return std::min(length, size > offset ? size - offset : 0);
}

// A write past the end that may not make the child longer is padding, or it would not be here. One
// that may is passed whole; the choke point cuts the excess off again.
uint64_t FaultsDriver::length_to_write(uint64_t offset, uint64_t length) const {
  const bool may_grow = grows_by_writing() && (file_.permissions().taken & kResize) != 0;
  return may_grow ? length : length_inside(offset, length);
}

absl::Status FaultsDriver::co_readv(uint64_t offset, const IoVector& data, RequestFlags flags) {
  const auto reached = controller_.co_reach("read_aio", {offset, data.length()});
  if (!reached.ok()) return reached;
  const uint64_t inside = length_inside(offset, data.length());
  if (inside < data.length()) data.slice(inside, data.length() - inside).fill_zero();
  return co_preadv(file_, offset, data.slice(0, inside), flags & kPassedFlags);
}

absl::Status FaultsDriver::co_writev(uint64_t offset, const IoVector& data, RequestFlags flags) {
  const auto reached = controller_.co_reach("write_aio", {offset, data.length()});
  if (!reached.ok()) return reached;
  const uint64_t length = length_to_write(offset, data.length());
  return co_pwritev(file_, offset, data.slice(0, length), flags & kPassedFlags);
}

absl::Status FaultsDriver::co_flush() {
  auto reached = controller_.co_reach("flush_to_os", {});
  if (reached.ok()) reached = controller_.co_reach("flush_to_disk", {});
  if (!reached.ok()) return reached;
  return penstock::co_flush(file_);
}

absl::Status FaultsDriver::co_write_zeroes(ByteRange range, RequestFlags flags) {
  const auto reached = controller_.co_reach("write_zeroes", range);
  if (!reached.ok()) return reached;
  const ByteRange passed{range.offset, length_to_write(range.offset, range.length)};
  return penstock::co_write_zeroes(file_, passed, flags & kPassedFlags);
}

absl::Status FaultsDriver::co_discard(ByteRange range) {
  const auto reached = controller_.co_reach("discard", range);
  if (!reached.ok()) return reached;
  return penstock::co_discard(file_, {range.offset, length_inside(range.offset, range.length)});
}

absl::Status FaultsDriver::co_resize(uint64_t size) {
  // Also the choke point's cutting off of padding that was not written; it needs no permission.
  if (file_.node->size() == size) return absl::OkStatus();
  const auto reached = controller_.co_reach("resize", {size, 0});
  if (!reached.ok()) return reached;
  return penstock::co_resize(file_, size);
}

ChildRole FaultsDriverType::role_of(std::string_view /*child_name*/) const {
  return ChildRole::kFiltered;
}

absl::StatusOr<LoadedDriver> FaultsDriverType::co_load(const LoadContext& context) const {
  OptionReader reader(context.options);
  const auto align = reader.take_size("align", 1);
  if (!align.ok()) return align.status();
  const nlohmann::json rules = reader.take_json("rules");
  if (const auto left = reader.finish(); !left.ok()) return left;
  if (!std::has_single_bit(*align) || *align > kLargestAlignment) {
    return errno_message(EINVAL, "faults: \"align\" takes a power of two of at most 1 MiB.");
  }
  if (!rules.is_null() && !rules.is_array()) {
    return errno_message(EINVAL, "faults: \"rules\" takes a list of rules.");
  }
  if (context.file == nullptr) {
    return errno_message(EINVAL, "faults: there is no \"file\" child; name one in the options.");
  }

  auto driver = std::make_unique<FaultsDriver>(*context.file);
  for (const nlohmann::json& value : rules) {
    auto rule = fault_rule_from_json(value);
    if (!rule.ok()) return rule.status();
    driver->controller().add_rule(*std::move(rule));
  }
  LoadedDriver loaded;
  loaded.size = context.file->node->size();
  loaded.limits.request_alignment = *align;
  loaded.file_name = context.file->node->file_name;
  loaded.driver = std::move(driver);
  return loaded;
}

}  // namespace penstock
