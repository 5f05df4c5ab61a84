// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/graph_actions.h"

#include <cerrno>
#include <string>
#include <utility>

#include "base/status.h"
#include "block/graph/open_filter.h"
#include "block/graph/redirect_users.h"
#include "block/graph/reopen.h"
#include "block/graph/replace_child.h"
#include "control/blockdev_open.h"
#include "control/blockdev_reopen.h"
#include "control/daemon_state.h"
#include "control/log.h"

namespace penstock {
namespace {

using Json = nlohmann::json;
using Changes = std::vector<std::unique_ptr<GraphChange>>;

std::string text(const Json& data, const char* name) { return data.at(name).get<std::string>(); }

// A node of this transaction. Others may close it meanwhile, and give its name to another.
struct OwnNode {
  OwnNode() = default;
  explicit OwnNode(const Node& node) : name(node.name), identity(&node) {}

  std::string name;
  const Node* identity = nullptr;  // to be compared only
};

// What is done already, or cannot be helped any more, is for the log.
void co_close_logged(Graph& graph, const OwnNode& node) CONTROL_COROUTINE_CODE {
  if (node.identity == nullptr || graph.find(node.name) != node.identity) return;
  const absl::Status closed = graph.co_close(node.name);
  if (closed.ok()) return;
  log_line(LogLevel::kWarning, "after a transaction node '" + node.name +
                                   "' was not closed as it should: " + status_text(closed));
}

class AbortAction final : public TransactionAction {
 public:
  absl::Status co_prepare(TransactionContext& /*transaction*/) override CONTROL_COROUTINE_CODE {
    return errno_message(ECANCELED, "Transaction aborted using Abort action");
  }
};

class AddAction final : public TransactionAction {
 public:
  explicit AddAction(Json description) : description_(std::move(description)) {}

  absl::Status co_prepare(TransactionContext& transaction) override CONTROL_COROUTINE_CODE {
    const absl::StatusOr<Node*> node = co_open_blockdev(transaction.daemon.graph, description_);
    if (!node.ok()) return node.status();
    opened_ = OwnNode(**node);
    return absl::OkStatus();
  }
  std::string opened_node() const override { return opened_.name; }
  void co_abort(TransactionContext& transaction) override CONTROL_COROUTINE_CODE {
    co_close_logged(transaction.daemon.graph, opened_);
  }

 private:
  const Json description_;
  OwnNode opened_;
};

class InsertFilterAction final : public TransactionAction {
 public:
  InsertFilterAction(std::string node, Json filter)
      : node_(std::move(node)), filter_(std::move(filter)) {}

  absl::Status co_prepare(TransactionContext& transaction) override CONTROL_COROUTINE_CODE {
    Graph& graph = transaction.daemon.graph;
    const absl::StatusOr<NodeOptions> options = blockdev_filter_options(graph, node_, filter_);
    if (!options.ok()) return options.status();
    const absl::StatusOr<Node*> filter = co_open_filter(graph, *options, node_);
    if (!filter.ok()) return filter.status();
    opened_ = OwnNode(**filter);
    return absl::OkStatus();
  }
  std::string opened_node() const override { return opened_.name; }
  void add_changes(Changes& changes,
                   const std::vector<std::string>& later) override GLOBAL_STATE_CODE {
    changes.push_back(std::make_unique<RedirectUsers>(node_, opened_.name, later));
  }
  void co_abort(TransactionContext& transaction) override CONTROL_COROUTINE_CODE {
    co_close_logged(transaction.daemon.graph, opened_);
  }

 private:
  const std::string node_;
  const Json filter_;
  OwnNode opened_;
};

class RemoveFilterAction final : public TransactionAction {
 public:
  explicit RemoveFilterAction(std::string filter) : filter_(std::move(filter)) {}

  absl::Status co_prepare(TransactionContext& transaction) override CONTROL_COROUTINE_CODE {
    graph_ = &transaction.daemon.graph;
    return absl::OkStatus();
  }
  void add_changes(Changes& changes,
                   const std::vector<std::string>& /*later*/) override GLOBAL_STATE_CODE {
    changes.push_back(RedirectUsers::past_filter(filter_));
  }
  void commit() noexcept override GLOBAL_STATE_CODE {
    if (const Node* node = graph_->find(filter_); node != nullptr) removed_ = OwnNode(*node);
  }
  void co_clean_up(TransactionContext& transaction) override CONTROL_COROUTINE_CODE {
    co_close_logged(transaction.daemon.graph, removed_);
  }

 private:
  const std::string filter_;
  Graph* graph_ = nullptr;
  OwnNode removed_;
};

class ReopenAction final : public TransactionAction {
 public:
  explicit ReopenAction(Json descriptions) : descriptions_(std::move(descriptions)) {}

  absl::Status co_prepare(TransactionContext& transaction) override CONTROL_COROUTINE_CODE {
    absl::StatusOr<BlockdevReopening> reopening =
        parse_blockdev_reopening(transaction.daemon.graph.drivers(), descriptions_);
    if (!reopening.ok()) return reopening.status();
    nodes_ = std::move(reopening->nodes);
    return absl::OkStatus();
  }
  void add_changes(Changes& changes,
                   const std::vector<std::string>& /*later*/) override GLOBAL_STATE_CODE {
    for (const NodeOptions& node : nodes_) changes.push_back(reopen_change(node));
  }

 private:
  const Json descriptions_;
  std::vector<NodeOptions> nodes_;
};

class ReplaceChildAction final : public TransactionAction {
 public:
  explicit ReplaceChildAction(Json data) : data_(std::move(data)) {}

  absl::Status co_prepare(TransactionContext& /*transaction*/) override CONTROL_COROUTINE_CODE {
    return absl::OkStatus();
  }
  void add_changes(Changes& changes,
                   const std::vector<std::string>& /*later*/) override GLOBAL_STATE_CODE {
    changes.push_back(std::make_unique<ReplaceChild>(text(data_, "parent"), text(data_, "child"),
                                                     text(data_, "node")));
  }

 private:
  const Json data_;
};

}  // namespace

NewAction make_abort_action(const Json& /*data*/) { return std::make_unique<AbortAction>(); }

NewAction make_add_action(const Json& data) { return std::make_unique<AddAction>(data); }

NewAction make_insert_filter_action(const Json& data) {
  return std::make_unique<InsertFilterAction>(text(data, "node-name"), data.at("filter"));
}

NewAction make_remove_filter_action(const Json& data) {
  return std::make_unique<RemoveFilterAction>(text(data, "node-name"));
}

NewAction make_reopen_action(const Json& data) {
  return std::make_unique<ReopenAction>(data.at("options"));
}

NewAction make_replace_child_action(const Json& data) {
  return std::make_unique<ReplaceChildAction>(data);
}

}  // namespace penstock
