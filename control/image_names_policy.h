// SPDX-License-Identifier: Apache-2.0
// What names inside images mean, for one opening of one image that a user named.
//
// A file in the image's own directory tree may be opened; others where the user says so
// (ChainOptions). What may be opened is opened by its real path, so that nobody puts a link there
// meanwhile; so is the image itself, by what co_resolve_image() answers.
//
// Ownership: refers to the registry and the host, which outlive it.
// Threads: coroutines on any context, one at a time: a chain is opened image by image.
// Errors: as ImageFileFinder, json_image_name.h and format_probe.h.
// Invariants: a backing file without a format is probed, which is safe because it is opened
//   read-only. Chains end: no file is opened twice.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/host_services.h"
#include "block/graph/driver_registry.h"
#include "block/node/image_names.h"
#include "control/chain_options.h"
#include "control/image_file_finder.h"
#include "control/json_image_name.h"

namespace penstock {

class ImageNamesPolicy final : public ImageNames {
 public:
  // `image` is the file that the user named.
  ImageNamesPolicy(const DriverRegistry& drivers, HostServices& host, std::string image,
                   ChainOptions options);

  // ImageFileFinder::resolve_image(): before the image is opened.
  absl::StatusOr<std::string> co_resolve_image() COROUTINE_CODE;
  // After the image is open: logs what the user said about names that no image has.
  void warn_of_unmatched_names() const;

  absl::StatusOr<ChildOptions> co_resolve(const ImageReference& reference,
                                          const NodeOptions& parent) override COROUTINE_CODE;

 private:
  // Options that a child takes over from the node that names it.
  static NodeOptions inherited(const ImageReference& reference, const NodeOptions& parent);
  absl::StatusOr<NodeOptions> co_options(const ImageReference& reference,
                                         const NodeOptions& base) COROUTINE_CODE;
  absl::StatusOr<NodeOptions> co_file(const ImageReference& reference, const std::string& name,
                                      const NodeOptions& base) COROUTINE_CODE;
  absl::StatusOr<NodeOptions> co_format(const ImageReference& reference, const std::string& said,
                                        NodeOptions file, const NodeOptions& base) COROUTINE_CODE;
  absl::StatusOr<NodeOptions> co_json(const ImageReference& reference, const JsonImageName& name,
                                      const NodeOptions& base, bool is_inner) COROUTINE_CODE;

  const DriverRegistry& drivers_;
  HostServices& host_;
  ImageFileFinder finder_;
};

}  // namespace penstock
