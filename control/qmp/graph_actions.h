// SPDX-License-Identifier: Apache-2.0
// The commands on nodes, as actions of a transaction.
//
// Ownership: the caller owns the actions.
// Threads: the control thread.
// Errors: as the commands of the same names; "abort" always fails.
// Invariants: `data` are the command's arguments, and have been checked against its table.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "control/qmp/transaction_action.h"
#include "nlohmann/json.hpp"

namespace penstock {

using NewAction = absl::StatusOr<std::unique_ptr<TransactionAction>>;

NewAction make_abort_action(const nlohmann::json& data);
NewAction make_add_action(const nlohmann::json& data);
NewAction make_insert_filter_action(const nlohmann::json& data);
NewAction make_remove_filter_action(const nlohmann::json& data);
NewAction make_reopen_action(const nlohmann::json& data);
NewAction make_replace_child_action(const nlohmann::json& data);

}  // namespace penstock
