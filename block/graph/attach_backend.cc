// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "block/graph/change.h"
#include "block/graph/pins.h"

namespace penstock {
namespace {

class AttachBackend final : public GraphChange {
 public:
  AttachBackend(Backend& backend, Node& node, Permissions permissions)
      : backend_(backend), node_(node), permissions_(permissions) {}

  absl::Status co_prepare(Graph& /*graph*/) override CONTROL_COROUTINE_CODE {
    plan_ = {};
    plan_.edges.push_back({&backend_.root, &node_, permissions_});
    return absl::OkStatus();
  }
  void commit(GraphEdit& edit) noexcept override GLOBAL_STATE_CODE {
    edit.add_backend(backend_);
    backend_.told_size = node_.size();
  }

 private:
  Backend& backend_;
  Node& node_;
  const Permissions permissions_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> Graph::co_attach_backend(std::string name, Node& node,
                                                                  Permissions permissions) {
  if ((permissions.taken & kWrite) != 0) permissions.taken |= kWriteUnchanged;
  auto backend = std::make_unique<Backend>(std::move(name));
  // Between two attempts nothing pins the node.
  Pins pins(*this);
  pins.add(&node);
  absl::Status status =
      co_run_change(*this, std::make_unique<AttachBackend>(*backend, node, permissions));
  if (!status.ok()) return status;
  return backend;
}

}  // namespace penstock
