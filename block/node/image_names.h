// SPDX-License-Identifier: Apache-2.0
// Names of other files that an image carries inside: its backing file, its external data file.
//
// Who made the image chose the name, so it is not trusted: a policy decides what it may mean.
//
// Ownership: the composition root owns the policy; it outlives every node that is opened with it.
// Threads: a coroutine on any context.
// Errors: EPERM where the policy refuses, ENOENT where no such file is found, EINVAL for a name of
//   no known shape; the text names the image, the file and what to do.
// Invariants: what is answered may be opened as it is: format, file and limits are settled.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/node/options.h"

namespace penstock {

struct ImageReference {
  enum class Purpose : uint8_t { kBacking, kDataFile };

  Purpose purpose = Purpose::kBacking;
  std::string name;      // as the image says it: relative, absolute, "json:..."
  std::string format;    // the driver's name, as the image says it; empty if it does not
  std::string referrer;  // file name of the image that carries the name
};

class ImageNames {
 public:
  virtual ~ImageNames() = default;

  // How to open what `reference` names, as a child of a node opened with `parent`. A backing file
  // is always opened read-only; the rest is inherited.
  virtual absl::StatusOr<ChildOptions> co_resolve(const ImageReference& reference,
                                                  const NodeOptions& parent) COROUTINE_CODE = 0;
};

}  // namespace penstock
