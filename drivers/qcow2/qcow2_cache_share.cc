// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_cache_share.h"

#include <algorithm>
#include <atomic>

namespace penstock {
namespace {

constexpr uint64_t kAll = 20 << 20;
std::atomic<uint64_t> taken{0};

uint64_t take(uint64_t wanted, uint64_t least) {
  uint64_t before = taken.load(std::memory_order_relaxed);
  while (true) {
    const uint64_t left = before < kAll ? kAll - before : 0;
    const uint64_t share = std::max(least, std::min(wanted, left / 4));
    if (taken.compare_exchange_weak(before, before + share, std::memory_order_relaxed)) {
      return share;
    }
  }
}

}  // namespace

Qcow2CacheShare::Qcow2CacheShare(uint64_t wanted, uint64_t least) : bytes_(take(wanted, least)) {}

Qcow2CacheShare::~Qcow2CacheShare() { taken.fetch_sub(bytes_, std::memory_order_relaxed); }

}  // namespace penstock
