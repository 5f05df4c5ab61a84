// SPDX-License-Identifier: Apache-2.0
#include "fuzz/memory_file.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/status.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

class MemoryFile final : public Driver, public DirectIo {
 public:
  explicit MemoryFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  DirectIo* direct_io() override { return this; }

 private:
  absl::Status co_readv(uint64_t offset, const IoVector& data,
                        RequestFlags /*flags*/) override IO_CODE {
    co_pause();
    data.copy_from(bytes_.subspan(offset, data.length()));
    return absl::OkStatus();
  }
  absl::Status co_writev(uint64_t /*offset*/, const IoVector& /*data*/,
                         RequestFlags /*flags*/) override IO_CODE {
    return errno_status(EPERM, "writing to a read-only file in memory");
  }
  absl::Status co_flush() override IO_CODE { return absl::OkStatus(); }

  const std::span<const std::byte> bytes_;
};

}  // namespace

absl::StatusOr<LoadedDriver> MemoryFileType::co_load(const LoadContext& context) const {
  OptionReader reader(context.options);
  const auto name = reader.take_required_string("name");
  if (!name.ok()) return name.status();
  const auto file = files_.find(*name);
  if (file == files_.end()) return errno_status(ENOENT, "the file '" + *name + "' in memory");
  LoadedDriver loaded;
  loaded.driver = std::make_unique<MemoryFile>(file->second);
  loaded.size = file->second.size();
  loaded.file_name = *name;
  return loaded;
}

NodeOptions memory_image_options(const std::string& format, const std::string& name) {
  auto file = std::make_shared<NodeOptions>();
  file->driver = "memory";
  file->driver_options["name"] = name;
  NodeOptions options;
  options.driver = format;
  options.children["file"].inline_options = std::move(file);
  return options;
}

}  // namespace penstock
