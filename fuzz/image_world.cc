// SPDX-License-Identifier: Apache-2.0
#include "fuzz/image_world.h"

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "drivers/register_drivers.h"
#include "iothreads/co_event.h"
#include "iothreads/coroutine.h"
#include "iothreads/fatal.h"

namespace penstock {
namespace {

constexpr unsigned kControl = 0;
constexpr unsigned kIo = 1;
constexpr unsigned kContexts = 2;

// Far more than any small image needs.
constexpr uint64_t kMaxSteps = 20'000'000;
constexpr std::chrono::seconds kMaxTime{60};

constexpr Permissions kReader{kConsistentRead, kAllPermissions};

}  // namespace

class ImageWorld::RefusingHost final : public HostServices {
 public:
  absl::StatusOr<UniqueFd> co_open(const std::string& path, int /*flags*/) override COROUTINE_CODE {
    fatal("an image in memory makes a driver open a file", path);
  }
  absl::StatusOr<UniqueFd> co_open_resolved(const std::string& path,
                                            int /*flags*/) override COROUTINE_CODE {
    fatal("an image in memory makes a driver open a file", path);
  }
  absl::StatusOr<UniqueFd> co_mount(const MountRequest& request) override COROUTINE_CODE {
    return errno_status(EPERM, "mounting " + request.mount_point);
  }
  absl::Status co_unmount(const std::string& mount_point, bool /*lazy*/) override COROUTINE_CODE {
    return errno_status(EPERM, "unmounting " + mount_point);
  }
  absl::StatusOr<UniqueFd> co_clone_session(int /*session_fd*/) override COROUTINE_CODE {
    return errno_status(EPERM, "cloning a session");
  }
};

class ImageWorld::NamesInMemory final : public ImageNames {
 public:
  absl::StatusOr<ChildOptions> co_resolve(const ImageReference& reference,
                                          const NodeOptions& /*parent*/) override COROUTINE_CODE {
    const bool backing = reference.purpose == ImageReference::Purpose::kBacking;
    ChildOptions child;
    child.inline_options = std::make_shared<NodeOptions>(memory_image_options(
        reference.format == "qcow2" ? "qcow2" : "raw", backing ? "backing" : "data"));
    return child;
  }
};

ImageWorld::ImageWorld()
    : world_(kContexts, 0),
      control_scope_(world_.context(kControl)),
      host_(std::make_unique<RefusingHost>()),
      names_(std::make_unique<NamesInMemory>()) {
  register_drivers(registry_);
  registry_.add(std::make_unique<MemoryFileType>(files_));
  graph_ = std::make_unique<Graph>(registry_, *host_, names_.get());
}

ImageWorld::~ImageWorld() {
  run([&] { graph_.reset(); });
}

absl::Status ImageWorld::with_image(const NodeOptions& options,
                                    const std::function<void(Backend&)>& use) {
  absl::Status result;
  run([&] {
    assert_control_thread();
    assert_in_coroutine();
    result = co_with_image(options, use);
  });
  return result;
}

absl::Status ImageWorld::co_with_image(const NodeOptions& options,
                                       const std::function<void(Backend&)>& use) {
  const absl::StatusOr<Node*> node = graph_->co_open(options);
  if (!node.ok()) return node.status();
  auto backend = graph_->co_attach_backend("fuzz", **node, kReader);
  if (!backend.ok()) fatal(status_text(backend.status()));

  co_reschedule_self(world_.context(kIo));
  use(**backend);
  co_reschedule_self(world_.context(kControl));

  if (const auto detached = graph_->co_detach_backend(**backend); !detached.ok()) {
    fatal(status_text(detached));
  }
  if (!graph_->nodes().empty()) fatal("closing an image left a node", graph_->nodes()[0]->name);
  return absl::OkStatus();
}

void ImageWorld::co_run_all(const std::vector<std::function<void()>>& functions) {
  struct Group {
    size_t left;
    CoEvent finished;
  } group{functions.size(), {}};
  if (functions.empty()) return;
  for (const std::function<void()>& function : functions) {
    world_.context(kIo).spawn("fuzz", [&group, &function] {
      function();
      if (--group.left == 0) group.finished.set();
    });
  }
  group.finished.co_wait();
}

// FakeWorld alone would take a wait for the thread pool for the end of all work.
void ImageWorld::run(const std::function<void()>& function) {
  const auto done = std::make_shared<bool>(false);
  world_.context(kControl).spawn("image", [&function, done] {
    function();
    *done = true;
  });
  const auto limit = std::chrono::steady_clock::now() + kMaxTime;
  for (uint64_t steps = 0; !*done; ++steps) {
    if (steps == kMaxSteps) fatal("an image keeps its driver busy for ever");
    if (world_.step()) continue;
    if (std::chrono::steady_clock::now() > limit) fatal("an image makes its driver hang");
    std::this_thread::yield();
  }
}

absl::Status co_read_image(Backend& backend, uint64_t offset, std::span<std::byte> data) {
  BackendRequest request(backend, "read", offset, data.size());
  if (!request.status().ok()) return request.status();
  const iovec segment = iovec_of(data);
  return co_preadv(request.root(), offset, IoVector(segment));
}

}  // namespace penstock
