// SPDX-License-Identifier: Apache-2.0
#include "control/node_export.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/status.h"
#include "block/graph/drain_holder.h"
#include "block/graph/topology.h"
#include "control/export_end.h"
#include "control/log.h"
#include "control/mount_point.h"
#include "fuse/mount_point.h"
#include "iothreads/control_thread.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

// The file that the node's bytes are in, or the node itself.
std::string image_of(const Node& top) {
  const std::string file_name = image_file_name(top);
  return file_name.empty() ? top.name : file_name;
}

// Others may use the node too, and change it, as another export of it would.
Permissions permissions_for(const NodeExportOptions& options) {
  Permissions permissions = {kConsistentRead, kAllPermissions};
  if (options.writable) permissions.taken |= kWrite;
  if (options.writable && options.growable) permissions.taken |= kResize;
  return permissions;
}

absl::Status no_such_node(const std::string& name) {
  return errno_message(ENOENT, "Cannot find device='' nor node-name='" + name + "'");
}

}  // namespace

NodeExport::~NodeExport() = default;

absl::StatusOr<std::unique_ptr<DaemonExport>> NodeExport::co_start(Daemon& daemon,
                                                                   const NodeExportOptions& options,
                                                                   std::function<void()> on_ended) {
  std::unique_ptr<NodeExport> result(new NodeExport(daemon, options));
  absl::Status status = result->co_open();
  if (!status.ok()) {
    // The first failure is the one to tell; what was opened for nothing closes without loss.
    (void)result->co_release();
    result->co_end_record(std::nullopt);
    return status;
  }
  result->watch(std::move(on_ended));
  return std::unique_ptr<DaemonExport>(std::move(result));
}

absl::Status NodeExport::co_open() {
  // Known early, before threads are started for nothing.
  if (daemon_.graph.find(options_.node_name) == nullptr) return no_such_node(options_.node_name);
  absl::Status status = threads_.co_take(options_.iothreads);
  if (status.ok()) status = co_attach();
  if (status.ok()) status = co_claim_mount_point();
  if (status.ok()) status = co_mount();
  return status;
}

absl::Status NodeExport::co_attach() {
  Node* const node = daemon_.graph.find(options_.node_name);
  if (node == nullptr) return no_such_node(options_.node_name);
  if (node->read_only && options_.writable) {
    return errno_message(EACCES, "Node '" + node->name +
                                     "' is read-only: export it without 'writable', or open it"
                                     " with 'read-only': false.");
  }
  absl::StatusOr<std::unique_ptr<Backend>> backend =
      daemon_.graph.co_attach_backend("export " + options_.id, *node, permissions_for(options_));
  if (!backend.ok()) return backend.status();
  backend_ = *std::move(backend);
  backend_->listener = &daemon_.node_events;
  return absl::OkStatus();
}

absl::Status NodeExport::co_claim_mount_point() {
  MountState claimed = state();
  absl::StatusOr<MountRecord> record = ThreadPool::storage().co_try_run([&] {
    claimed.mount_point = canonical_mount_point(claimed.mount_point);
    absl::StatusOr<MountRecord> published = MountRecord::publish(claimed);
    if (!published.ok()) return published;
    const absl::Status ready = prepare_mount_point(claimed.mount_point);
    return ready.ok() ? std::move(published) : absl::StatusOr<MountRecord>(ready);
  });
  if (!record.ok()) return record.status();
  record_.emplace(*std::move(record));
  options_.mount_point = claimed.mount_point;
  return absl::OkStatus();
}

