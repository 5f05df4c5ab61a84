// SPDX-License-Identifier: Apache-2.0
// Collects what a check finds: exact counts, and the first messages.
//
// Ownership: a value.
// Threads: one coroutine.
// Errors: none.
// Invariants: a message is made only if it is kept. A finding that counts several times (a table
//   that several entries name) has one message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "block/node/image_check.h"

namespace penstock {

class CheckReport {
 public:
  static constexpr size_t kMaxMessages = 1000;

  // `text` is a function that answers the message.
  template <typename Text>
  void corruption(uint64_t count, Text&& text) {
    found(result_.corruptions, count, std::forward<Text>(text));
  }
  template <typename Text>
  void leak(Text&& text) {
    found(result_.leaks, 1, std::forward<Text>(text));
  }
  template <typename Text>
  void check_error(uint64_t count, Text&& text) {
    found(result_.check_errors, count, std::forward<Text>(text));
  }

  ImageCheck& result() { return result_; }

 private:
  template <typename Text>
  void found(uint64_t& counter, uint64_t count, Text&& text) {
    if (count == 0) return;
    counter += count;
    if (result_.messages.size() < kMaxMessages) {
      result_.messages.push_back(text());
    } else {
      ++result_.messages_left_out;
    }
  }

  ImageCheck result_;
};

// "0x50000", for messages.
std::string hex(uint64_t value);
// "1 reference", "2 references".
std::string counted(uint64_t count, const std::string& noun);

}  // namespace penstock
