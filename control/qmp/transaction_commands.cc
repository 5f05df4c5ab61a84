// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/transaction_commands.h"

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/printable_text.h"
#include "base/status.h"
#include "base/sync_point.h"
#include "control/daemon_state.h"
#include "control/jobs/backup_action.h"
#include "control/qmp/command_table.h"
#include "control/qmp/graph_actions.h"
#include "control/qmp/transaction_action.h"

namespace penstock {
namespace {

using Json = nlohmann::json;
using Actions = std::vector<std::unique_ptr<TransactionAction>>;
using Changes = std::vector<std::unique_ptr<GraphChange>>;

struct ActionType {
  const char* name;  // of a command, whose arguments the action takes; or "abort"
  NewAction (*make)(const Json& data);
};

constexpr ActionType kActionTypes[] = {
    {"abort", make_abort_action},
    {"blockdev-add", make_add_action},
    {"blockdev-backup", make_backup_action},
    {"blockdev-reopen", make_reopen_action},
    {"x-penstock-insert-filter", make_insert_filter_action},
    {"x-penstock-remove-filter", make_remove_filter_action},
    {"x-penstock-replace-child", make_replace_child_action},
};

absl::Status invalid(const std::string& text) { return errno_message(EINVAL, text); }

const ActionType* find_action_type(const std::string& name) {
  for (const ActionType& type : kActionTypes) {
    if (name == type.name) return &type;
  }
  return nullptr;
}

NewAction make_action(const Json& action) {
  if (!action.is_object()) return invalid("Invalid parameter type, expected: object");
  for (const auto& [name, value] : action.items()) {
    if (name != "type" && name != "data") {
      return invalid("Parameter '" + printable_text(name, kLongestQuote) + "' is unexpected");
    }
  }
  const auto named = action.find("type");
  if (named == action.end()) return invalid("Parameter 'type' is missing");
  if (!named->is_string()) return invalid("Invalid parameter type for 'type', expected: string");
  const auto name = named->get<std::string>();
  const ActionType* const type = find_action_type(name);
  if (type == nullptr) {
    return invalid("Parameter 'type' does not accept value '" +
                   printable_text(name, kLongestQuote) + "'");
  }
  const auto given = action.find("data");
  const Json data = given == action.end() ? Json::object() : *given;
  if (!data.is_object()) return invalid("Invalid parameter type for 'data', expected: object");
  const QmpCommand* const command = find_qmp_command(name);
  if (command != nullptr) {
    if (absl::Status fit = check_qmp_arguments(*command, data); !fit.ok()) return fit;
  } else if (!data.empty()) {
    return invalid("Parameter '" + printable_text(data.begin().key(), kLongestQuote) +
                   "' is unexpected");
  }
  return type->make(data);
}

std::string place(size_t index, const Json& action) {
  const auto type = action.is_object() ? action.find("type") : action.end();
  const bool named = type != action.end() && type->is_string();
  return "actions[" + std::to_string(index) + "]" +
         (named ? " (" + printable_text(type->get<std::string>(), kLongestQuote) + ")" : "");
}

absl::StatusOr<bool> is_grouped(const Json& arguments) {
  const auto properties = arguments.find("properties");
  if (properties == arguments.end()) return false;
  for (const auto& [name, value] : properties->items()) {
    if (name != "completion-mode") {
      return invalid("Parameter 'properties." + printable_text(name, kLongestQuote) +
                     "' is unexpected");
    }
  }
  const auto mode = properties->find("completion-mode");
  if (mode == properties->end() || *mode == "individual") return false;
  if (*mode == "grouped") return true;
  return invalid("Parameter 'properties.completion-mode' takes 'individual' or 'grouped'");
}

// The last of a transaction's changes: what the actions do in the slice beside changing edges.
class CommitActions final : public GraphChange {
 public:
  explicit CommitActions(const Actions& actions) : actions_(actions) {}

  absl::Status co_prepare(Graph& /*graph*/) override CONTROL_COROUTINE_CODE {
    return absl::OkStatus();
  }
  void commit(GraphEdit& /*edit*/) noexcept override GLOBAL_STATE_CODE {
    for (const auto& action : actions_) action->commit();
  }

 private:
  const Actions& actions_;
};

Changes all_changes(const Actions& actions) GLOBAL_STATE_CODE {
  Changes changes;
  for (size_t i = 0; i < actions.size(); ++i) {
    std::vector<std::string> later;
    for (size_t j = i + 1; j < actions.size(); ++j) {
      if (std::string name = actions[j]->opened_node(); !name.empty()) later.push_back(name);
    }
    actions[i]->add_changes(changes, later);
  }
  changes.push_back(std::make_unique<CommitActions>(actions));
  return changes;
}

// What was prepared is aborted, the last one first.
absl::Status co_run_actions(TransactionContext& transaction, const Actions& actions,
                            const Json& described) CONTROL_COROUTINE_CODE {
  absl::Status status;
  size_t prepared = 0;
  while (status.ok() && prepared < actions.size()) {
    PENSTOCK_SYNC_POINT("transaction:prepare");
    status =
        annotate(actions[prepared]->co_prepare(transaction), place(prepared, described[prepared]));
    if (status.ok()) ++prepared;
  }
  if (status.ok()) {
    // They pin nodes, which an abort may want to close.
    const Changes changes = all_changes(actions);
    status = co_run_changes(transaction.daemon.graph, changes);
  }
  if (status.ok()) {
    for (const auto& action : actions) action->co_clean_up(transaction);
  } else {
    while (prepared > 0) actions[--prepared]->co_abort(transaction);
  }
  return status;
}

absl::StatusOr<Json> co_transaction(Daemon& daemon, const Json& arguments) CONTROL_COROUTINE_CODE {
  const absl::StatusOr<bool> grouped = is_grouped(arguments);
  if (!grouped.ok()) return grouped.status();
  const Json& described = arguments.at("actions");
  Actions actions;
  for (size_t i = 0; i < described.size(); ++i) {
    NewAction action = make_action(described[i]);
    if (!action.ok()) return annotate(action.status(), place(i, described[i]));
    actions.push_back(std::move(*action));
  }
  TransactionContext transaction{daemon, *grouped, nullptr};
  return nothing_or(co_run_actions(transaction, actions, described));
}

constexpr QmpArgument kTransactionArguments[] = {
    {"actions", QmpType::kArray, true,
     "what to do: {\"type\": COMMAND, \"data\": its arguments}, or type \"abort\", which fails"},
    {"properties", QmpType::kObject, false,
     "{\"completion-mode\": \"individual\" or \"grouped\"}, for jobs"},
};

}  // namespace

std::span<const QmpCommand> transaction_commands() {
  static const QmpCommand kCommands[] = {
      {"transaction", "Runs several commands on nodes together: all of them or none.",
       kTransactionArguments, false, co_transaction},
  };
  return kCommands;
}

}  // namespace penstock
