// SPDX-License-Identifier: Apache-2.0
#include "control/image_file_finder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

#include "base/printable_text.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "block/io/mapped_io.h"
#include "control/open_without_links.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFilePrefix = "file:";

// The protocol in front of a name's first slash; empty if it is a plain path.
std::string_view protocol_of(std::string_view name) {
  const size_t mark = name.find_first_of(":/");
  if (mark == std::string_view::npos || name[mark] == '/') return {};
  return name.substr(0, mark);
}

std::string_view without_file_prefix(std::string_view name) {
  if (name.substr(0, kFilePrefix.size()) == kFilePrefix) name.remove_prefix(kFilePrefix.size());
  return name;
}

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

bool is_below(const std::string& path, const std::string& directory) {
  if (directory == "/") return path != "/";
  return path.size() > directory.size() && path.compare(0, directory.size(), directory) == 0 &&
         path[directory.size()] == '/';
}

absl::StatusOr<std::string> real_path_of(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  if (real == nullptr) return errno_status(errno, "cannot find '" + printable_text(path) + "'");
  return std::string(real.get());
}

// As is_below, but nobody who keeps an image in "/" means the whole machine by that.
bool is_in_tree(const std::string& path, const std::string& directory) {
  return directory == "/" ? directory_of(path) == "/" : is_below(path, directory);
}

fs::path plain_place(const std::string& path) {
  std::error_code error;
  return fs::absolute(path, error).lexically_normal();
}

bool is_there(const std::string& path) {
  struct stat about;
  return ::stat(path.c_str(), &about) == 0;
}

std::string in_quotes(const std::string& text) { return "'" + printable_text(text) + "'"; }

absl::Status refuse_protocol(const ImageReference& reference, std::string_view protocol) {
  return errno_message(EPERM, describe(reference) + ", and protocol " +
                                  in_quotes(std::string(protocol)) +
                                  " is not supported: an image may name local files only; if you"
                                  " have the data in a file, say --backing OLD=FILE");
}

absl::Status say_missing(const ImageReference& reference, const std::string& name,
                         const absl::Status& why) {
  return errno_message(status_errno(why), describe(reference) + ": " + status_text(why) +
                                              "; say where it is by" + " --backing " +
                                              in_quotes(name + "=FILE") + " or --search-path DIR");
}

}  // namespace

std::string describe(const ImageReference& reference) {
  const bool backing = reference.purpose == ImageReference::Purpose::kBacking;
  return "image " + in_quotes(reference.referrer) + " names " + in_quotes(reference.name) +
         (backing ? " as its backing file" : " as its data file");
}

std::string combined_path(const std::string& referrer, const std::string& name) {
  if (!protocol_of(without_file_prefix(name)).empty()) return name;
  const std::string path(without_file_prefix(name));
  if (path.empty() || path.front() == '/') return path;
  return referrer.substr(0, referrer.rfind('/') + 1) + path;
}

ImageFileFinder::ImageFileFinder(std::string image, ChainOptions options)
    : image_(std::move(image)),
      options_(std::move(options)),
      matched_(options_.moved.size(), false) {}

absl::StatusOr<std::string> ImageFileFinder::resolve_image() {
  const UniqueFd named(::open(image_.c_str(), O_PATH | O_CLOEXEC));
  struct stat about;
  if (!named.valid() || ::fstat(named.get(), &about) != 0) {
    return errno_status(errno, "cannot open " + in_quotes(image_));
  }
  std::string real_path = place_of(about);
  chain_.insert({about.st_dev, about.st_ino});
  // What else is in /dev belongs to no image.
  if (!real_path.empty() && S_ISREG(about.st_mode)) own_tree_ = directory_of(real_path);
  image_is_resolved_ = true;
  return real_path;
}

// The path without links under which the image can be opened; empty if there is none: it is in
// another mount namespace, or has been removed.
std::string ImageFileFinder::place_of(struct stat& about) const {
  // It may be replaced meanwhile by a newer one, which is nothing unusual.
  constexpr int kTries = 3;
  for (int i = 0; i < kTries; ++i) {
    absl::StatusOr<std::string> real = real_path_of(image_);
    if (!real.ok()) continue;
    const absl::StatusOr<UniqueFd> found = open_without_links(*real, O_PATH);
    struct stat there;
    if (!found.ok() || ::fstat(found->get(), &there) != 0) continue;
    if (there.st_dev == about.st_dev && there.st_ino == about.st_ino) return std::move(*real);
    struct stat newer;
    if (::stat(image_.c_str(), &newer) == 0) about = newer;
  }
  return {};
}

absl::StatusOr<FoundImageFile> ImageFileFinder::find(const ImageReference& reference,
                                                     const std::string& name) {
  absl::StatusOr<FoundImageFile> found = find_and_judge(reference, name);
  if (found.ok()) return found;
  const std::vector<std::string> unmatched = unmatched_names();
  if (unmatched.empty()) return found;
  return errno_message(status_errno(found.status()),
                       status_text(found.status()) + "; so far no image names " +
                           in_quotes(unmatched.front()) + ", which --backing says");
}

