// SPDX-License-Identifier: Apache-2.0
// One image's share of the memory that the table caches of all open images may take together.
//
// A long backing chain, or many snapshots shown at once, are many images: each is asked to do with
// less when much is taken already.
//
// Ownership: the share is given back when the object goes.
// Threads: any.
// Errors: none.
// Invariants: all shares together have at most 20 MiB, and the least that each insists on.
#pragma once

#include <cstdint>

namespace penstock {

class Qcow2CacheShare {
 public:
  // Takes `wanted` bytes, or a quarter of what is left, but at least `least`.
  Qcow2CacheShare(uint64_t wanted, uint64_t least);
  Qcow2CacheShare(const Qcow2CacheShare&) = delete;
  Qcow2CacheShare& operator=(const Qcow2CacheShare&) = delete;
  ~Qcow2CacheShare();

  uint64_t bytes() const { return bytes_; }

 private:
  const uint64_t bytes_;
};

}  // namespace penstock
