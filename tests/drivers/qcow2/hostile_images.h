// SPDX-License-Identifier: Apache-2.0
// Damaged variants of a built image, after the sound one: every field by every value that means
// something, truncations at every structure, and seeded heaps of changes.
//
// Ownership: a variant shows the generator's one copy of the image, changed back after the visit.
// Threads: pure.
// Errors: none.
// Invariants: the same image, seed and rounds give the same variants in the same order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "tests/drivers/qcow2/built_image.h"

namespace penstock {

// What is still known about a variant.
struct HostileImage {
  std::string what;  // "sound", "L1 entry = 0x200", "cut at 4096"
  std::span<const std::byte> bytes;
  // Whether the image must still open.
  bool opens = false;
  // True if the cluster, if the image opens, reads as before.
  std::function<bool(const KnownCluster&)> intact;
};

struct HostilePlan {
  uint64_t seed = 1;
  unsigned values_per_field = 0;  // chosen by the seed; 0: all
  unsigned heaps = 100;           // variants with several changes at once
};

void for_each_hostile_image(const BuiltImage& image, const HostilePlan& plan,
                            const std::function<void(const HostileImage&)>& visit);

}  // namespace penstock
