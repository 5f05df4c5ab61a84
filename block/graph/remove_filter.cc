// SPDX-License-Identifier: Apache-2.0
#include "block/graph/redirect_users.h"

namespace penstock {

absl::Status Graph::co_remove_filter(const std::string& filter) {
  const absl::Status status = co_run_change(*this, RedirectUsers::past_filter(filter));
  if (!status.ok()) return status;
  return co_close(filter);
}

}  // namespace penstock
