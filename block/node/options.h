// SPDX-License-Identifier: Apache-2.0
// How a node is to be opened: what a command line or a control command says.
//
// Ownership: values.
// Threads: a value.
// Errors: take_* answer EINVAL, naming the option and what it takes; finish() names left-over
//   options.
// Invariants: option names are those of QEMU's blockdev-add for the same driver.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "block/node/permission.h"
#include "nlohmann/json.hpp"

namespace penstock {

class ImageNames;
struct NodeOptions;

// A child is opened with the node, or refers to a node that is there.
struct ChildOptions {
  std::shared_ptr<NodeOptions> inline_options;
  std::string reference;  // a node name; empty if inline
};

struct NodeOptions {
  std::string driver;     // "file", "raw", ...
  std::string node_name;  // empty: made up ("#block012"), and the node goes with its last parent
  bool read_only = true;
  bool force_share = false;   // share everything, take no image lock that conflicts
  bool cache_direct = false;  // O_DIRECT
  bool discard_unmap = true;  // discards reach the storage
  // "file" only: opened in place of the file name, without following any symbolic link. What an
  // untrusted name was resolved to; empty: the file name is the user's own.
  std::string resolved_path;
  // "file" only: what other processes may do with the file at most, whatever is shared in this one.
  Permission shared_outside = kAllPermissions;
  // A node with a name of its own goes with its last parent too.
  bool goes_with_parents = false;
  // A filter that is still to come between its "file" and that node's users.
  bool awaits_users = false;
  // Decides about files that images name, here and in what is opened below, in place of the
  // graph's. Not kept: it is for this opening only.
  std::shared_ptr<ImageNames> image_names;
  std::map<std::string, ChildOptions> children;              // "file", "backing"
  nlohmann::json driver_options = nlohmann::json::object();  // the driver's own, by QEMU's names
};

// Reads a driver's own options one by one and complains about what is left.
class OptionReader {
 public:
  explicit OptionReader(const NodeOptions& options);

  absl::StatusOr<std::string> take_string(const std::string& name, const std::string& fallback);
  absl::StatusOr<std::string> take_required_string(const std::string& name);
  absl::StatusOr<uint64_t> take_size(const std::string& name, uint64_t fallback);  // bytes
  absl::StatusOr<bool> take_bool(const std::string& name, bool fallback);
  nlohmann::json take_json(const std::string& name);
  // EINVAL if options are left that nobody took.
  absl::Status finish() const;

 private:
  std::string driver_;
  nlohmann::json left_;
};

}  // namespace penstock
