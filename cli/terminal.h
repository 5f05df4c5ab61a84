// SPDX-License-Identifier: Apache-2.0
// What the program's output goes to, and text that is redrawn there.
//
// Ownership: values.
// Threads: the main thread.
// Errors: none.
// Invariants: escape sequences go to terminals only.
#pragma once

#include <string>

namespace penstock {

bool is_terminal(int fd);
// Columns; 80 if they are not known.
unsigned terminal_width(int fd);
// The environment says that texts are UTF-8, as the C library reads it.
bool has_utf8_locale();
// Lines and signs beyond ASCII are fine on stdout.
bool shows_unicode();

// Prints texts of which each takes the place of the one before.
class Redrawn {
 public:
  // `stream_fd`: 1 or 2. On something that is no terminal, texts follow each other with an empty
  // line between.
  explicit Redrawn(int stream_fd);
  void show(const std::string& text);

 private:
  const int fd_;
  const bool in_place_;
  size_t lines_ = 0;  // that the last text took
  bool is_first_ = true;
};

}  // namespace penstock
