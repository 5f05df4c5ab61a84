// SPDX-License-Identifier: Apache-2.0
#include "control/image_names_policy.h"

#include <fcntl.h>

#include <memory>
#include <utility>

#include "base/status.h"
#include "control/format_probe.h"
#include "control/log.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

// Names of protocols that old images give as a format: the file's own bytes.
bool means_raw(const std::string& format) { return format == "file" || format == "host_device"; }

NodeOptions stack(NodeOptions top, NodeOptions below) {
  top.children["file"].inline_options = std::make_shared<NodeOptions>(std::move(below));
  return top;
}

}  // namespace

ImageNamesPolicy::ImageNamesPolicy(const DriverRegistry& drivers, HostServices& host,
                                   std::string image, ChainOptions options)
    : drivers_(drivers), host_(host), finder_(std::move(image), std::move(options)) {}

NodeOptions ImageNamesPolicy::inherited(const ImageReference& reference,
                                        const NodeOptions& parent) {
  NodeOptions options;
  options.read_only = parent.read_only || reference.purpose == ImageReference::Purpose::kBacking;
  options.force_share = parent.force_share;
  options.cache_direct = parent.cache_direct;
  options.discard_unmap = parent.discard_unmap;
  return options;
}

absl::StatusOr<std::string> ImageNamesPolicy::co_resolve_image() {
  return ThreadPool::storage().co_try_run([&] { return finder_.resolve_image(); });
}

void ImageNamesPolicy::warn_of_unmatched_names() const {
  for (const std::string& name : finder_.unmatched_names()) {
    log_line(LogLevel::kWarning,
             "no image names '" + name + "', which --backing says: it is not used");
  }
}

absl::StatusOr<ChildOptions> ImageNamesPolicy::co_resolve(const ImageReference& reference,
                                                          const NodeOptions& parent) {
  absl::StatusOr<NodeOptions> options = co_options(reference, inherited(reference, parent));
  if (!options.ok()) return options.status();
  ChildOptions child;
  child.inline_options = std::make_shared<NodeOptions>(std::move(*options));
  return child;
}

absl::StatusOr<NodeOptions> ImageNamesPolicy::co_options(const ImageReference& reference,
                                                         const NodeOptions& base) {
  // What the user says about a whole name goes before what the name says.
  if (is_json_image_name(reference.name) &&
      !ThreadPool::storage().co_run([&] { return finder_.is_moved(reference); })) {
    const absl::StatusOr<JsonImageName> name = parse_json_image_name(reference.name);
    if (name.ok()) return co_json(reference, *name, base, /*is_inner=*/false);
    return errno_message(status_errno(name.status()),
                         describe(reference) + ": " + status_text(name.status()) +
                             "; or say which file it means by --backing OLD=FILE, with the whole"
                             " name as OLD");
  }
  absl::StatusOr<NodeOptions> file = co_file(reference, reference.name, base);
  if (!file.ok() || reference.purpose != ImageReference::Purpose::kBacking) return file;
  return co_format(reference, reference.format, std::move(*file), base);
}

absl::StatusOr<NodeOptions> ImageNamesPolicy::co_file(const ImageReference& reference,
                                                      const std::string& name,
                                                      const NodeOptions& base) {
  absl::StatusOr<FoundImageFile> found =
      ThreadPool::storage().co_try_run([&] { return finder_.find(reference, name); });
  if (!found.ok()) return found.status();
  NodeOptions file = base;
  file.driver = "file";
  file.driver_options["filename"] = std::move(found->shown_path);
  file.resolved_path = std::move(found->real_path);
  return file;
}

// The format's node above `file`; `said` is its name, or empty.
absl::StatusOr<NodeOptions> ImageNamesPolicy::co_format(const ImageReference& reference,
                                                        const std::string& said, NodeOptions file,
                                                        const NodeOptions& base) {
  std::string format = means_raw(said) ? "raw" : said;
  if (format.empty()) {
    const absl::StatusOr<UniqueFd> fd =
        host_.co_open_resolved(file.resolved_path, O_RDONLY | O_NONBLOCK);
    if (!fd.ok()) return annotate(fd.status(), describe(reference));
    absl::StatusOr<std::string> found = co_find_format(drivers_, *fd);
    if (!found.ok()) return annotate(found.status(), describe(reference));
    format = found->empty() ? "raw" : std::move(*found);
  }
  if (const absl::Status status = check_format(drivers_, format); !status.ok()) {
    return annotate(status, describe(reference));
  }
  NodeOptions top = base;
  top.driver = std::move(format);
  return stack(std::move(top), std::move(file));
}

absl::StatusOr<NodeOptions> ImageNamesPolicy::co_json(const ImageReference& reference,
                                                      const JsonImageName& name,
                                                      const NodeOptions& base, bool is_inner) {
  if (name.file == nullptr) {
    absl::StatusOr<NodeOptions> file = co_file(reference, name.filename, base);
    // As the whole name it is an image, of the format that is said beside it, or else its bytes.
    const bool is_image =
        !is_inner && reference.purpose == ImageReference::Purpose::kBacking && file.ok();
    if (!is_image) return file;
    const bool bytes_said = reference.format.empty() && name.driver == "file";
    return co_format(reference, bytes_said ? "raw" : reference.format, std::move(*file), base);
  }
  absl::StatusOr<NodeOptions> file = co_json(reference, *name.file, base, /*is_inner=*/true);
  if (!file.ok()) return file;
  // Only a file can be probed; above another format the bytes are taken as they are.
  std::string said = name.driver.empty() && !is_inner ? reference.format : name.driver;
  if (said.empty() && file->driver != "file") said = "raw";
  absl::StatusOr<NodeOptions> top = co_format(reference, said, std::move(*file), base);
  if (!top.ok()) return top;
  if (name.offset) top->driver_options["offset"] = *name.offset;
  if (name.size) top->driver_options["size"] = *name.size;
  if (name.no_backing) top->children["backing"] = {};
  if (name.backing != nullptr) {
    NodeOptions read_only = base;
    read_only.read_only = true;
    absl::StatusOr<NodeOptions> backing =
        co_json(reference, *name.backing, read_only, /*is_inner=*/false);
    if (!backing.ok()) return backing;
    top->children["backing"].inline_options = std::make_shared<NodeOptions>(std::move(*backing));
  }
  return top;
}

}  // namespace penstock
