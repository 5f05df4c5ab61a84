// SPDX-License-Identifier: Apache-2.0
// The seeds of a test that explores schedules.
//
// Ownership: values.
// Threads: the test's own.
// Errors: a failure names its seed.
// Invariants: PENSTOCK_TEST_SEED replays one seed alone, PENSTOCK_TEST_SEEDS sets how many are
//   tried, from 1 on. The first that fails is the last.
#pragma once

#include <cstdint>
#include <functional>

namespace penstock {

void explore_seeds(uint64_t default_count, const std::function<void(uint64_t seed)>& explore);

}  // namespace penstock
