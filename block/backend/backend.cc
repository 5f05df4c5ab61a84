// SPDX-License-Identifier: Apache-2.0
#include "block/backend/backend.h"

#include "iothreads/fatal.h"

namespace penstock {

Backend::~Backend() {
  if (root.node == nullptr) return;
  fatal("a backend is destroyed while it is attached to a node", name);
}

}  // namespace penstock
