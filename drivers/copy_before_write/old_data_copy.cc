// SPDX-License-Identifier: Apache-2.0
#include "drivers/copy_before_write/old_data_copy.h"

#include <algorithm>

#include "absl/strings/cord.h"
#include "base/aligned_buffer.h"
#include "block/io/child_io.h"
#include "block/node/node.h"

namespace penstock {
namespace {

constexpr char kTargetPayload[] = "penstock/copy-target";

absl::Status at_target(absl::Status status) {
  if (!status.ok()) status.SetPayload(kTargetPayload, absl::Cord());
  return status;
}

}  // namespace

bool failed_at_target(const absl::Status& status) {
  return status.GetPayload(kTargetPayload).has_value();
}

absl::Status OldDataCopy::co_run(ByteRange range, uint64_t& moved) const {
  while (!range.empty()) {
    const Part part = co_look(range);
    const ByteRange here{range.offset, part.length};
    absl::Status status;
    if (part.kind == Kind::kData) {
      status = co_move(here);
      if (status.ok()) moved += here.length;
    } else if (part.kind == Kind::kZero) {
      status = at_target(co_write_zeroes(target, here, kMayUnmap));
    }
    if (!status.ok()) return status;
    range = {here.end(), range.end() - here.end()};
  }
  return absl::OkStatus();
}

// What the first clusters are. A cluster that is not all of one kind is data.
OldDataCopy::Part OldDataCopy::co_look(ByteRange range) const {
  const uint64_t longest = std::max(kLongestCopy, granularity);
  const auto status = co_block_status(source, range);
  // Who cannot say is read.
  if (!status.ok()) return {Kind::kData, std::min(range.length, longest)};
  const bool to_the_end = status->length >= range.length;
  const uint64_t whole = to_the_end ? range.length : align_down(status->length, granularity);
  const bool skipped = skip_unallocated && !status->allocated;
  if ((skipped || status->zero) && whole > 0) {
    return {skipped ? Kind::kSkipped : Kind::kZero, whole};
  }
  const uint64_t touched = skipped || status->zero ? granularity : status->length;
  return {Kind::kData, std::min({range.length, longest, align_up(touched, granularity)})};
}

absl::Status OldDataCopy::co_move(ByteRange range) const {
  const Limits& from = source.node->limits;
  const Limits& to = target.node->limits;
  const AlignedBuffer memory(
      range.length, std::max({from.memory_alignment, to.memory_alignment, from.request_alignment,
                              to.request_alignment, uint64_t{64}}));
  const iovec segment = iovec_of(memory.span());
  if (auto status = co_preadv(source, range.offset, IoVector(segment)); !status.ok()) return status;
  return at_target(co_pwritev(target, range.offset, IoVector(segment)));
}

}  // namespace penstock
