// SPDX-License-Identifier: Apache-2.0
// One action of the "transaction" command.
//
// All actions are prepared, in their order; then the changes of the graph of all of them are
// committed together, in one slice of the control thread with the affected nodes drained; then each
// is cleaned up. If anything fails before the slice, all that were prepared are aborted, the last
// one first, and nothing has changed.
//
// Ownership: the transaction owns its actions; they outlive their changes of the graph.
// Threads: the control thread.
// Errors: of co_prepare(), and those of the changes. Nothing after the slice can fail.
// Invariants: an action is committed or aborted, once, if co_prepare() succeeded; one whose
//   co_prepare() failed has left nothing behind and only its destructor follows. co_clean_up()
//   follows a commit only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/graph/change.h"

namespace penstock {

class Daemon;
class JobGroup;

// What is common to the actions of one transaction.
struct TransactionContext {
  Daemon& daemon;
  // "completion-mode": jobs of the transaction succeed or fail as one.
  bool grouped = false;
  // Made by the first action that starts a job in a grouped transaction; for the others to join.
  std::shared_ptr<JobGroup> job_group;
};

class TransactionAction {
 public:
  virtual ~TransactionAction() = default;

  // Checks what can be checked, and opens what is needed; may wait, and only adds.
  virtual absl::Status co_prepare(TransactionContext& transaction) CONTROL_COROUTINE_CODE = 0;
  // The name of the node that co_prepare() has opened above others, if it has: it is not one of the
  // users that the filters of earlier actions come below. Empty: none.
  virtual std::string opened_node() const { return ""; }
  // Appends its changes of the graph, which are committed in this order together with the others'.
  // Their co_prepare() may run several times. `later`: the nodes that later actions have opened.
  virtual void add_changes(std::vector<std::unique_ptr<GraphChange>>& /*changes*/,
                           const std::vector<std::string>& /*later*/) GLOBAL_STATE_CODE {}
  // In the slice, after the edges of all actions have changed; the nodes that are affected are
  // drained and idle.
  virtual void commit() noexcept GLOBAL_STATE_CODE {}
  // Takes back what co_prepare() has added.
  virtual void co_abort(TransactionContext& /*transaction*/) CONTROL_COROUTINE_CODE {}
  // After the slice, undrained again.
  virtual void co_clean_up(TransactionContext& /*transaction*/) CONTROL_COROUTINE_CODE {}
};

}  // namespace penstock
