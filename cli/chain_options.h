// SPDX-License-Identifier: Apache-2.0
// The options of all commands that open an image with the files it names: --backing, --search-path
// and --allow-path.
//
// Ownership: lives as long as the command line's parser.
// Threads: the main thread.
// Errors: EINVAL, with the option and what it takes: wrong usage.
// Invariants: relative paths are the working directory's at the time of read_into.
#pragma once

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "control/chain_options.h"

namespace penstock {

class ChainArguments {
 public:
  void add_to(CLI::App& command);
  // After the parse: adds what was said to `options`.
  absl::Status read_into(ChainOptions& options) const;

 private:
  std::vector<std::string> moved_;
  std::vector<std::string> search_directories_;
  std::vector<std::string> allowed_directories_;
};

// One option each. "OLD=NEW" is split at the last "=" after which a file's name stands, or at the
// first one if there is no such file.
absl::Status add_moved_image(const std::string& text, ChainOptions& options);
absl::Status add_search_directory(const std::string& path, ChainOptions& options);
absl::Status add_allowed_directory(const std::string& path, ChainOptions& options);

}  // namespace penstock
