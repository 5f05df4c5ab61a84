// SPDX-License-Identifier: Apache-2.0
#include "control/mounted_image.h"

#include <cerrno>
#include <utility>

#include "base/status.h"
#include "block/backend/backend.h"
#include "block/graph/drain_holder.h"
#include "control/export_end.h"
#include "control/format_probe.h"
#include "control/image_info.h"
#include "control/image_names_policy.h"
#include "control/image_nodes.h"
#include "control/info_file.h"
#include "control/node_warnings.h"
#include "control/view_entries.h"
#include "fuse/mount_point.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

ExportOptions export_options(const MountPlan& plan) {
  ExportOptions options;
  options.mount_point = plan.mount_point;
  options.cached = plan.cached;
  options.allow_other = plan.allow_other;
  options.uid = plan.uid;
  options.gid = plan.gid;
  options.mode = plan.mode;
  options.file_name_shown = plan.fsname.empty() ? plan.image : plan.fsname;
  return options;
}

}  // namespace

MountedImage::MountedImage(const MountPlan& plan, Daemon& daemon, Watcher watcher)
    : plan_(plan),
      daemon_(daemon),
      watcher_(std::move(watcher)),
      threads_(daemon.iothreads, std::string("export '") + kMountExportId + "'") {}

MountedImage::~MountedImage() = default;

absl::StatusOr<std::unique_ptr<MountedImage>> MountedImage::co_start(
    const MountPlan& plan, Daemon& daemon, const std::vector<std::string>& iothreads,
    Watcher watcher) {
  std::unique_ptr<MountedImage> image(new MountedImage(plan, daemon, std::move(watcher)));
  if (const absl::Status status = image->co_open(iothreads); !status.ok()) {
    // The first failure is the one to tell; what was opened for nothing closes without loss.
    (void)image->co_release();
    return status;
  }
  image->watch_session();
  return image;
}

absl::Status MountedImage::co_open(const std::vector<std::string>& iothreads) {
  absl::Status status = threads_.co_take(iothreads);
  if (status.ok()) status = co_open_image();
  return status.ok() ? co_start_export() : status;
}

absl::Status MountedImage::co_open_image() {
  Graph& graph = daemon_.graph;
  const auto names =
      std::make_shared<ImageNamesPolicy>(graph.drivers(), graph.host(), plan_.image, plan_.chain);
  const absl::StatusOr<std::string> real_path = names->co_resolve_image();
  if (!real_path.ok()) return real_path.status();
  absl::StatusOr<std::string> format = co_choose_format(
      graph.drivers(), graph.host(), {plan_.image, *real_path}, plan_.format, plan_.writable);
  if (!format.ok()) return format.status();
  format_ = std::move(*format);
  absl::StatusOr<NodeOptions> options = image_node_options(plan_, *real_path, format_);
  if (!options.ok()) return options.status();
  options->image_names = names;
  const absl::StatusOr<Node*> node = graph.co_open(*options);
  if (!node.ok()) return node.status();
  names->warn_of_unmatched_names();
  absl::StatusOr<std::unique_ptr<Backend>> backend =
      graph.co_attach_backend(kMountExportId, **node, image_permissions(plan_));
  if (!backend.ok()) return backend.status();
  backend_ = std::move(*backend);
  backend_->listener = &daemon_.node_events;
  log_node_warnings(**node);
  return absl::OkStatus();
}

absl::Status MountedImage::co_start_export() {
  const absl::StatusOr<bool> covers_file = co_is_regular_file(plan_.mount_point);
  if (!covers_file.ok()) return covers_file.status();
  make_tree(*covers_file);
  absl::StatusOr<std::unique_ptr<FuseExport>> started =
      FuseExport::co_start(*tree_, daemon_.host, export_options(plan_), threads_.contexts());
  if (!started.ok()) return started.status();
  export_ = std::move(*started);
  backend_->on_resize = [this](uint64_t size) {
    assert_control_thread();
    export_->resized(*backend_, size);
  };
  if (!*covers_file) co_complete_tree();
  return absl::OkStatus();
}

