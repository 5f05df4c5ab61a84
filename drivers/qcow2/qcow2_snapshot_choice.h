// SPDX-License-Identifier: Apache-2.0
// Finds one snapshot among all of an image, while they are read.
//
// Ownership: a value; keeps the one that is wanted and a few names for the message.
// Threads: one coroutine.
// Errors: ENOENT, saying what there is.
// Invariants: the first with the wanted name is chosen, else the first with that id; if an id is
//   wanted, only that counts. Ids and names match whole, and as they are kept
//   (kept_qcow2_snapshot()).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "drivers/qcow2/qcow2_snapshot_table.h"

namespace penstock {

class Qcow2SnapshotChoice {
 public:
  // One of both is empty. `name` may be an id as well.
  Qcow2SnapshotChoice(std::string name, std::string id);

  void see(const Qcow2Snapshot& snapshot);
  absl::StatusOr<Qcow2Snapshot> chosen() const;

 private:
  const std::string name_;
  const std::string id_;
  std::optional<Qcow2Snapshot> by_name_;
  std::optional<Qcow2Snapshot> by_id_;
  size_t seen_ = 0;
  std::vector<std::string> first_names_;
};

}  // namespace penstock
