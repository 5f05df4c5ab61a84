// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <utility>

#include "block/graph/change.h"
#include "block/graph/retire.h"
#include "iothreads/aio_context.h"

namespace penstock {
namespace {

class DetachBackend final : public GraphChange {
 public:
  explicit DetachBackend(Backend& backend) : backend_(backend) {}

  absl::Status co_prepare(Graph& /*graph*/) override CONTROL_COROUTINE_CODE {
    plan_ = {};
    plan_.edges.push_back({&backend_.root, nullptr, Permissions{0, kAllPermissions}});
    plan_.drained_backends.push_back(&backend_);
    return absl::OkStatus();
  }
  void commit(GraphEdit& edit) noexcept override GLOBAL_STATE_CODE {
    backend_.gate.close();
    edit.remove_backend(backend_);
  }
  // A request that was refused at the gate just now may still look at it.
  void co_clean_up(Graph& /*graph*/) override CONTROL_COROUTINE_CODE { co_pass_all_contexts(); }

 private:
  Backend& backend_;
};

}  // namespace

absl::Status Graph::co_detach_backend(Backend& backend) {
  if (backend.root.node == nullptr) std::abort();
  std::vector<std::string> orphans{backend.root.node->name};
  absl::Status status = co_run_change(*this, std::make_unique<DetachBackend>(backend));
  if (!status.ok()) return status;
  return co_close_orphans(*this, std::move(orphans));
}

}  // namespace penstock