absl::StatusOr<FoundImageFile> ImageFileFinder::find_and_judge(const ImageReference& reference,
                                                               const std::string& name) {
  if (const absl::Status status = start(); !status.ok()) return status;
  FoundImageFile found;
  found.shown_path = combined_path(reference.referrer, name);
  const std::optional<size_t> moved = moved_to(name, found.shown_path);
  if (moved) {
    found.shown_path = options_.moved[*moved].new_path;
    matched_[*moved] = true;
  } else if (name.find('\0') != std::string::npos) {
    return errno_message(EINVAL, describe(reference) + ", and a zero byte is in no file's name");
  } else if (const std::string_view protocol = protocol_of(without_file_prefix(name));
             !protocol.empty()) {
    return refuse_protocol(reference, protocol);
  } else if (found.shown_path.empty()) {
    return errno_message(EINVAL, describe(reference) + ", which is no file name");
  }
  absl::StatusOr<std::string> real = real_path_of(found.shown_path);
  if (!real.ok() && !moved) {
    if (const auto searched = search(name)) {
      found.shown_path = *searched;
      real = real_path_of(*searched);
    }
  }
  if (!real.ok()) return say_missing(reference, name, real.status());
  if (auto status = judge(reference, *real, moved.has_value()); !status.ok()) return status;
  found.real_path = std::move(*real);
  return found;
}

absl::Status ImageFileFinder::start() {
  if (started_) return absl::OkStatus();
  if (!image_is_resolved_) {
    const absl::StatusOr<std::string> resolved = resolve_image();
    if (!resolved.ok()) return resolved.status();
  }
  for (const std::string& directory : options_.allowed_directories) {
    absl::StatusOr<std::string> tree = real_path_of(directory);
    if (!tree.ok()) return annotate(tree.status(), "--allow-path");
    allowed_trees_.push_back(std::move(*tree));
  }
  for (const std::string& directory : options_.search_directories) {
    absl::StatusOr<std::string> tree = real_path_of(directory);
    if (!tree.ok()) return annotate(tree.status(), "--search-path");
    other_trees_.push_back(std::move(*tree));
  }
  started_ = true;
  return absl::OkStatus();
}

bool ImageFileFinder::is_moved(const ImageReference& reference) const {
  return moved_to(reference.name, combined_path(reference.referrer, reference.name)).has_value();
}

std::vector<std::string> ImageFileFinder::unmatched_names() const {
  std::vector<std::string> names;
  for (size_t i = 0; i < matched_.size(); ++i) {
    if (!matched_[i]) names.push_back(options_.moved[i].old_name);
  }
  return names;
}

std::optional<size_t> ImageFileFinder::moved_to(const std::string& name,
                                                const std::string& path) const {
  const fs::path place = plain_place(path);
  const absl::StatusOr<std::string> real = real_path_of(path);
  for (size_t i = 0; i < options_.moved.size(); ++i) {
    const std::string& old = options_.moved[i].old_name;
    if (old == name || old == last_part(name) || plain_place(old) == place ||
        (real.ok() && old == *real)) {
      return i;
    }
  }
  return std::nullopt;
}

std::optional<std::string> ImageFileFinder::search(const std::string& name) const {
  for (const std::string& directory : options_.search_directories) {
    const std::string candidate = directory + "/" + last_part(name);
    if (is_there(candidate)) return candidate;
  }
  return std::nullopt;
}

// Block devices too may be opened there.
bool ImageFileFinder::is_allowed(const std::string& real_path) const {
  return std::any_of(allowed_trees_.begin(), allowed_trees_.end(),
                     [&](const std::string& tree) { return is_below(real_path, tree); });
}

// Regular files may be opened there.
bool ImageFileFinder::is_among_images(const std::string& real_path) const {
  if (!own_tree_.empty() && is_in_tree(real_path, own_tree_)) return true;
  return std::any_of(other_trees_.begin(), other_trees_.end(),
                     [&](const std::string& tree) { return is_in_tree(real_path, tree); });
}

absl::Status ImageFileFinder::judge(const ImageReference& reference, const std::string& real_path,
                                    bool named_by_user) {
  const bool trusted = named_by_user || is_allowed(real_path);
  if (!trusted && !is_among_images(real_path)) {
    return errno_message(
        EPERM,
        describe(reference) + ", which is " + in_quotes(real_path) + ", outside of " +
            (own_tree_.empty() ? "any directory that is the image's own" : in_quotes(own_tree_)) +
            "; allow it by --allow-path " + in_quotes(directory_of(real_path)));
  }
  struct stat about;
  if (::stat(real_path.c_str(), &about) != 0) {
    return errno_status(errno, describe(reference) + ": looking at " + in_quotes(real_path));
  }
  if (S_ISBLK(about.st_mode) && !trusted) {
    return errno_message(EPERM, describe(reference) + ", which is a block device; allow it by" +
                                    " --allow-path " + in_quotes(directory_of(real_path)));
  }
  if (!S_ISREG(about.st_mode) && !S_ISBLK(about.st_mode)) {
    return errno_message(EPERM, describe(reference) + ", and " + in_quotes(real_path) +
                                    " is neither a regular file nor a block device; name an image"
                                    " by --backing OLD=NEW");
  }
  if (chain_.size() >= kMaxChainLength) {
    return errno_message(ELOOP, describe(reference) + ", but the chain of " + in_quotes(image_) +
                                    " is longer than " + std::to_string(kMaxChainLength) +
                                    " images; shorten it by 'qemu-img commit' or 'qemu-img"
                                    " convert'");
  }
  if (!chain_.insert({about.st_dev, about.st_ino}).second) {
    return errno_message(ELOOP, describe(reference) +
                                    ", which is in the chain already: the chain is a loop; name"
                                    " the right file by --backing OLD=NEW");
  }
  // What a moved image names has moved with it.
  if (named_by_user && S_ISREG(about.st_mode)) other_trees_.push_back(directory_of(real_path));
  return absl::OkStatus();
}

}  // namespace penstock
