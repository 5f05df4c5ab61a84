// SPDX-License-Identifier: Apache-2.0
// Owned memory at an alignment that O_DIRECT accepts.
//
// Ownership: owns its memory; move only.
// Threads: a value.
// Errors: allocation failure aborts, as for any other small allocation.
// Invariants: data() is aligned to the alignment asked for; contents start undefined.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <utility>

namespace penstock {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // `size` bytes at a multiple of `alignment` (a power of two).
  AlignedBuffer(size_t size, size_t alignment)
      : data_(static_cast<std::byte*>(::operator new(size, std::align_val_t(alignment)))),
        size_(size),
        alignment_(alignment) {}
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    AlignedBuffer(std::move(other)).swap(*this);
    return *this;
  }
  ~AlignedBuffer() {
    if (data_ != nullptr) ::operator delete(data_, std::align_val_t(alignment_));
  }

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<std::byte> span() const { return {data_, size_}; }

 private:
  void swap(AlignedBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(alignment_, other.alignment_);
  }

  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t alignment_ = 1;
};

}  // namespace penstock
