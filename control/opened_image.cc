// SPDX-License-Identifier: Apache-2.0
#include "control/opened_image.h"

#include <memory>

#include "base/status.h"
#include "block/graph/driver_registry.h"
#include "control/control_loop.h"
#include "control/format_probe.h"
#include "control/image_names_policy.h"
#include "control/image_nodes.h"
#include "control/local_host.h"
#include "control/node_warnings.h"
#include "drivers/register_drivers.h"
#include "iothreads/control_thread.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

using Use = std::function<absl::Status(const OpenedImage&)>;

// Stands nothing in for every file that an image names.
class NothingNamed final : public ImageNames {
 public:
  absl::StatusOr<ChildOptions> co_resolve(const ImageReference& /*reference*/,
                                          const NodeOptions& /*parent*/) override COROUTINE_CODE {
    ChildOptions child;
    child.inline_options = std::make_shared<NodeOptions>();
    child.inline_options->driver = "null-co";
    return child;
  }
};

absl::Status co_use(Graph& graph, ImageNamesPolicy& names, const MountPlan& plan,
                    const Use& use) CONTROL_COROUTINE_CODE {
  const absl::StatusOr<std::string> real_path = names.co_resolve_image();
  if (!real_path.ok()) return real_path.status();
  const absl::StatusOr<std::string> format = co_choose_format(
      graph.drivers(), graph.host(), {plan.image, *real_path}, plan.format, plan.writable);
  if (!format.ok()) return format.status();
  const absl::StatusOr<NodeOptions> options = image_node_options(plan, *real_path, *format);
  if (!options.ok()) return options.status();
  const absl::StatusOr<Node*> node = graph.co_open(*options);
  if (!node.ok()) return node.status();
  if (!plan.image_alone) names.warn_of_unmatched_names();

  absl::Status status;
  const absl::StatusOr<std::unique_ptr<Backend>> backend =
      graph.co_attach_backend("look", **node, image_permissions(plan));
  if (backend.ok()) {
    // A check reports by itself.
    if (!plan.accept_lost_tables) log_node_warnings(**node);
    status = use({graph, **node, **backend, *format});
    status.Update(graph.co_detach_backend(**backend));
  } else {
    status = backend.status();
  }
  status.Update(graph.co_close(kImageNodeName));
  return status;
}

}  // namespace

absl::Status use_image(const MountPlan& plan, const Use& use) {
  DriverRegistry drivers;
  register_drivers(drivers);
  LocalHost host(ThreadPool::shared());
  ImageNamesPolicy names(drivers, host, plan.image, plan.chain);
  NothingNamed nothing;
  return run_control_loop(plan.engine, [&] {
    assert_in_coroutine();
    assert_control_thread();
    Graph graph(drivers, host, plan.image_alone ? static_cast<ImageNames*>(&nothing) : &names);
    return co_use(graph, names, plan, use);
  });
}

}  // namespace penstock
