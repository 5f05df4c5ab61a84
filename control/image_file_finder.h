// SPDX-License-Identifier: Apache-2.0
// Which file an image means by a name inside it, and whether that file may be opened.
//
// Ownership: a value; lives for one opening of one image.
// Threads: any thread, one at a time; it blocks.
// Errors: EPERM outside of the allowed trees, for what is no plain file, and for names of networks
//   and other protocols; ENOENT where there is no such file; ELOOP for a file that is in the chain
//   already or for a chain that is too long. The text names both files and the option that helps.
// Invariants: real_path holds no symbolic link and is a regular file; a block device only where the
//   user named it by --backing, or its tree by --allow-path. Regular files may lie in the image's
//   own directory, in a search directory, and beside a file that --backing named: in "/" only those
//   directly in it. Device and inode decide what is the same file, not the path.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/node/image_names.h"
#include "control/chain_options.h"

namespace penstock {

struct FoundImageFile {
  std::string shown_path;  // as the name says it, seen from the image that carries it
  std::string real_path;   // absolute
};

class ImageFileFinder {
 public:
  // `image` is the file that the user named.
  ImageFileFinder(std::string image, ChainOptions options);

  // To be called before the image is opened: its own directory is that of the answer, which is to
  // be opened without following links, so that nobody puts another image in its place meanwhile.
  // Empty if the image is under no such path: it has no directory of its own then. Without this
  // call it is done at the first find().
  absl::StatusOr<std::string> resolve_image() BLOCKING_CODE;

  // True if the user said what stands for the reference's whole name.
  bool is_moved(const ImageReference& reference) const BLOCKING_CODE;

  // OLD of each --backing that no name has matched so far.
  std::vector<std::string> unmatched_names() const;

  // `name` is a file name: the reference's own, or one from within its "json:".
  absl::StatusOr<FoundImageFile> find(const ImageReference& reference,
                                      const std::string& name) BLOCKING_CODE;

 private:
  using FileId = std::pair<dev_t, ino_t>;

  absl::Status start() BLOCKING_CODE;
  std::string place_of(struct stat& about) const BLOCKING_CODE;
  absl::StatusOr<FoundImageFile> find_and_judge(const ImageReference& reference,
                                                const std::string& name) BLOCKING_CODE;
  // Its number in ChainOptions::moved.
  std::optional<size_t> moved_to(const std::string& name,
                                 const std::string& path) const BLOCKING_CODE;
  std::optional<std::string> search(const std::string& name) const BLOCKING_CODE;
  bool is_allowed(const std::string& real_path) const;
  bool is_among_images(const std::string& real_path) const;
  absl::Status judge(const ImageReference& reference, const std::string& real_path,
                     bool named_by_user) BLOCKING_CODE;

  const std::string image_;
  const ChainOptions options_;
  bool image_is_resolved_ = false;
  bool started_ = false;
  std::string own_tree_;  // the image's directory; empty if it has none or is a device
  std::vector<std::string> allowed_trees_;
  std::vector<std::string> other_trees_;  // for regular files: searched, and of moved images
  std::vector<bool> matched_;             // for each of ChainOptions::moved
  std::set<FileId> chain_;                // files that are in use already
};

// "image 'X' names 'Y' as its backing file", fit for a terminal.
std::string describe(const ImageReference& reference);

// `name` seen from the directory of `referrer`. Names of other protocols stay as they are.
std::string combined_path(const std::string& referrer, const std::string& name);

}  // namespace penstock