void MountedImage::make_tree(bool covers_file) {
  if (covers_file) {
    tree_ = std::make_unique<ServedTree>(served_disk());
    return;
  }
  tree_ = std::make_unique<ServedTree>();
  tree_->add_file(tree_->root().node, "disk", served_disk());
  views_ = std::make_unique<ServedViews>(plan_, *tree_);
  Node* const keeper = find_snapshot_keeper(*backend_->root.node);
  if (keeper != nullptr && plan_.snapshot.empty()) {
    snapshots_ = std::make_unique<SnapshotViews>(daemon_.graph, *keeper, plan_, *tree_, *views_,
                                                 daemon_.node_events);
  }
}

// What takes a look at the disk's content, through the mount.
void MountedImage::co_complete_tree() {
  const PartitionTable table =
      views_->co_find_partitions(*backend_, "'" + plan_.image + "'").value_or(PartitionTable{});
  const uint64_t root = tree_->root().node;
  tree_->add_text(root, "info.json",
                  info_file_text(describe_image(*backend_->root.node, plan_.image), table));
  add_partition_entries(*tree_, root, served_disk(), table);
}

ServedFile MountedImage::served_disk() const {
  return {.backend = backend_.get(),
          .offset = 0,
          .length = std::nullopt,
          .writable = plan_.writable,
          .growable = plan_.growable};
}

void MountedImage::watch_session() {
  control_context().spawn("watch the session", [this] {
    assert_in_coroutine();
    export_->ended().co_wait();
    if (!being_removed_) watcher_.ending("an unmount");
    session_watched_.set();
  });
}

std::string MountedImage::node_name() const {
  const bool attached = backend_ != nullptr && backend_->root.node != nullptr;
  return attached ? backend_->root.node->name : last_node_name_;
}

absl::Status MountedImage::co_set_iothreads(const std::vector<std::string>& ids) {
  const std::string failed = std::string("Export '") + kMountExportId + "' was not moved";
  const CoMutexLock lock(moving_);
  if (stopping_) return errno_message(ESHUTDOWN, failed + ": it is ending.");
  const absl::Status status = threads_.co_move(*export_, ids);
  if (status_errno(status) == ETIMEDOUT) {
    return annotate(status, failed + ": " + describe_holder(daemon_.graph, {backend_.get()}, {}));
  }
  if (!status.ok()) return annotate(status, failed);
  watcher_.co_moved(threads_.ids().size());
  return absl::OkStatus();
}

void MountedImage::stop_looking() {
  if (views_ != nullptr) views_->stop_looking();
}

absl::Status MountedImage::co_stop(Mode mode) {
  if (!export_->ended().is_set()) {
    being_removed_ = true;
    if (mode == Mode::kSafe) {
      const absl::Status status =
          co_unmount_unless_used(daemon_.host, kMountExportId, plan_.mount_point, export_->ended());
      // Somebody else may just have unmounted it.
      being_removed_ = status.ok() || export_->ended().is_set();
      if (!being_removed_) return status;
    }
    watcher_.ending("the removal of its export");
  }
  stop_looking();
  stopping_ = true;
  absl::Status status = export_->co_stop(Nanoseconds{0});
  session_watched_.co_wait();
  {
    // What co_stop() has cut short is still to return.
    const CoMutexLock lock(moving_);
  }
  const absl::Status released = co_release();
  if (status.ok()) status = released;
  watcher_.stopped(status, snapshots_ == nullptr ? std::vector<std::unique_ptr<Backend>>()
                                                 : snapshots_->take_backends());
  // The caller would take it for files in use.
  if (status_errno(status) == EBUSY) return errno_message(EIO, status_text(status));
  return status;
}

absl::Status MountedImage::co_release() {
  absl::Status status;
  if (backend_ != nullptr) {
    last_node_name_ = node_name();
    backend_->on_resize = nullptr;
  }
  export_.reset();
  tree_.reset();
  if (backend_ != nullptr) {
    status.Update(co_detach_from_node(daemon_.graph, *backend_));
    backend_.reset();
  }
  threads_.release();
  return status;
}

}  // namespace penstock
