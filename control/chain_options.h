// SPDX-License-Identifier: Apache-2.0
// What the user says about files that images name: where they went, and which may be opened.
//
// Ownership: a value.
// Threads: pure.
// Errors: none.
// Invariants: paths of the user's are absolute.
#pragma once

#include <string>
#include <vector>

namespace penstock {

struct ChainOptions {
  struct MovedImage {
    std::string old_name;  // as an image says it, its last part, or the path that it stands for
    std::string new_path;
  };

  std::vector<MovedImage> moved;
  std::vector<std::string> search_directories;   // for files that are not at their place, in order
  std::vector<std::string> allowed_directories;  // trees besides the top image's directory
};

}  // namespace penstock
