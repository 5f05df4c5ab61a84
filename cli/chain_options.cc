// SPDX-License-Identifier: Apache-2.0
#include "cli/chain_options.h"

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/absolute_path.h"
#include "base/status.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

absl::Status add_directory(const std::string& option, const std::string& path,
                           std::vector<std::string>& directories) {
  std::error_code error;
  const std::string absolute = fs::absolute(path, error).string();
  if (error || !fs::is_directory(absolute, error)) {
    return errno_message(EINVAL, option + " '" + path + "': there is no such directory");
  }
  directories.push_back(absolute);
  return absl::OkStatus();
}

// Both names may hold an "=".
size_t place_of_split(const std::string& text) {
  for (size_t at = text.rfind('='); at != std::string::npos && at > 0;
       at = text.rfind('=', at - 1)) {
    std::error_code error;
    const fs::file_status status = fs::status(text.substr(at + 1), error);
    if (fs::exists(status) && !fs::is_directory(status)) return at;
  }
  return text.find('=');
}

}  // namespace

void ChainArguments::add_to(CLI::App& command) {
  command
      .add_option("--backing", moved_,
                  "Open NEW where an image in the chain names OLD as its backing or data file")
      ->allow_extra_args(false)
      ->type_name("OLD=NEW");
  command
      .add_option("--search-path", search_directories_,
                  "Look there for files that are not where the images say")
      ->allow_extra_args(false)
      ->type_name("DIR");
  command
      .add_option("--allow-path", allowed_directories_,
                  "Let images name files below DIR (default: below the image's own directory only)")
      ->allow_extra_args(false)
      ->type_name("DIR");
}

absl::Status ChainArguments::read_into(ChainOptions& options) const {
  absl::Status status;
  for (const std::string& text : moved_) status.Update(add_moved_image(text, options));
  for (const std::string& path : search_directories_) {
    status.Update(add_search_directory(path, options));
  }
  for (const std::string& path : allowed_directories_) {
    status.Update(add_allowed_directory(path, options));
  }
  return status;
}

absl::Status add_moved_image(const std::string& text, ChainOptions& options) {
  const size_t equals = place_of_split(text);
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    return errno_message(EINVAL, "--backing '" + text +
                                     "': takes OLD=NEW, the name in the image and the file to"
                                     " open instead");
  }
  absl::StatusOr<std::string> file = absolute_path(text.substr(equals + 1));
  if (!file.ok()) return file.status();
  options.moved.push_back({text.substr(0, equals), *std::move(file)});
  return absl::OkStatus();
}

absl::Status add_search_directory(const std::string& path, ChainOptions& options) {
  return add_directory("--search-path", path, options.search_directories);
}

absl::Status add_allowed_directory(const std::string& path, ChainOptions& options) {
  return add_directory("--allow-path", path, options.allowed_directories);
}

}  // namespace penstock
