// SPDX-License-Identifier: Apache-2.0
// A view on scattered memory: the bytes [skip, skip + length) of an array of iovecs.
//
// Ownership: owns nothing; the iovecs and the memory outlive the view.
// Threads: a value; the memory's own rules apply.
// Errors: none; ranges outside the view are the caller's bug and abort in debug builds.
// Invariants: never allocates, except gather(), which does so only past its inline segments.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/container/inlined_vector.h"

namespace penstock {

using IovecList = absl::InlinedVector<iovec, 8>;

class IoVector {
 public:
  IoVector() = default;
  // All of `segments`.
  explicit IoVector(std::span<const iovec> segments);
  // One segment, described by an iovec that the caller keeps.
  explicit IoVector(const iovec& segment) : segments_(&segment, 1), length_(segment.iov_len) {}

  uint64_t length() const { return length_; }
  bool empty() const { return length_ == 0; }

  // The bytes [offset, offset + length) of this view.
  IoVector slice(uint64_t offset, uint64_t length) const;

  // If the view is one contiguous piece of memory, that piece; else {nullptr, 0}.
  iovec contiguous() const;

  // The view as iovecs of exactly its bytes.
  IovecList gather() const;

  // True if every segment's address and length is a multiple of `alignment` (a power of two).
  bool is_aligned_to(uint64_t alignment) const;

  // Copies; sizes must be equal to length().
  void copy_from(std::span<const std::byte> source) const;
  void copy_to(std::span<std::byte> target) const;
  void copy_from(const IoVector& source) const;
  void fill_zero() const;
  bool is_zero() const;

 private:
  template <typename F>
  void for_each(F&& visit) const;

  std::span<const iovec> segments_;
  uint64_t skip_ = 0;
  uint64_t length_ = 0;
};

// An iovec over `memory`. Writers never write through a view made of constant memory.
inline iovec iovec_of(std::span<std::byte> memory) { return {memory.data(), memory.size()}; }
inline iovec iovec_of(std::span<const std::byte> memory) {
  return {const_cast<std::byte*>(memory.data()), memory.size()};
}

}  // namespace penstock
