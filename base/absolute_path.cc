// SPDX-License-Identifier: Apache-2.0
#include "base/absolute_path.h"

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/status.h"

namespace penstock {

absl::StatusOr<std::string> absolute_path(const std::string& path) {
  if (path.empty()) return errno_message(EINVAL, "a path cannot be empty");
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::absolute(path, error);
  if (!error) return whole.string();
  return errno_status(error.value(), "'" + path + "' is relative, and the working directory");
}

}  // namespace penstock
