// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/status.h"
#include "block/graph/change.h"
#include "block/graph/let_go.h"
#include "block/graph/retire.h"
#include "iothreads/aio_context.h"
#include "iothreads/control_thread.h"
#include "iothreads/thread_mutex.h"

namespace penstock {
namespace {

class DetachBackend final : public GraphChange {
 public:
  explicit DetachBackend(Backend& backend) : backend_(backend) {}

  absl::Status co_prepare(Graph& /*graph*/) override CONTROL_COROUTINE_CODE {
    plan_ = {};
    node_ = backend_.root.node;
    plan_.edges.push_back({&backend_.root, nullptr, Permissions{0, kAllPermissions}});
    plan_.drained_backends.push_back(&backend_);
    plan_.detached = &backend_;
    return absl::OkStatus();
  }
  void commit(GraphEdit& edit) noexcept override GLOBAL_STATE_CODE {
    left_ = node_->name;
    backend_.gate.close();
    edit.remove_backend(backend_);
  }
  bool still_fits(const Graph& /*graph*/) const override GLOBAL_STATE_CODE {
    return backend_.root.node == node_;
  }
  // A request that was refused at the gate just now may still look at it.
  void co_clean_up(Graph& graph) override CONTROL_COROUTINE_CODE {
    co_pass_all_contexts();
    closed_ = co_close_orphans(graph, {left_});
  }

  // Of closing what nobody uses any more.
  const absl::Status& closed() const { return closed_; }

 private:
  Backend& backend_;
  const Node* node_ = nullptr;  // that it uses
  std::string left_;
  absl::Status closed_;
};

// No other change names the backend from now on; those that do already have ended.
class Detaching {
 public:
  Detaching(Graph& graph, const Backend& backend) : state_(graph.changes()), backend_(backend) {
    if (!state_.detaching.insert(&backend_).second) std::abort();
  }
  Detaching(const Detaching&) = delete;
  Detaching& operator=(const Detaching&) = delete;
  ~Detaching() {
    state_.detaching.erase(&backend_);
    state_.released.set();
  }

  bool co_wait_alone(Nanoseconds limit) CONTROL_COROUTINE_CODE {
    return co_wait_released(state_, AioContext::current()->now() + limit,
                            [this] { return state_.backend_pins.count(&backend_) == 0; });
  }

 private:
  ChangeState& state_;
  const Backend& backend_;
};

}  // namespace

absl::Status Graph::co_detach_backend(Backend& backend, Nanoseconds limit) {
  if (backend.root.node == nullptr) std::abort();
  Detaching detaching(*this, backend);
  if (!detaching.co_wait_alone(limit)) {
    return errno_message(ETIMEDOUT, "'" + backend.name +
                                        "' was not detached: another command is changing its "
                                        "node. Try again when that has ended.");
  }
  auto change = std::make_unique<DetachBackend>(backend);
  const DetachBackend& detach = *change;
  const std::unique_ptr<GraphChange> changes[] = {std::move(change)};
  const absl::Status status = co_run_changes(*this, changes, limit);
  return status.ok() ? detach.closed() : status;
}

absl::Status co_let_go(Graph& graph, Backend& backend) {
  std::vector<std::string> orphans{backend.root.node->name};
  {
    Detaching detaching(graph, backend);
    while (!detaching.co_wait_alone(kDefaultDrainLimit)) {
    }
    ThreadLock slice(graph.changes().slice);
    backend.gate.close();
    GraphEdit edit(graph);
    edit.redirect(backend.root, nullptr);
    edit.remove_backend(backend);
    edit.finish();
  }
  co_pass_all_contexts();
  return co_close_orphans(graph, std::move(orphans));
}

}  // namespace penstock
