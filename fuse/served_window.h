// SPDX-License-Identifier: Apache-2.0
// Where the bytes of a served file are in its backend: the one place that adds offsets.
//
// Ownership: a value, good for one moment: a resize of the backend makes another one.
// Threads: pure.
// Errors: none; what is outside the file is cut off.
// Invariants: no range that clip() answers reaches past the file's end or the backend's.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/byte_range.h"
#include "fuse/served_tree.h"

namespace penstock {

class ServedWindow {
 public:
  // `backend_size` in bytes, now.
  ServedWindow(const ServedFile& file, uint64_t backend_size) : start_(file.offset) {
    if (file.offset >= backend_size) return;
    size_ = backend_size - file.offset;
    if (file.length) size_ = std::min(size_, *file.length);
  }

  // The file's size in bytes.
  uint64_t size() const { return size_; }
  // The part of `range` (bytes of the file) that exists, in bytes of the backend; maybe empty.
  ByteRange clip(const ByteRange& range) const {
    if (range.offset >= size_) return {start_, 0};
    return {start_ + range.offset, std::min(range.length, size_ - range.offset)};
  }
  // An offset of the backend that clip() answered, in bytes of the file.
  uint64_t to_file(uint64_t backend_offset) const { return backend_offset - start_; }

 private:
  const uint64_t start_;
  uint64_t size_ = 0;
};

}  // namespace penstock
