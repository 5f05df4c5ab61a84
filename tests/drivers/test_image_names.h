// SPDX-License-Identifier: Apache-2.0
// Names inside images, for tests: every name is followed, relative ones from the image's directory.
//
// Ownership: refers to the registry.
// Threads: any; files are read in place.
// Errors: the errno of opening the file.
// Invariants: a file of no known format is raw.
#pragma once

#include "block/graph/driver_registry.h"
#include "block/node/image_names.h"

namespace penstock {

class TestImageNames final : public ImageNames {
 public:
  explicit TestImageNames(const DriverRegistry& registry) : registry_(registry) {}

  absl::StatusOr<ChildOptions> co_resolve(const ImageReference& reference,
                                          const NodeOptions& parent) COROUTINE_CODE override;

 private:
  const DriverRegistry& registry_;
};

}  // namespace penstock
