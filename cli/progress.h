// SPDX-License-Identifier: Apache-2.0
// How far long work is: a bar on a terminal, or a line of JSON for each look.
//
// Ownership: a value.
// Threads: the main thread.
// Errors: none.
// Invariants: the bar goes to stderr, and only if that is a terminal; JSON goes to stdout.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace penstock {

struct ProgressSample {
  uint64_t done = 0;  // bytes
  uint64_t all = 0;
  double seconds = 0;  // since the beginning
};

// One line of at most `width` columns, without an end of line.
std::string progress_bar(const ProgressSample& sample, const std::string& what, unsigned width);
// {"description": ..., "transferred": ..., "size": ..., "elapsed": ...}
std::string progress_json(const ProgressSample& sample, const std::string& what);

class Progress {
 public:
  // `word`: "auto", "json" or "none".
  Progress(const std::string& word, std::string what);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();  // ends the bar's line

  // False if nobody reads the lines any more.
  bool show(uint64_t done, uint64_t all);

 private:
  const bool as_json_;
  const bool as_bar_;
  const std::string what_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  bool has_bar_ = false;
};

}  // namespace penstock
