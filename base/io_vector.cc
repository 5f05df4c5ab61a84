// SPDX-License-Identifier: Apache-2.0
#include "base/io_vector.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace penstock {

// Calls visit(pointer, length) for each non-empty piece in order, until it answers false.
template <typename F>
void IoVector::for_each(F&& visit) const {
  uint64_t skip = skip_;
  uint64_t left = length_;
  for (const iovec& segment : segments_) {
    if (left == 0) return;
    if (skip >= segment.iov_len) {
      skip -= segment.iov_len;
      continue;
    }
    const size_t length = std::min<uint64_t>(segment.iov_len - skip, left);
    if (!visit(static_cast<std::byte*>(segment.iov_base) + skip, length)) return;
    skip = 0;
    left -= length;
  }
}

IoVector::IoVector(std::span<const iovec> segments) : segments_(segments) {
  for (const iovec& segment : segments) length_ += segment.iov_len;
}

IoVector IoVector::slice(uint64_t offset, uint64_t length) const {
  assert(offset <= length_ && length <= length_ - offset);
  IoVector result = *this;
  result.skip_ += offset;
  result.length_ = length;
  while (!result.segments_.empty() && result.skip_ >= result.segments_.front().iov_len) {
    result.skip_ -= result.segments_.front().iov_len;
    result.segments_ = result.segments_.subspan(1);
  }
  return result;
}

iovec IoVector::contiguous() const {
  iovec first = {nullptr, 0};
  for_each([&](std::byte* data, size_t length) {
    first = {data, length};
    return false;
  });
  if (first.iov_len != length_) return {nullptr, 0};
  return first;
}

IovecList IoVector::gather() const {
  IovecList list;
  for_each([&](std::byte* data, size_t length) {
    list.push_back({data, length});
    return true;
  });
  return list;
}

bool IoVector::is_aligned_to(uint64_t alignment) const {
  bool aligned = true;
  for_each([&](std::byte* data, size_t length) {
    aligned = ((reinterpret_cast<uintptr_t>(data) | length) & (alignment - 1)) == 0;
    return aligned;
  });
  return aligned;
}

void IoVector::copy_from(std::span<const std::byte> source) const {
  assert(source.size() == length_);
  const std::byte* from = source.data();
  for_each([&](std::byte* data, size_t length) {
    std::memcpy(data, from, length);
    from += length;
    return true;
  });
}

void IoVector::copy_to(std::span<std::byte> target) const {
  assert(target.size() == length_);
  std::byte* to = target.data();
  for_each([&](std::byte* data, size_t length) {
    std::memcpy(to, data, length);
    to += length;
    return true;
  });
}

void IoVector::copy_from(const IoVector& source) const {
  assert(source.length_ == length_);
  uint64_t done = 0;
  source.for_each([&](std::byte* data, size_t length) {
    slice(done, length).copy_from(std::span<const std::byte>(data, length));
    done += length;
    return true;
  });
}

void IoVector::fill_zero() const {
  for_each([](std::byte* data, size_t length) {
    std::memset(data, 0, length);
    return true;
  });
}

bool IoVector::is_zero() const {
  bool zero = true;
  for_each([&](std::byte* data, size_t length) {
    // Every byte equals the first one, and that one is zero.
    zero = data[0] == std::byte{0} && std::memcmp(data, data + 1, length - 1) == 0;
    return zero;
  });
  return zero;
}

}  // namespace penstock
