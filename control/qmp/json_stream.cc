// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/json_stream.h"

#include <cerrno>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"

namespace penstock {
namespace {

constexpr size_t kKeptCapacity = 64 * 1024;  // bytes

bool is_space(unsigned char byte) {
  return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

// A byte that no JSON text holds: clients send one to make a server forget what came before.
bool is_reset(unsigned char byte) { return (byte < 0x20 && !is_space(byte)) || byte >= 0xfe; }

absl::Status parse_error(const std::string& why) {
  return errno_message(EINVAL, "JSON parse error, " + why);
}

// Remembers where a text stops being JSON.
class FaultFinder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::detail::exception&) override {
    fault = "unexpected '" + printable_text(token, kLongestQuote) + "' at byte " +
            std::to_string(position);
    return false;
  }

  std::string fault = "not JSON";
};

// A name with one would be another name for the system, which ends it there. QEMU takes none
// either.
bool has_nul(const nlohmann::json& value) {
  if (value.is_string()) {
    return value.get_ref<const std::string&>().find('\0') != std::string::npos;
  }
  if (!value.is_structured()) return false;
  for (const auto& [key, member] : value.items()) {
    if ((value.is_object() && key.find('\0') != std::string::npos) || has_nul(member)) return true;
  }
  return false;
}

std::string fault_in(const std::string& text) {
  FaultFinder finder;
  nlohmann::json::sax_parse(text, &finder);
  return finder.fault;
}

}  // namespace

void JsonStream::feed(std::string_view bytes) {
  if (taken_ != 0) {
    fed_.erase(0, taken_);
    taken_ = 0;
  }
  fed_.append(bytes);
}

JsonStream::Item JsonStream::next() {
  while (taken_ < fed_.size()) {
    if (Item item = take(static_cast<unsigned char>(fed_[taken_++]))) return item;
  }
  fed_.clear();
  taken_ = 0;
  return std::nullopt;
}

bool JsonStream::is_inside_message() const {
  return state_ == State::kInMessage || state_ == State::kInString;
}

JsonStream::Item JsonStream::take(unsigned char byte) {
  if (is_reset(byte)) return reset_by(byte);
  switch (state_) {
    case State::kBetween:
    case State::kAfterReset:
      return take_between(byte);
    case State::kSkippingLine:
      if (byte == '\n') state_ = State::kBetween;
      return std::nullopt;
    case State::kInMessage:
      return take_in_message(byte);
    case State::kInString:
      return take_in_string(byte);
  }
  return std::nullopt;
}

// One error for a row of such bytes, and none if what they end was refused before.
JsonStream::Item JsonStream::reset_by(unsigned char byte) {
  const bool told = state_ == State::kAfterReset || state_ == State::kSkippingLine ||
                    (is_inside_message() && discarding_);
  state_ = State::kAfterReset;
  message_.clear();
  if (told) return std::nullopt;
  constexpr char kDigits[] = "0123456789abcdef";
  return parse_error(std::string("stray byte 0x") + kDigits[byte >> 4] + kDigits[byte & 15]);
}

JsonStream::Item JsonStream::take_between(unsigned char byte) {
  if (is_space(byte)) return std::nullopt;
  if (byte != '{' && byte != '[') {
    state_ = State::kSkippingLine;
    return parse_error("a message begins with '{', not with '" +
                       printable_text(std::string(1, static_cast<char>(byte))) + "'");
  }
  state_ = State::kInMessage;
  depth_ = 1;
  discarding_ = false;
  message_.assign(1, static_cast<char>(byte));
  return std::nullopt;
}

JsonStream::Item JsonStream::take_in_message(unsigned char byte) {
  switch (byte) {
    case '"':
    case '\'':
      state_ = State::kInString;
      quote_ = static_cast<char>(byte);
      escaped_ = false;
      return keep('"');
    case '{':
    case '[':
      ++depth_;
      if (depth_ > limits_.depth && !discarding_) {
        return give_up(EMSGSIZE, "JSON nesting depth limit exceeded: more than " +
                                     std::to_string(limits_.depth) + " levels");
      }
      return keep(byte);
    case '}':
    case ']': {
      --depth_;
      const Item error = keep(byte);
      if (depth_ != 0) return error;
      state_ = State::kBetween;
      return error ? error : finish();
    }
    default:
      return keep(byte);
  }
}

JsonStream::Item JsonStream::take_in_string(unsigned char byte) {
  if (byte < 0x20) {
    // Not before the end of the line: text inside of a string must never be taken for a message.
    state_ = byte == '\n' ? State::kBetween : State::kSkippingLine;
    message_.clear();
    if (std::exchange(discarding_, false)) return std::nullopt;
    return parse_error("a control character in a string: write it as an escape such as \\n");
  }
  if (escaped_) {
    escaped_ = false;
    if (byte == '\'') return keep(byte);
    const Item error = keep('\\');
    return error ? error : keep(byte);
  }
  if (byte == '\\') {
    escaped_ = true;
    return std::nullopt;
  }
  if (byte == static_cast<unsigned char>(quote_)) {
    state_ = State::kInMessage;
    return keep('"');
  }
  if (byte == '"') {
    const Item error = keep('\\');
    return error ? error : keep(byte);
  }
  return keep(byte);
}

JsonStream::Item JsonStream::keep(unsigned char byte) {
  if (discarding_) return std::nullopt;
  if (message_.size() >= limits_.message) {
    return give_up(EMSGSIZE, "JSON message too large: more than " +
                                 std::to_string(limits_.message) + " bytes");
  }
  message_.push_back(static_cast<char>(byte));
  return std::nullopt;
}

JsonStream::Item JsonStream::give_up(int error_number, const std::string& why) {
  discarding_ = true;
  std::string().swap(message_);
  return errno_message(error_number, why);
}

JsonStream::Item JsonStream::finish() {
  if (std::exchange(discarding_, false)) return std::nullopt;
  nlohmann::json parsed = nlohmann::json::parse(message_, nullptr, /*allow_exceptions=*/false);
  std::string fault;
  if (parsed.is_discarded()) {
    fault = fault_in(message_);
  } else if (message_.find("\\u0000") != std::string::npos && has_nul(parsed)) {
    fault = "\\u0000 is not allowed in a string";
  }
  message_.clear();
  if (message_.capacity() > kKeptCapacity) message_.shrink_to_fit();
  if (!fault.empty()) return parse_error(fault);
  return parsed;
}

}  // namespace penstock
