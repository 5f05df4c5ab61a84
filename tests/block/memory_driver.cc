// SPDX-License-Identifier: Apache-2.0
#include "tests/block/memory_driver.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "base/status.h"

namespace penstock {
namespace {

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "MemoryDriver: %s\n", why.c_str());
  std::abort();
}

absl::Status run_hook(const MemoryDriver::Hook& hook, ByteRange range) {
  return hook ? hook(range) : absl::OkStatus();
}

}  // namespace

std::vector<std::byte> MemoryDriver::bytes() const {
  const ThreadLock lock(mutex_);
  return bytes_;
}

std::vector<std::byte> MemoryDriver::durable_bytes() const {
  const ThreadLock lock(mutex_);
  return durable_;
}

void MemoryDriver::set_bytes(std::vector<std::byte> bytes) {
  const ThreadLock lock(mutex_);
  bytes_ = std::move(bytes);
}

absl::Status MemoryDriver::co_event(const char* event, ByteRange range) {
  return on_event ? on_event(event, range) : absl::OkStatus();
}

void MemoryDriver::check_transfer(uint64_t offset, const IoVector& data) {
  const uint64_t length = data.length();
  if (length == 0) die("an empty request");
  if (!is_aligned(offset | length, limits.request_alignment)) die("an unaligned request");
  for (const iovec& segment : data.gather()) {
    if (!is_aligned(reinterpret_cast<uintptr_t>(segment.iov_base), limits.memory_alignment)) {
      die("unaligned memory");
    }
  }
  if (limits.max_transfer != 0 && length > limits.max_transfer) die("too long a request");
  uint64_t longest = longest_transfer.load();
  while (longest < length && !longest_transfer.compare_exchange_weak(longest, length)) {
  }
}

absl::Status MemoryDriver::co_readv(uint64_t offset, const IoVector& data, RequestFlags /*flags*/) {
  check_transfer(offset, data);
  reads.fetch_add(1);
  if (auto status = run_hook(before_read, {offset, data.length()}); !status.ok()) return status;
  const ThreadLock lock(mutex_);
  const uint64_t begin = std::min<uint64_t>(offset, bytes_.size());
  const uint64_t there = std::min<uint64_t>(data.length(), bytes_.size() - begin);
  data.slice(0, there).copy_from(std::span<const std::byte>(bytes_.data() + begin, there));
  data.slice(there, data.length() - there).fill_zero();
  return absl::OkStatus();
}

absl::Status MemoryDriver::co_writev(uint64_t offset, const IoVector& data,
                                     RequestFlags /*flags*/) {
  check_transfer(offset, data);
  writes.fetch_add(1);
  const ByteRange range{offset, data.length()};
  if (auto status = run_hook(before_write, range); !status.ok()) return status;
  {
    const ThreadLock lock(mutex_);
    if (range.end() > bytes_.size()) bytes_.resize(range.end());
    data.copy_to(std::span<std::byte>(bytes_.data() + offset, data.length()));
  }
  return run_hook(after_write, range);
}

absl::Status MemoryDriver::co_flush() {
  flushes.fetch_add(1);
  std::vector<std::byte> covered;
  if (tracks_durable) covered = bytes();
  if (auto status = run_hook(before_flush, {}); !status.ok()) return status;
  if (tracks_durable) {
    const ThreadLock lock(mutex_);
    durable_ = std::move(covered);
  }
  return absl::OkStatus();
}

absl::Status MemoryDriver::co_write_zeroes(ByteRange range, RequestFlags /*flags*/) {
  if (!supports_zeroes) return errno_status(EOPNOTSUPP, "memory zeroes");
  if (!is_aligned(range.offset | range.length,
                  std::max(limits.zero_alignment, limits.request_alignment))) {
    die("an unaligned zeroing");
  }
  zeroes.fetch_add(1);
  if (auto status = run_hook(before_zeroes, range); !status.ok()) return status;
  const ThreadLock lock(mutex_);
  if (range.end() > bytes_.size()) bytes_.resize(range.end());
  std::fill_n(bytes_.begin() + static_cast<ptrdiff_t>(range.offset), range.length, std::byte{0});
  return absl::OkStatus();
}

absl::Status MemoryDriver::co_discard(ByteRange range) {
  if (!supports_discard) return errno_status(EOPNOTSUPP, "memory discard");
  if (!is_aligned(range.offset | range.length, limits.discard_alignment)) {
    die("an unaligned discard");
  }
  discards.fetch_add(1);
  if (auto status = run_hook(before_discard, range); !status.ok()) return status;
  const ThreadLock lock(mutex_);
  std::fill_n(bytes_.begin() + static_cast<ptrdiff_t>(range.offset), range.length, std::byte{0});
  return absl::OkStatus();
}

absl::StatusOr<BlockStatus> MemoryDriver::co_block_status(ByteRange range) {
  BlockStatus status{.length = range.length, .data = true, .zero = false, .allocated = true};
  if (!reports_zeroes) return status;
  const ThreadLock lock(mutex_);
  const auto zero_at = [&](uint64_t at) REQUIRES_ROLE(mutex_) {
    return at >= bytes_.size() || bytes_[at] == std::byte{0};
  };
  status.zero = zero_at(range.offset);
  status.data = !status.zero;
  status.length = 1;
  while (status.length < range.length && zero_at(range.offset + status.length) == status.zero) {
    ++status.length;
  }
  return status;
}

absl::Status MemoryDriver::co_resize(uint64_t size) {
  if (auto status = run_hook(before_resize, {0, size}); !status.ok()) return status;
  const ThreadLock lock(mutex_);
  bytes_.resize(size);
  return absl::OkStatus();
}

absl::StatusOr<Mapping> MappedTestDriver::co_map(ByteRange range, MapIntent intent) {
  maps.fetch_add(1);
  if (mapper) return mapper(range, intent);
  uint64_t gap_end = range.end();
  for (const Mapping& mapping : mappings) {
    if (range.offset >= mapping.range.offset && range.offset < mapping.range.end()) {
      Mapping answer = mapping;
      answer.range = intersect(mapping.range, range);
      answer.child_offset += range.offset - mapping.range.offset;
      return answer;
    }
    if (mapping.range.offset > range.offset) gap_end = std::min(gap_end, mapping.range.offset);
  }
  return Mapping{.kind = MappingKind::kUnallocated,
                 .range = {range.offset, gap_end - range.offset},
                 .child = backing};
}

absl::Status MappedTestDriver::co_read_special(const Mapping& mapping, const IoVector& data) {
  special_reads.fetch_add(1);
  const std::vector<std::byte> bytes(data.length(), static_cast<std::byte>(mapping.token));
  data.copy_from(std::span<const std::byte>(bytes));
  return absl::OkStatus();
}

absl::Status MappedTestDriver::co_write_special(const Mapping& /*mapping*/,
                                                const IoVector& /*data*/) {
  special_writes.fetch_add(1);
  return absl::OkStatus();
}

absl::Status MappedTestDriver::co_flush_metadata() {
  metadata_flushes.fetch_add(1);
  return absl::OkStatus();
}

}  // namespace penstock
