// SPDX-License-Identifier: Apache-2.0
// blockdev-backup as an action of "transaction": several nodes kept as of one moment.
//
// Ownership: the caller owns the action.
// Threads: the control thread.
// Errors: of the arguments, by this; of the nodes, by the action's co_prepare().
// Invariants: in a grouped transaction the jobs are one group.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "control/qmp/transaction_action.h"
#include "nlohmann/json.hpp"

namespace penstock {

// `data` is such that the command's table of arguments admits.
absl::StatusOr<std::unique_ptr<TransactionAction>> make_backup_action(const nlohmann::json& data);

}  // namespace penstock
