// SPDX-License-Identifier: Apache-2.0
// Latencies from histograms of counts.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: a percentile lies between the ends of the bin that holds it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace penstock {

struct Histogram {
  std::vector<uint64_t> boundaries;  // nanoseconds, rising
  std::vector<uint64_t> bins;        // one more than there are boundaries

  bool operator==(const Histogram&) const = default;
};

// Rising nanoseconds from 1 µs to 10 s, ten to each power of ten.
std::vector<uint64_t> latency_boundaries();

// What was counted between two readings; nothing if they are not of one histogram.
std::optional<Histogram> histogram_between(const Histogram& before, const Histogram& after);

// Nanoseconds that `fraction` (0 to 1) of the requests took at most; nothing if none was counted.
std::optional<uint64_t> percentile(const Histogram& histogram, double fraction);

// "850 ns", "85.1 us", "1.20 ms", "3.45 s".
std::string latency_text(uint64_t nanoseconds);

}  // namespace penstock
