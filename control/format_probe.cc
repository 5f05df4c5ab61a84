// SPDX-License-Identifier: Apache-2.0
#include "control/format_probe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/foreign_formats.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

constexpr size_t kHeadSize = 64 * 1024;  // bytes, as DriverType::probe wants

struct Ends {
  std::vector<std::byte> head;
  std::vector<std::byte> tail;
};

absl::StatusOr<std::vector<std::byte>> read_at(int fd, off_t offset, size_t size) {
  std::vector<std::byte> data(size);
  size_t done = 0;
  while (done < size) {
    const ssize_t count =
        ::pread(fd, data.data() + done, size - done, offset + static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno_status(errno, "cannot read its header");
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  data.resize(done);
  return data;
}

absl::StatusOr<Ends> read_ends(int fd) {
  struct stat facts;
  if (::fstat(fd, &facts) != 0) return errno_status(errno, "fstat");
  if (S_ISDIR(facts.st_mode)) return errno_status(EISDIR, "not an image");
  if (!S_ISREG(facts.st_mode) && !S_ISBLK(facts.st_mode)) {
    return errno_message(EINVAL, "neither a regular file nor a block device");
  }
  Ends ends;
  absl::StatusOr<std::vector<std::byte>> head = read_at(fd, 0, kHeadSize);
  if (!head.ok()) return head.status();
  ends.head = std::move(*head);
  const off_t size = ::lseek(fd, 0, SEEK_END);
  if (size >= static_cast<off_t>(kFormatTailSize)) {
    absl::StatusOr<std::vector<std::byte>> tail =
        read_at(fd, size - static_cast<off_t>(kFormatTailSize), kFormatTailSize);
    if (!tail.ok()) return tail.status();
    ends.tail = std::move(*tail);
  }
  return ends;
}

// Protocols and filters are drivers too, but nobody's image is in their format.
bool is_image_format(const DriverType& type) {
  return type.has_file_child() && type.name() != "faults";
}

}  // namespace

absl::Status check_format(const DriverRegistry& drivers, const std::string& name) {
  std::string known;
  for (const std::string& driver : drivers.names()) {
    const absl::StatusOr<const DriverType*> type = drivers.find(driver);
    if (!type.ok() || !is_image_format(**type)) continue;
    if (driver == name) return absl::OkStatus();
    known += (known.empty() ? "" : ", ") + driver;
  }
  if (is_foreign_format(name)) {
    return errno_message(EINVAL, "format " + name + " is not supported yet; supported: " + known);
  }
  return errno_message(EINVAL,
                       "unknown format '" + printable_text(name) + "'; supported: " + known);
}

absl::StatusOr<std::string> co_find_format(const DriverRegistry& drivers, const UniqueFd& fd) {
  const absl::StatusOr<Ends> ends =
      ThreadPool::storage().co_try_run([&] { return read_ends(fd.get()); });
  if (!ends.ok()) return ends.status();
  if (const DriverType* type = drivers.probe(ends->head)) return std::string(type->name());
  return std::string(find_foreign_format(ends->head, ends->tail));
}

absl::StatusOr<std::string> co_choose_format(const DriverRegistry& drivers, HostServices& host,
                                             const NamedImage& image, const std::string& wanted,
                                             bool writable) {
  if (!wanted.empty()) {
    if (const absl::Status status = check_format(drivers, wanted); !status.ok()) return status;
    return wanted;
  }
  // O_NONBLOCK: a pipe under the image's name must not hang the open.
  const int flags = O_RDONLY | O_NONBLOCK;
  const absl::StatusOr<UniqueFd> fd = image.resolved_path.empty()
                                          ? host.co_open(image.name, flags)
                                          : host.co_open_resolved(image.resolved_path, flags);
  if (!fd.ok()) return fd.status();
  const std::string shown = "'" + printable_text(image.name) + "'";
  const absl::StatusOr<std::string> found = co_find_format(drivers, *fd);
  if (!found.ok()) return annotate(found.status(), shown);
  if (!found->empty()) {
    if (check_format(drivers, *found).ok()) return found;
    return errno_message(EINVAL, shown + " is a " + *found + " image, and format " + *found +
                                     " is not supported yet; convert it with 'qemu-img convert -O"
                                     " raw', or say -f raw to get the file's own bytes");
  }
  if (writable) {
    return errno_message(EINVAL, shown +
                                     " has no known format's header, and a writable mount never"
                                     " guesses: say -f raw if it is a raw image");
  }
  return "raw";
}

}  // namespace penstock
