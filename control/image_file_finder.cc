// SPDX-License-Identifier: Apache-2.0
#include "control/image_file_finder.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

#include "base/printable_text.h"
#include "base/status.h"
#include "block/io/mapped_io.h"

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
  if (directory == "/") return true;
  return path.size() > directory.size() && path.compare(0, directory.size(), directory) == 0 &&
         path[directory.size()] == '/';
}

absl::StatusOr<std::string> real_path_of(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(path.c_str(), nullptr), &::free);
  if (real == nullptr) return errno_status(errno, "cannot find '" + printable_text(path) + "'");
  return std::string(real.get());
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
    : image_(std::move(image)), options_(std::move(options)) {}

absl::StatusOr<FoundImageFile> ImageFileFinder::find(const ImageReference& reference,
                                                     const std::string& name) {
  if (const absl::Status status = start(); !status.ok()) return status;
  FoundImageFile found;
  found.shown_path = combined_path(reference.referrer, name);
  bool named_by_user = false;
  if (const auto moved = moved_to(reference, name, found.shown_path)) {
    found.shown_path = *moved;
    named_by_user = true;
  } else if (const std::string_view protocol = protocol_of(without_file_prefix(name));
             !protocol.empty()) {
    return refuse_protocol(reference, protocol);
  } else if (found.shown_path.empty()) {
    return errno_message(EINVAL, describe(reference) + ", which is no file name");
  }
  absl::StatusOr<std::string> real = real_path_of(found.shown_path);
  if (!real.ok() && !named_by_user) {
    if (const auto searched = search(name)) {
      found.shown_path = *searched;
      named_by_user = true;
      real = real_path_of(*searched);
    }
  }
  if (!real.ok()) return say_missing(reference, name, real.status());
  if (auto status = judge(reference, *real, named_by_user); !status.ok()) return status;
  found.real_path = std::move(*real);
  return found;
}

// What the image itself is, looked at when it is first asked for: it is open by then.
absl::Status ImageFileFinder::start() {
  if (started_) return absl::OkStatus();
  const absl::StatusOr<std::string> real = real_path_of(image_);
  if (!real.ok()) return real.status();
  struct stat about;
  if (::stat(real->c_str(), &about) != 0)
    return errno_status(errno, "looking at " + in_quotes(image_));
  // What else is in /dev belongs to no image.
  if (S_ISREG(about.st_mode)) own_tree_ = directory_of(*real);
  chain_.insert({about.st_dev, about.st_ino});
  for (const std::string& directory : options_.allowed_directories) {
    absl::StatusOr<std::string> tree = real_path_of(directory);
    if (!tree.ok()) return annotate(tree.status(), "--allow-path");
    trees_.push_back(std::move(*tree));
  }
  started_ = true;
  return absl::OkStatus();
}

std::optional<std::string> ImageFileFinder::moved_to(const ImageReference& reference,
                                                     const std::string& name,
                                                     const std::string& path) const {
  const fs::path place = plain_place(path);
  const absl::StatusOr<std::string> real = real_path_of(path);
  for (const ChainOptions::MovedImage& moved : options_.moved) {
    const std::string& old = moved.old_name;
    if (old == reference.name || old == name || old == last_part(name) ||
        plain_place(old) == place || (real.ok() && old == *real)) {
      return moved.new_path;
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

bool ImageFileFinder::is_allowed_tree(const std::string& real_path) const {
  for (const std::string& tree : trees_) {
    if (is_below(real_path, tree)) return true;
  }
  return false;
}

absl::Status ImageFileFinder::judge(const ImageReference& reference, const std::string& real_path,
                                    bool named_by_user) {
  const bool trusted = named_by_user || is_allowed_tree(real_path);
  if (!trusted && (own_tree_.empty() || !is_below(real_path, own_tree_))) {
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
  return absl::OkStatus();
}

}  // namespace penstock
