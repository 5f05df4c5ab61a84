// SPDX-License-Identifier: Apache-2.0
// Ctrl-C, SIGTERM and the end of the terminal as something that long commands look at.
//
// Ownership: one at a time; puts the signals back at its end, but for SIGPIPE.
// Threads: the main thread; made before others.
// Errors: none: without a pipe the signals keep their meaning.
// Invariants: the second Ctrl-C ends the program. A reader of the output that goes away does not:
//   ferror() tells it. A SIGHUP that was ignored from the beginning, as by nohup, stays so.
#pragma once

#include <chrono>

#include "base/unique_fd.h"

namespace penstock {

class Interrupt {
 public:
  Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt();

  bool came() const;
  // False if a signal came first.
  bool sleep_for(std::chrono::milliseconds duration) const;
  // Readable once a signal came; -1 if there is none.
  int fd() const { return read_end_.get(); }

 private:
  UniqueFd read_end_;
  UniqueFd write_end_;
};

}  // namespace penstock
