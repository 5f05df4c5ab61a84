// SPDX-License-Identifier: Apache-2.0
// The --output option that all commands with output have.
//
// Ownership: a value.
// Threads: pure.
// Errors: CLI11 refuses other words.
// Invariants: the words are qemu-img's.
#pragma once

#include <string>

#include "CLI/CLI.hpp"

namespace penstock {

struct OutputFormat {
  std::string word = "human";

  bool is_json() const { return word == "json"; }
  void add_to(CLI::App& command) {
    command.add_option("--output", word, "How to print: human or json")
        ->check(CLI::IsMember({"human", "json"}))
        ->capture_default_str();
  }
};

}  // namespace penstock
