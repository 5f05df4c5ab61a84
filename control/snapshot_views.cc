// SPDX-License-Identifier: Apache-2.0
#include "control/snapshot_views.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/log.h"
#include "control/view_entries.h"
#include "control/view_names.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

// Each has tables in memory and a directory of files.
constexpr size_t kMaxOpen = 1024;
// Between a failed look for partitions and the next one, doubled after each.
constexpr std::chrono::seconds kRetryPause{1};
constexpr unsigned kMostDoublings = 8;

}  // namespace

Node* find_snapshot_keeper(Node& root) {
  for (Node* node = &root; node != nullptr;) {
    if (!node->driver->snapshots().empty()) return node;
    const Child* file = node->find_child("file");
    node = file == nullptr ? nullptr : file->node;
  }
  return nullptr;
}

absl::StatusOr<NodeOptions> snapshot_node_options(const Node& keeper,
                                                  const std::vector<ImageSnapshot>& snapshots,
                                                  size_t index) {
  const std::string& id = snapshots[index].id;
  const auto same_id = [&](const ImageSnapshot& snapshot) { return snapshot.id == id; };
  if (std::count_if(snapshots.begin(), snapshots.end(), same_id) != 1) {
    return errno_message(EINVAL, "its id " + printable_text(id, kLongestQuote) +
                                     " is that of another snapshot as well");
  }
  NodeOptions options = keeper.options;
  options.node_name.clear();
  options.read_only = true;
  options.driver_options["snapshot-id"] = id;
  options.children.clear();
  // An image without a backing file shall not look for one again.
  options.children["backing"] = {};
  for (const std::unique_ptr<Child>& child : keeper.children) {
    options.children[child->name] = {nullptr, child->node->name};
  }
  return options;
}

SnapshotViews::SnapshotViews(Graph& graph, Node& keeper, const MountPlan& plan, ServedTree& tree,
                             ServedViews& views, BackendListener& listener)
    : graph_(graph),
      keeper_(keeper),
      keeper_name_(keeper.name),
      plan_(plan),
      views_(views),
      listener_(listener),
      snapshots_(keeper.driver->snapshots()),
      top_(tree.add_directory(tree.root().node, "snapshots", this)) {}

SnapshotViews::~SnapshotViews() {
  if (backends_.empty()) return;
  std::fputs("SnapshotViews: destroyed before take_backends()\n", stderr);
  std::abort();
}

absl::StatusOr<Filled> SnapshotViews::co_fill(ServedTree& tree, uint64_t directory) {
  if (directory == top_) {
    add_directories(tree);
    return Filled::kAll;
  }
  if (views_.has_stopped_looking()) return errno_message(ECANCELED, "the mount is being closed");
  const size_t index = places_.at(directory);
  absl::StatusOr<Filled> filled = co_fill_snapshot(tree, directory, index);
  if (!filled.ok()) {
    log_line(LogLevel::kWarning, "snapshot '" + names_.at(index) + "' of '" + plan_.image +
                                     "' cannot be shown: " + status_text(filled.status()));
  }
  return filled;
}

// An image may have many snapshots: their directories are made only if somebody looks.
void SnapshotViews::add_directories(ServedTree& tree) {
  const std::vector<std::string> names = snapshot_directory_names(snapshots_);
  for (size_t i = 0; i < names.size(); ++i) {
    places_[tree.add_directory(top_, names[i], this)] = i;
    names_[i] = names[i];
  }
}

absl::StatusOr<Filled> SnapshotViews::co_fill_snapshot(ServedTree& tree, uint64_t directory,
                                                       size_t index) {
  const absl::StatusOr<Partial*> shown = co_show_disk(tree, directory, index);
  if (!shown.ok()) return shown.status();
  Partial& partial = **shown;
  if (control_context().now() < partial.next_try) return Filled::kForNow;

  const absl::StatusOr<PartitionTable> table =
      views_.co_find_partitions(*partial.disk.backend, "snapshot '" + names_.at(index) + "'");
  if (!table.ok()) {
    partial.next_try =
        control_context().now() + kRetryPause * (1u << std::min(partial.failures, kMostDoublings));
    ++partial.failures;
    return Filled::kForNow;
  }
  add_partition_entries(tree, directory, partial.disk, *table);
  partial_.erase(index);
  return Filled::kAll;
}

absl::StatusOr<SnapshotViews::Partial*> SnapshotViews::co_show_disk(ServedTree& tree,
                                                                    uint64_t directory,
                                                                    size_t index) {
  if (const auto known = partial_.find(index); known != partial_.end()) return &known->second;
  const absl::StatusOr<Backend*> backend = co_open(index);
  if (!backend.ok()) return backend.status();
  Partial& partial = partial_[index];
  partial.disk = {.backend = *backend,
                  .offset = 0,
                  .length = std::nullopt,
                  .writable = false,
                  .growable = false};
  tree.add_file(directory, "disk", partial.disk);
  return &partial;
}

absl::StatusOr<Backend*> SnapshotViews::co_open(size_t index) {
  if (open_or_opening_ == kMaxOpen) {
    return errno_message(EMFILE, std::to_string(kMaxOpen) +
                                     " snapshots are open; mount this one by itself with"
                                     " --snapshot, or mount the image again");
  }
  // Whoever controls the server may have put another image below the mount, and closed this one.
  if (graph_.find(keeper_name_) != &keeper_) {
    return errno_message(ENXIO, "'" + plan_.image + "' is not open any more");
  }
  const absl::StatusOr<NodeOptions> options = snapshot_node_options(keeper_, snapshots_, index);
  if (!options.ok()) return options.status();

  ++open_or_opening_;
  const absl::StatusOr<Node*> node = graph_.co_open(*options);
  if (!node.ok()) {
    --open_or_opening_;
    return node.status();
  }
  Permissions permissions;
  permissions.taken = kConsistentRead;
  absl::StatusOr<std::unique_ptr<Backend>> backend = graph_.co_attach_backend(
      "snapshot " + printable_text(names_.at(index), kLongestQuote), **node, permissions);
  if (!backend.ok()) {
    --open_or_opening_;
    // The first failure is the one to tell.
    (void)graph_.co_close((*node)->name);
    return backend.status();
  }
  (*backend)->listener = &listener_;
  backends_.push_back(std::move(*backend));
  return backends_.back().get();
}

std::vector<std::unique_ptr<Backend>> SnapshotViews::take_backends() {
  open_or_opening_ = 0;
  return std::exchange(backends_, {});
}

}  // namespace penstock
