// SPDX-License-Identifier: Apache-2.0
// Cuts a stream of bytes into JSON messages, and finds its way again after anything else.
//
// A message is an object or an array; what is around it is white space. As in QEMU strings may have
// single quotes, and a control character or a byte 0xfe or 0xff ends whatever was begun. After text
// that is no message, all is skipped up to the end of the line or such a byte.
//
// Ownership: owns what was fed and not yet taken.
// Threads: one at a time.
// Errors: EINVAL with QEMU's "JSON parse error, ...", also for a NUL in a string; EMSGSIZE for a
//   message that is too large or too deep, as soon as that is known: the rest of it is skipped
//   silently.
// Invariants: the answers do not depend on how the bytes were cut into feeds. A message that is
//   begun takes no more memory than the limit.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace penstock {

class JsonStream {
 public:
  struct Limits {
    size_t message = size_t{1} << 20;  // bytes
    unsigned depth = 64;
  };

  JsonStream() = default;
  explicit JsonStream(Limits limits) : limits_(limits) {}

  void feed(std::string_view bytes);
  // The next message or error in what was fed; nothing if more bytes are needed.
  std::optional<absl::StatusOr<nlohmann::json>> next();
  // A message has been begun that has not ended.
  bool is_inside_message() const;

 private:
  enum class State : uint8_t { kBetween, kAfterReset, kSkippingLine, kInMessage, kInString };
  using Item = std::optional<absl::StatusOr<nlohmann::json>>;

  Item take(unsigned char byte);
  Item take_between(unsigned char byte);
  Item take_in_message(unsigned char byte);
  Item take_in_string(unsigned char byte);
  Item reset_by(unsigned char byte);
  Item finish();
  Item keep(unsigned char byte);
  Item give_up(int error_number, const std::string& why);

  Limits limits_;
  std::string fed_;
  size_t taken_ = 0;  // bytes of fed_

  State state_ = State::kBetween;
  std::string message_;  // with double quotes only
  size_t depth_ = 0;
  char quote_ = '"';         // of the string that the next byte is in
  bool escaped_ = false;     // the byte before was a backslash that escapes this one
  bool discarding_ = false;  // the error of this message has been told
};

}  // namespace penstock
