// SPDX-License-Identifier: Apache-2.0
#include "tests/block/graph/explore_seeds.h"

#include <cstdlib>
#include <string>

#include "gtest/gtest.h"

namespace penstock {

void explore_seeds(uint64_t default_count, const std::function<void(uint64_t seed)>& explore) {
  const char* one = std::getenv("PENSTOCK_TEST_SEED");
  const char* count = std::getenv("PENSTOCK_TEST_SEEDS");
  const uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 0) : 1;
  const uint64_t seeds = one != nullptr     ? 1
                         : count != nullptr ? std::strtoull(count, nullptr, 0)
                                            : default_count;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("PENSTOCK_TEST_SEED=" + std::to_string(seed));
    explore(seed);
    if (testing::Test::HasFailure()) FAIL() << "replay it with PENSTOCK_TEST_SEED=" << seed;
  }
}

}  // namespace penstock
