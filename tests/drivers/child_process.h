// SPDX-License-Identifier: Apache-2.0
// Other programs beside a test: run to the end, or kept while their standard input is open.
//
// Ownership: a HeldProcess is ended and waited for when it goes.
// Threads: blocking; the test's own thread.
// Errors: an exit status of 127 if the program cannot be started.
// Invariants: none.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace penstock {

struct ProcessResult {
  int exit_status = 0;  // or 128 + signal
  std::string output;   // standard output and error
};

ProcessResult run_process(const std::vector<std::string>& command);

// True if the program is in PATH.
bool have_program(const std::string& name);

class HeldProcess {
 public:
  explicit HeldProcess(const std::vector<std::string>& command);
  HeldProcess(const HeldProcess&) = delete;
  HeldProcess& operator=(const HeldProcess&) = delete;
  ~HeldProcess() { finish(); }

  // Reads its output until `text` came; false if the output ended before.
  bool wait_for_output(const std::string& text);
  // Closes its standard input and waits for its end.
  void finish();
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  UniqueFd input_;
  UniqueFd output_;
};

}  // namespace penstock
