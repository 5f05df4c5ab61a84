// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/printable_text.h"
#include "cli/terminal.h"
#include "cli/text_table.h"
#include "control/image_info_text.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

constexpr size_t kLongestBar = 40;
constexpr size_t kShortestBar = 8;
constexpr double kLongestGuess = 100 * 3600;  // seconds: later ends are not told

std::string clock_text(double seconds) {
  const auto whole = static_cast<unsigned long>(seconds + 0.5);
  char text[64];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lu:%02lu", whole / 60, whole % 60);
  }
  return text;
}

double part_of(const ProgressSample& sample) {
  if (sample.all == 0) return 0;
  return std::min(1.0, static_cast<double>(sample.done) / static_cast<double>(sample.all));
}

}  // namespace

std::string progress_bar(const ProgressSample& sample, const std::string& what, unsigned width) {
  const double part = part_of(sample);
  char percent[16];
  std::snprintf(percent, sizeof percent, "%3d %%", static_cast<int>(part * 100));
  std::string after = std::string(" ") + percent;
  if (sample.seconds > 0) {
    const double speed = static_cast<double>(sample.done) / sample.seconds;
    after += "  " + readable_size(static_cast<uint64_t>(speed)) + "/s";
    const double left = part > 0 ? sample.seconds * (1 - part) / part : kLongestGuess;
    if (part >= 1) {
      after += "  in " + clock_text(sample.seconds);
    } else if (left < kLongestGuess) {
      after += "  " + clock_text(left) + " left";
    }
  }
  const size_t taken = display_width(after) + 3;  // brackets and a space
  std::string before = printable_text(what);
  if (display_width(before) + taken + kShortestBar > width) before.clear();
  const size_t room =
      width > display_width(before) + taken ? width - display_width(before) - taken : 0;
  const size_t bar = std::min(room, kLongestBar);
  if (bar < kShortestBar) return after.substr(1, width);
  const auto filled = static_cast<size_t>(part * static_cast<double>(bar));
  return before + (before.empty() ? "" : " ") + "[" + std::string(filled, '#') +
         std::string(bar - filled, '.') + "]" + after;
}

std::string progress_json(const ProgressSample& sample, const std::string& what) {
  const nlohmann::ordered_json line = {{"description", what},
                                       {"transferred", sample.done},
                                       {"size", sample.all},
                                       {"elapsed", sample.seconds}};
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Progress::Progress(const std::string& word, std::string what)
    : as_json_(word == "json"),
      as_bar_(word == "auto" && is_terminal(STDERR_FILENO)),
      what_(std::move(what)) {}

Progress::~Progress() {
  if (has_bar_) std::fputs("\n", stderr);
}

bool Progress::show(uint64_t done, uint64_t all) {
  const ProgressSample sample = {
      .done = done,
      .all = all,
      .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count()};
  if (as_json_) {
    std::puts(progress_json(sample, what_).c_str());
    std::fflush(stdout);
  }
  if (!as_bar_) return std::ferror(stdout) == 0;
  // One column stays free: a full line would go on in the next one.
  const std::string bar = progress_bar(sample, what_, terminal_width(STDERR_FILENO) - 1);
  std::fprintf(stderr, "\r\033[K%s", bar.c_str());
  std::fflush(stderr);
  has_bar_ = true;
  return true;
}

}  // namespace penstock
