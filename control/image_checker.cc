// SPDX-License-Identifier: Apache-2.0
#include "control/image_checker.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/io/image_check.h"
#include "control/opened_image.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

absl::StatusOr<ImageCheck> co_check_backend(Backend& backend) COROUTINE_CODE {
  BackendRequest request(backend, "check", 0, 0);
  if (!request.status().ok()) return request.status();
  return co_check(request.root());
}

std::string counted(uint64_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

double percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) * 100 / static_cast<double>(whole);
}

std::string allocation_text(const ImageCheck& check) {
  char text[160];
  std::snprintf(text, sizeof text,
                "%" PRIu64 " of %" PRIu64
                " clusters are allocated (%.2f%%); %.2f%% of these are fragmented, %.2f%% "
                "compressed\n",
                check.allocated_clusters, check.total_clusters,
                percent(check.allocated_clusters, check.total_clusters),
                percent(check.fragmented_clusters, check.allocated_clusters),
                percent(check.compressed_clusters, check.allocated_clusters));
  return text;
}

}  // namespace

absl::StatusOr<CheckedImage> check_image(MountPlan plan) {
  plan.writable = false;
  plan.without_backing = true;
  plan.accept_lost_tables = true;
  CheckedImage result;
  result.filename = plan.image;
  const absl::Status status = use_image(plan, [&result](const OpenedImage& image) -> absl::Status {
    assert_in_coroutine();
    result.format = image.format;
    absl::StatusOr<ImageCheck> check = co_check_backend(image.backend);
    result.has_check = status_errno(check.status()) != ENOTSUP;
    if (!result.has_check) return absl::OkStatus();
    if (!check.ok()) return check.status();
    result.check = *std::move(check);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return result;
}

std::string image_check_json(const CheckedImage& image) {
  const ImageCheck& check = image.check;
  nlohmann::ordered_json facts;
  const auto add = [&facts](const char* key, uint64_t value) {
    if (value != 0) facts[key] = value;
  };
  add("image-end-offset", check.image_end_offset);
  add("compressed-clusters", check.compressed_clusters);
  add("total-clusters", check.total_clusters);
  add("corruptions", check.corruptions);
  facts["check-errors"] = check.check_errors;
  add("leaks", check.leaks);
  add("allocated-clusters", check.allocated_clusters);
  facts["filename"] = image.filename;
  facts["format"] = image.format;
  add("fragmented-clusters", check.fragmented_clusters);
  return facts.dump(4, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string image_check_text(const CheckedImage& image) {
  const ImageCheck& check = image.check;
  std::string text;
  if (check.corruptions == 0 && check.leaks == 0 && check.check_errors == 0) {
    text += "No errors were found.\n";
  }
  if (check.corruptions != 0) {
    text += counted(check.corruptions, "error was", "errors were") +
            " found: data may be damaged already, and writing may damage more.\n";
  }
  if (check.leaks != 0) {
    text += counted(check.leaks, "cluster is", "clusters are") +
            " leaked: space is wasted, no data is harmed.\n";
  }
  if (check.check_errors != 0) {
    text += counted(check.check_errors, "thing", "things") + " could not be checked.\n";
  }
  if (check.allocated_clusters != 0) text += allocation_text(check);
  if (check.image_end_offset != 0) {
    text += "Image end offset: " + std::to_string(check.image_end_offset) + "\n";
  }
  return text;
}

}  // namespace penstock
