// SPDX-License-Identifier: Apache-2.0
#include "block/graph/open_filter.h"
#include "block/graph/redirect_users.h"

namespace penstock {

absl::StatusOr<Node*> Graph::co_insert_filter(const NodeOptions& options, const std::string& node) {
  absl::StatusOr<Node*> filter = co_open_filter(*this, options, node);
  if (!filter.ok()) return filter;
  const std::string filter_name = (*filter)->name;
  const absl::Status status =
      co_run_change(*this, std::make_unique<RedirectUsers>(node, filter_name));
  if (status.ok()) return find(filter_name);
  return co_close_filter(*this, filter_name, status);
}

}  // namespace penstock
