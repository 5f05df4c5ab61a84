// SPDX-License-Identifier: Apache-2.0
#include "tests/drivers/test_image_names.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>

#include "base/status.h"
#include "base/unique_fd.h"
#include "iothreads/thread_pool.h"

namespace penstock {

absl::StatusOr<ChildOptions> TestImageNames::co_resolve(const ImageReference& reference,
                                                        const NodeOptions& /*parent*/) {
  // An absolute name replaces the directory.
  const std::string path =
      (std::filesystem::path(reference.referrer).parent_path() / reference.name).string();
  std::string format = reference.format;
  if (format.empty()) {
    std::vector<std::byte> head(64 * 1024);
    int error = 0;
    const ssize_t count = ThreadPool::shared().co_run([&] {
      const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      const ssize_t result = fd.valid() ? ::pread(fd.get(), head.data(), head.size(), 0) : -1;
      if (result < 0) error = errno;
      return result;
    });
    if (count < 0) return errno_status(error, "opening " + path);
    head.resize(static_cast<size_t>(count));
    const DriverType* const type = registry_.probe(head);
    format = type != nullptr ? std::string(type->name()) : "raw";
  }
  auto file = std::make_shared<NodeOptions>();
  file->driver = "file";
  file->driver_options["filename"] = path;
  auto image = std::make_shared<NodeOptions>();
  image->driver = format;
  image->children["file"].inline_options = std::move(file);
  ChildOptions child;
  child.inline_options = std::move(image);
  return child;
}

}  // namespace penstock
