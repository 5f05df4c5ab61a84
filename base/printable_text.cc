// SPDX-License-Identifier: Apache-2.0
#include "base/printable_text.h"

namespace penstock {

std::string printable_text(std::string_view text, size_t longest) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string shown;
  shown.reserve(text.size() < longest ? text.size() : longest);
  for (const char character : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte >= 0x20 && byte != 0x7f) {
      shown += character;
    } else {
      shown += "\\x";
      shown += kDigits[byte >> 4];
      shown += kDigits[byte & 0xf];
    }
  }
  if (text.size() > longest) shown += "...";
  return shown;
}

}  // namespace penstock
