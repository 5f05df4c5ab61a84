// SPDX-License-Identifier: Apache-2.0
#include "control/image_info.h"

#include <cinttypes>
#include <cstdio>
#include <memory>

#include "base/status.h"
#include "block/backend/backend.h"
#include "block/graph/driver_registry.h"
#include "block/graph/graph.h"
#include "control/control_loop.h"
#include "control/format_probe.h"
#include "control/image_nodes.h"
#include "control/local_host.h"
#include "control/mount_plan.h"
#include "drivers/register_drivers.h"
#include "iothreads/control_thread.h"
#include "iothreads/thread_pool.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

ImageInfo gather(const Graph& graph, const Node& node) GLOBAL_STATE_CODE {
  ImageInfo info;
  info.virtual_size = node.size();
  for (const Node* each : graph.nodes()) info.actual_size += each->driver->allocated_bytes();
  const nlohmann::json facts = node.driver->describe();
  if (facts.is_object()) {
    if (facts.contains("cluster-size")) info.cluster_size = facts["cluster-size"].get<uint64_t>();
    info.dirty = facts.value("dirty-flag", false);
  }
  return info;
}

absl::StatusOr<ImageInfo> co_read(Graph& graph, const MountPlan& plan) CONTROL_COROUTINE_CODE {
  const absl::StatusOr<std::string> format =
      co_choose_format(graph.drivers(), graph.host(), plan.image, plan.format, false);
  if (!format.ok()) return format.status();
  const absl::StatusOr<NodeOptions> options = image_node_options(plan, *format);
  if (!options.ok()) return options.status();
  const absl::StatusOr<Node*> node = graph.co_open(*options);
  if (!node.ok()) return node.status();

  absl::StatusOr<ImageInfo> info = absl::UnknownError("");
  absl::StatusOr<std::unique_ptr<Backend>> backend =
      graph.co_attach_backend("info", **node, image_permissions(plan));
  if (backend.ok()) {
    info = gather(graph, **node);
    info->filename = plan.image;
    info->format = *format;
    if (const absl::Status status = graph.co_detach_backend(**backend); !status.ok()) info = status;
  } else {
    info = backend.status();
  }
  const absl::Status closed = graph.co_close(kImageNodeName);
  if (info.ok() && !closed.ok()) return closed;
  return info;
}

}  // namespace

absl::StatusOr<ImageInfo> read_image_info(const std::string& image, const std::string& format,
                                          bool force_share) {
  MountPlan plan;
  plan.image = image;
  plan.format = format;
  plan.force_share = force_share;

  DriverRegistry drivers;
  register_drivers(drivers);
  LocalHost host(ThreadPool::shared());
  absl::StatusOr<ImageInfo> info = absl::UnknownError("");
  const absl::Status ran = run_control_loop(Engine::kAuto, [&] {
    assert_in_coroutine();
    assert_control_thread();
    Graph graph(drivers, host);
    info = co_read(graph, plan);
    return absl::OkStatus();
  });
  if (!ran.ok()) return ran;
  return info;
}

std::string image_info_json(const ImageInfo& info) {
  nlohmann::ordered_json facts;
  facts["virtual-size"] = info.virtual_size;
  facts["filename"] = info.filename;
  if (info.cluster_size) facts["cluster-size"] = *info.cluster_size;
  facts["format"] = info.format;
  facts["actual-size"] = info.actual_size;
  facts["dirty-flag"] = info.dirty;
  return facts.dump(4, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string image_info_text(const ImageInfo& info) {
  std::string text = "image: " + info.filename + "\nfile format: " + info.format +
                     "\nvirtual size: " + readable_size(info.virtual_size) + " (" +
                     std::to_string(info.virtual_size) +
                     " bytes)\ndisk size: " + readable_size(info.actual_size) + "\n";
  if (info.cluster_size) text += "cluster_size: " + std::to_string(*info.cluster_size) + "\n";
  return text;
}

std::string readable_size(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  // The next unit from 1000 on, so that three digits are enough.
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  snprintf(text, sizeof text, "%0.3g %s", value, kUnits[unit]);
  return text;
}

}  // namespace penstock
