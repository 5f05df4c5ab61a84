// SPDX-License-Identifier: Apache-2.0
#include "control/mounted_image.h"

#include <cerrno>
#include <chrono>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "block/backend/backend.h"
#include "block/graph/drain_holder.h"
#include "control/format_probe.h"
#include "control/image_info.h"
#include "control/image_nodes.h"
#include "control/info_file.h"
#include "control/node_warnings.h"
#include "control/view_entries.h"
#include "fuse/mount_point.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

// How long users of the file may keep the mount busy before it is detached under them.
constexpr std::chrono::seconds kBusyGrace{2};
// How long requests may take to end after that.
constexpr std::chrono::seconds kRequestLimit{10};
// A flush of many dirty bytes to slow storage is work, not a hang.
constexpr std::chrono::seconds kFlushLimit{300};

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

MountedImage::MountedImage(const MountPlan& plan, const DriverRegistry& drivers, HostServices& host)
    : plan_(plan), names_(drivers, host, plan.image, plan.chain), graph_(drivers, host, &names_) {}

absl::Status MountedImage::co_start(std::vector<std::shared_ptr<AioContext>> queues) {
  absl::Status status = co_open_image();
  if (status.ok()) status = co_start_export(std::move(queues));
  // The first failure is the one to tell; what was opened for nothing closes without loss.
  if (!status.ok()) {
    tree_.reset();
    (void)co_close_image();
  }
  return status;
}

absl::Status MountedImage::co_open_image() {
  const absl::StatusOr<std::string> real_path = names_.co_resolve_image();
  if (!real_path.ok()) return real_path.status();
  absl::StatusOr<std::string> format = co_choose_format(
      graph_.drivers(), graph_.host(), {plan_.image, *real_path}, plan_.format, plan_.writable);
  if (!format.ok()) return format.status();
  format_ = std::move(*format);
  const absl::StatusOr<NodeOptions> options = image_node_options(plan_, *real_path, format_);
  if (!options.ok()) return options.status();
  const absl::StatusOr<Node*> node = graph_.co_open(*options);
  if (!node.ok()) return node.status();
  node_is_open_ = true;
  names_.warn_of_unmatched_names();
  absl::StatusOr<std::unique_ptr<Backend>> backend =
      graph_.co_attach_backend("mount", **node, image_permissions(plan_));
  if (!backend.ok()) return backend.status();
  backend_ = std::move(*backend);
  log_node_warnings(**node);
  return absl::OkStatus();
}

absl::Status MountedImage::co_start_export(std::vector<std::shared_ptr<AioContext>> queues) {
  const absl::StatusOr<bool> covers_file = co_is_regular_file(plan_.mount_point);
  if (!covers_file.ok()) return covers_file.status();
  make_tree(*covers_file);
  absl::StatusOr<std::unique_ptr<FuseExport>> started =
      FuseExport::co_start(*tree_, graph_.host(), export_options(plan_), std::move(queues));
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
    snapshots_ = std::make_unique<SnapshotViews>(graph_, *keeper, plan_, *tree_, *views_);
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

std::vector<Backend*> MountedImage::backends() const {
  std::vector<Backend*> result = {backend_.get()};
  if (snapshots_ != nullptr) {
    for (Backend* backend : snapshots_->backends()) result.push_back(backend);
  }
  return result;
}

MountedImage::End MountedImage::co_stop() {
  // A probe keeps the mount busy, and who waits for it cannot go.
  if (views_ != nullptr) views_->stop_looking();
  absl::Status status;
  CoEvent stopped;
  control_context().spawn("stop the export", [&] {
    assert_in_coroutine();
    assert_control_thread();
    status = export_->co_stop(kBusyGrace);
    stopped.set();
  });

  const Nanoseconds start = AioContext::current()->now();
  const bool ended = stopped.co_wait_until(start + kBusyGrace + kRequestLimit) ||
                     (only_flushes_in_flight() && stopped.co_wait_until(start + kFlushLimit));
  if (!ended) {
    return {errno_message(ETIMEDOUT, "'" + plan_.image +
                                         "' could not be closed in time, its last writes may"
                                         " be missing: " +
                                         describe_holder(graph_, backends(), {})),
            true};
  }
  backend_->on_resize = nullptr;
  export_.reset();
  tree_.reset();
  if (snapshots_ != nullptr) status.Update(snapshots_->co_close());
  const absl::Status closed = co_close_image();
  return {status.ok() ? closed : status, false};
}

absl::Status MountedImage::co_close_image() {
  absl::Status status;
  if (backend_ != nullptr) {
    status = graph_.co_detach_backend(*backend_);
    backend_.reset();
  }
  if (node_is_open_) {
    const absl::Status closed = graph_.co_close(kImageNodeName);
    if (status.ok()) status = closed;
    node_is_open_ = false;
  }
  return status;
}

bool MountedImage::only_flushes_in_flight() const {
  bool flushes = false;
  bool others = false;
  Coroutine::for_each([&](Coroutine& coroutine) {
    const RequestTag& tag = coroutine.tag();
    const char* operation = tag.operation.load(std::memory_order_relaxed);
    if (tag.gate.load(std::memory_order_relaxed) != &backend_->gate || operation == nullptr) return;
    (std::string_view(operation) == "flush" ? flushes : others) = true;
  });
  return flushes && !others;
}

}  // namespace penstock
