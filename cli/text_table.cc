// SPDX-License-Identifier: Apache-2.0
#include "cli/text_table.h"

#include <algorithm>

namespace penstock {
namespace {

constexpr size_t kGap = 2;  // spaces between cells

}  // namespace

size_t display_width(std::string_view text) {
  // Bytes that continue a character take no column.
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xc0u) != 0x80u;
  }));
}

std::string TextTable::text(size_t margin) const {
  std::vector<size_t> widths(alignments_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
    }
  }
  std::string result;
  for (const auto& row : rows_) {
    std::string line(margin, ' ');
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      const std::string padding(widths[i] - display_width(row[i]), ' ');
      line += alignments_[i] == 'r' ? padding + row[i] : row[i] + padding;
      line.append(kGap, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + "\n";
  }
  return result;
}

}  // namespace penstock
