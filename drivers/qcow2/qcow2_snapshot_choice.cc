// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_snapshot_choice.h"

#include <cerrno>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"

namespace penstock {
namespace {

constexpr size_t kListed = 5;

}  // namespace

Qcow2SnapshotChoice::Qcow2SnapshotChoice(std::string name, std::string id)
    : name_(std::move(name)), id_(std::move(id)) {}

void Qcow2SnapshotChoice::see(const Qcow2Snapshot& snapshot) {
  Qcow2Snapshot kept = kept_qcow2_snapshot(snapshot);
  if (seen_++ < kListed) first_names_.push_back(kept.facts.name);
  const bool has_name =
      !name_.empty() && (snapshot.facts.name == name_ || kept.facts.name == name_);
  const std::string& id = id_.empty() ? name_ : id_;
  const bool has_id = snapshot.facts.id == id || kept.facts.id == id;
  if (has_name && !by_name_) {
    by_name_ = std::move(kept);
  } else if (has_id && !by_id_) {
    by_id_ = std::move(kept);
  }
}

absl::StatusOr<Qcow2Snapshot> Qcow2SnapshotChoice::chosen() const {
  if (by_name_) return *by_name_;
  if (by_id_) return *by_id_;
  std::string text = "qcow2: the image has no snapshot '" +
                     printable_text(id_.empty() ? name_ : id_, kLongestQuote) + "'; it has ";
  if (seen_ == 0) text += "none";
  for (size_t i = 0; i < first_names_.size(); ++i) {
    text += (i == 0 ? "'" : ", '") + printable_text(first_names_[i], kLongestQuote) + "'";
  }
  if (seen_ > kListed) text += " and " + std::to_string(seen_ - kListed) + " more";
  return errno_message(ENOENT, text + ".");
}

}  // namespace penstock
