// SPDX-License-Identifier: Apache-2.0
// The internal snapshots of an image, as directories of its mount.
//
// A snapshot is opened when somebody first looks into its directory, as a node of its own over the
// files that the image has open.
//
// Ownership: owns the backends of the snapshots and, through them, their nodes. Refers to the
//   graph, the plan, the tree, the views and the listener, which outlive it, and to the node that
//   keeps the snapshots, which may go. take_backends() has been called before it is destroyed.
// Threads: the control thread.
// Errors: those of opening, EMFILE when too many are open; logged, and told to who looked.
// Invariants: everything below the directory is read-only. Where partitions could not be looked
//   for, the disk is shown without them, and later looks try again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "block/backend/backend_listener.h"
#include "block/graph/graph.h"
#include "block/node/image_snapshot.h"
#include "control/mount_plan.h"
#include "control/served_views.h"
#include "fuse/served_tree.h"
#include "iothreads/poller.h"

namespace penstock {

// The first node from `root` down that keeps snapshots; nullptr if none does.
Node* find_snapshot_keeper(Node& root) GLOBAL_STATE_CODE;

// How snapshot `index` of `keeper` is opened beside it.
absl::StatusOr<NodeOptions> snapshot_node_options(const Node& keeper,
                                                  const std::vector<ImageSnapshot>& snapshots,
                                                  size_t index) GLOBAL_STATE_CODE;

class SnapshotViews final : public DirectoryFiller {
 public:
  // Adds the directory "snapshots" to the root of `tree`.
  SnapshotViews(Graph& graph, Node& keeper, const MountPlan& plan, ServedTree& tree,
                ServedViews& views, BackendListener& listener) GLOBAL_STATE_CODE;
  SnapshotViews(const SnapshotViews&) = delete;
  SnapshotViews& operator=(const SnapshotViews&) = delete;
  ~SnapshotViews() override;

  absl::StatusOr<Filled> co_fill(ServedTree& tree,
                                 uint64_t directory) override CONTROL_COROUTINE_CODE;

  // The backends of what is open, for the caller to detach, which takes long where there are many.
  // REQUIRES: the tree is served no more.
  std::vector<std::unique_ptr<Backend>> take_backends() GLOBAL_STATE_CODE;

 private:
  // A snapshot whose partitions are not shown yet.
  struct Partial {
    ServedFile disk;
    unsigned failures = 0;
    Nanoseconds next_try{0};  // on the control thread's clock
  };

  void add_directories(ServedTree& tree) GLOBAL_STATE_CODE;
  absl::StatusOr<Filled> co_fill_snapshot(ServedTree& tree, uint64_t directory,
                                          size_t index) CONTROL_COROUTINE_CODE;
  absl::StatusOr<Partial*> co_show_disk(ServedTree& tree, uint64_t directory,
                                        size_t index) CONTROL_COROUTINE_CODE;
  absl::StatusOr<Backend*> co_open(size_t index) CONTROL_COROUTINE_CODE;

  Graph& graph_;
  Node& keeper_;  // only while the graph has it
  const std::string keeper_name_;
  const MountPlan& plan_;
  ServedViews& views_;
  BackendListener& listener_;  // of the backends
  const std::vector<ImageSnapshot> snapshots_;
  const uint64_t top_;                   // node number of "snapshots"
  std::map<uint64_t, size_t> places_;    // directory's node number -> index of the snapshot
  std::map<size_t, std::string> names_;  // index -> directory's name
  std::map<size_t, Partial> partial_;    // by index
  size_t open_or_opening_ = 0;
  std::vector<std::unique_ptr<Backend>> backends_;
};

}  // namespace penstock
