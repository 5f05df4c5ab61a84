// SPDX-License-Identifier: Apache-2.0
#include "cli/latency.h"

#include <cmath>
#include <cstdio>
#include <iterator>
#include <numeric>

namespace penstock {
namespace {

constexpr double kFirst = 1e3;  // nanoseconds
constexpr int kPowers = 7;      // up to 10 s
constexpr int kPerPower = 10;

}  // namespace

std::vector<uint64_t> latency_boundaries() {
  std::vector<uint64_t> boundaries;
  for (int i = 0; i <= kPowers * kPerPower; ++i) {
    const double value = kFirst * std::pow(10.0, static_cast<double>(i) / kPerPower);
    boundaries.push_back(static_cast<uint64_t>(std::llround(value)));
  }
  return boundaries;
}

std::optional<Histogram> histogram_between(const Histogram& before, const Histogram& after) {
  if (before.boundaries != after.boundaries || before.bins.size() != after.bins.size()) {
    return std::nullopt;
  }
  Histogram between{.boundaries = after.boundaries, .bins = after.bins};
  for (size_t i = 0; i < after.bins.size(); ++i) {
    if (after.bins[i] < before.bins[i]) return std::nullopt;  // it was begun anew
    between.bins[i] -= before.bins[i];
  }
  return between;
}

std::optional<uint64_t> percentile(const Histogram& histogram, double fraction) {
  if (histogram.boundaries.empty() || histogram.bins.size() != histogram.boundaries.size() + 1) {
    return std::nullopt;
  }
  const uint64_t all = std::accumulate(histogram.bins.begin(), histogram.bins.end(), uint64_t{0});
  if (all == 0) return std::nullopt;
  const double wanted = fraction * static_cast<double>(all);
  double below = 0;
  for (size_t i = 0; i < histogram.bins.size(); ++i) {
    const auto count = static_cast<double>(histogram.bins[i]);
    if (count == 0 || below + count < wanted) {
      below += count;
      continue;
    }
    if (i == histogram.boundaries.size()) return histogram.boundaries.back();  // or more
    const auto begin = i == 0 ? 0.0 : static_cast<double>(histogram.boundaries[i - 1]);
    const auto end = static_cast<double>(histogram.boundaries[i]);
    return static_cast<uint64_t>(begin + (end - begin) * (wanted - below) / count);
  }
  return histogram.boundaries.back();
}

std::string latency_text(uint64_t nanoseconds) {
  static constexpr const char* kUnits[] = {"ns", "us", "ms", "s"};
  double value = static_cast<double>(nanoseconds);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  const int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  char text[48];
  std::snprintf(text, sizeof text, "%.*f %s", digits, value, kUnits[unit]);
  return text;
}

}  // namespace penstock
