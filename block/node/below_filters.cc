// SPDX-License-Identifier: Apache-2.0
#include "block/node/below_filters.h"

#include "block/node/child.h"
#include "block/node/driver.h"

namespace penstock {

const Node& below_filters(const Node& top) {
  const Node* node = &top;
  while (node->driver != nullptr && node->driver->is_filter()) {
    const Child* const file = node->find_child("file");
    if (file == nullptr || file->node == nullptr) break;
    node = file->node;
  }
  return *node;
}

}  // namespace penstock
