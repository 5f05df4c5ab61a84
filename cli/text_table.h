// SPDX-License-Identifier: Apache-2.0
// Columns of text, each as wide as its widest cell.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: cells are printable already. No line ends in spaces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace penstock {

// Columns that a UTF-8 text takes, one for each character; wide characters are not known.
size_t display_width(std::string_view text);

class TextTable {
 public:
  // One letter a column: 'l' for left, 'r' for right.
  explicit TextTable(std::string alignments) : alignments_(std::move(alignments)) {}
  // Missing cells are empty.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  // Lines that begin with so many spaces, cells two spaces apart.
  std::string text(size_t margin = 0) const;

 private:
  const std::string alignments_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace penstock