absl::Status NodeExport::co_mount() {
  const absl::StatusOr<bool> covers_file = co_is_regular_file(options_.mount_point);
  if (!covers_file.ok()) return covers_file.status();
  const ServedFile disk = {.backend = backend_.get(),
                           .offset = 0,
                           .length = std::nullopt,
                           .writable = options_.writable,
                           .growable = options_.writable && options_.growable};
  if (*covers_file) {
    tree_ = std::make_unique<ServedTree>(disk);
  } else {
    tree_ = std::make_unique<ServedTree>();
    tree_->add_file(tree_->root().node, "disk", disk);
  }
  using AllowOther = NodeExportOptions::AllowOther;
  auto started = co_start_fuse(options_.allow_other != AllowOther::kOff);
  if (!started.ok() && options_.allow_other == AllowOther::kAuto) started = co_start_fuse(false);
  if (!started.ok()) return started.status();
  export_ = *std::move(started);
  backend_->on_resize = [this](uint64_t size) {
    assert_control_thread();
    export_->resized(*backend_, size);
  };
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FuseExport>> NodeExport::co_start_fuse(bool allow_other) {
  ExportOptions options;
  options.mount_point = options_.mount_point;
  options.allow_other = allow_other;
  options.file_name_shown = image_of(*backend_->root.node);
  return FuseExport::co_start(*tree_, daemon_.host, options, threads_.contexts());
}

void NodeExport::watch(std::function<void()> on_ended) {
  control_context().spawn("watch an export", [this, on_ended = std::move(on_ended)] {
    assert_in_coroutine();
    export_->ended().co_wait();
    on_ended();
    watcher_ended_.set();
  });
}

std::string NodeExport::node_name() const {
  const bool attached = backend_ != nullptr && backend_->root.node != nullptr;
  return attached ? backend_->root.node->name : last_node_name_;
}

std::vector<std::string> NodeExport::iothreads() const { return threads_.ids(); }

absl::Status NodeExport::co_set_iothreads(const std::vector<std::string>& ids) {
  const CoMutexLock lock(moving_);
  if (stopping_) {
    return errno_message(ESHUTDOWN, "Export '" + options_.id + "' was not moved: it is ending.");
  }
  const absl::Status status = threads_.co_move(*export_, ids);
  if (status_errno(status) == ETIMEDOUT) {
    return annotate(status, "Export '" + options_.id + "' was not moved: " +
                                describe_holder(daemon_.graph, {backend_.get()}, {}));
  }
  if (!status.ok()) return annotate(status, "Export '" + options_.id + "' was not moved");
  co_write_record();
  return absl::OkStatus();
}

void NodeExport::co_update_record() {
  const CoMutexLock lock(moving_);
  if (!stopping_) co_write_record();
}

void NodeExport::co_write_record() {
  const MountState present = state();
  // The list of mounts is for people to look at: what cannot be written there stops nobody.
  const absl::Status updated =
      ThreadPool::shared().co_run([&] { return record_->update(present); });
  if (!updated.ok()) log_line(LogLevel::kWarning, status_text(updated));
}

absl::Status NodeExport::co_stop(Mode mode) {
  if (mode == Mode::kSafe && !export_->ended().is_set()) {
    const absl::Status status =
        co_unmount_unless_used(daemon_.host, options_.id, options_.mount_point, export_->ended());
    if (!status.ok()) return status;
  }
  stopping_ = true;
  absl::Status status = export_->co_stop(Nanoseconds{0});
  watcher_ended_.co_wait();
  {
    // What co_stop() has cut short is still to return.
    const CoMutexLock lock(moving_);
  }
  const absl::Status released = co_release();
  if (status.ok()) status = released;
  co_end_record(status);
  // The caller would take it for files in use.
  if (status_errno(status) == EBUSY) return errno_message(EIO, status_text(status));
  return status;
}

absl::Status NodeExport::co_release() {
  export_.reset();
  tree_.reset();
  absl::Status status;
  if (backend_ != nullptr) {
    last_node_name_ = node_name();
    backend_->on_resize = nullptr;
    status = co_detach_from_node(daemon_.graph, *backend_);
    backend_.reset();
  }
  threads_.release();
  return status;
}

void NodeExport::co_end_record(const std::optional<absl::Status>& result) {
  if (!record_) return;
  ThreadPool::shared().co_run([&] {
    if (result) record_->finish(*result);
    record_.reset();
  });
}

MountState NodeExport::state() const {
  const Node& node = *backend_->root.node;
  MountState state;
  state.image = image_of(node);
  state.format = node.driver_name;
  state.mode = options_.writable ? "rw" : "ro";
  state.mount_point = options_.mount_point;
  state.pid = ::getpid();
  state.iothreads = static_cast<unsigned>(threads_.ids().size());
  state.engine = threads_.contexts().front()->poller().name();
  state.started = started_;
  state.socket = daemon_.socket;
  return state;
}

}  // namespace penstock
