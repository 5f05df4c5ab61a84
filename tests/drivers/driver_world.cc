// SPDX-License-Identifier: Apache-2.0
#include "tests/drivers/driver_world.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <latch>

#include "base/status.h"
#include "drivers/register_drivers.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

[[noreturn]] void give_up(const absl::Status& status) {
  std::fprintf(stderr, "the test cannot be set up: %s\n", status_text(status).c_str());
  std::abort();
}

std::unique_ptr<IoThread> start_thread(const std::string& name, Engine engine) {
  auto thread = IoThread::start(name, engine);
  if (!thread.ok()) give_up(thread.status());
  return *std::move(thread);
}

}  // namespace

absl::StatusOr<UniqueFd> TestHost::co_open(const std::string& path, int flags) {
  int error = 0;
  UniqueFd fd = ThreadPool::shared().co_run([&] {
    UniqueFd opened(::open(path.c_str(), flags | O_CLOEXEC));
    if (!opened.valid()) error = errno;
    return opened;
  });
  if (!fd.valid()) return errno_status(error, "opening " + path);
  return fd;
}

absl::StatusOr<UniqueFd> TestHost::co_open_resolved(const std::string& path, int flags) {
  return co_open(path, flags | O_NOFOLLOW);
}

absl::StatusOr<UniqueFd> TestHost::co_create(const std::string& path, mode_t mode) {
  int error = 0;
  UniqueFd fd = ThreadPool::shared().co_run([&] {
    UniqueFd created(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (!created.valid()) error = errno;
    return created;
  });
  if (!fd.valid()) return errno_status(error, "creating " + path);
  return fd;
}

absl::StatusOr<UniqueFd> TestHost::co_mount(const MountRequest& /*request*/) {
  return errno_status(ENOSYS, "mounting");
}

absl::Status TestHost::co_unmount(const std::string& /*mount_point*/, bool /*lazy*/) {
  return errno_status(ENOSYS, "unmounting");
}

absl::StatusOr<UniqueFd> TestHost::co_clone_session(int /*session_fd*/) {
  return errno_status(ENOSYS, "cloning");
}

NodeOptions options_from_json(nlohmann::json json) {
  NodeOptions options;
  options.driver = json.value("driver", "");
  options.node_name = json.value("node-name", "");
  options.read_only = json.value("read-only", false);
  options.force_share = json.value("force-share", false);
  options.discard_unmap = json.value("discard", "unmap") == "unmap";
  if (json.contains("cache")) options.cache_direct = json["cache"].value("direct", false);
  for (const char* name : {"file", "backing", "data-file", "target"}) {
    if (!json.contains(name)) continue;
    nlohmann::json& given = json[name];
    ChildOptions& child = options.children[name];
    if (given.is_string()) {
      child.reference = given.get<std::string>();
    } else if (!given.is_null()) {
      child.inline_options = std::make_shared<NodeOptions>(options_from_json(given));
    }
  }
  for (const char* general : {"driver", "node-name", "read-only", "force-share", "discard", "cache",
                              "file", "backing", "data-file", "target"}) {
    json.erase(general);
  }
  options.driver_options = std::move(json);
  return options;
}

DriverWorld::DriverWorld(unsigned iothreads, Engine engine, Names names)
    : control_(start_thread("control", engine)) {
  register_drivers(registry_);
  control_scope_ = std::make_unique<ControlThreadScope>(control_->context());
  graph_ = std::make_unique<Graph>(registry_, host_, names == Names::kFollowed ? &names_ : nullptr);
  for (unsigned i = 0; i < iothreads; ++i) {
    iothreads_.push_back(start_thread("iothread" + std::to_string(i), engine));
  }
}

DriverWorld::~DriverWorld() {
  while (!backends_.empty()) detach(*backends_.back());
  run_sync(control_->context(), [&] {
    assert_control_thread();
    assert_in_coroutine();
    while (true) {
      std::string unused;
      for (const Node* node : graph_->nodes()) {
        if (node->parents.empty()) unused = node->name;
      }
      if (unused.empty()) break;
      if (const auto closed = graph_->co_close(unused); !closed.ok()) give_up(closed);
    }
    graph_.reset();
  });
  iothreads_.clear();
  control_scope_.reset();
}

absl::StatusOr<Node*> DriverWorld::open(const nlohmann::json& json) {
  return run_sync(control_->context(), [&]() -> absl::StatusOr<Node*> {
    assert_control_thread();
    assert_in_coroutine();
    return graph_->co_open(options_from_json(json));
  });
}

absl::StatusOr<Backend*> DriverWorld::attach(Node& node, Permissions permissions) {
  return run_sync(control_->context(), [&]() -> absl::StatusOr<Backend*> {
    assert_control_thread();
    assert_in_coroutine();
    auto backend = graph_->co_attach_backend("test", node, permissions);
    if (!backend.ok()) return backend.status();
    return backends_.emplace_back(*std::move(backend)).get();
  });
}

Backend& DriverWorld::serve(const nlohmann::json& json, Permissions permissions) {
  const auto node = open(json);
  if (!node.ok()) give_up(node.status());
  const auto backend = attach(**node, permissions);
  if (!backend.ok()) give_up(backend.status());
  return **backend;
}

Node* DriverWorld::find(const std::string& name) {
  return run_sync(control_->context(), [&]() -> Node* {
    assert_control_thread();
    return graph_->find(name);
  });
}

void DriverWorld::detach(Backend& backend) {
  run_sync(control_->context(), [&] {
    assert_control_thread();
    assert_in_coroutine();
    if (const auto detached = graph_->co_detach_backend(backend); !detached.ok()) {
      give_up(detached);
    }
    std::erase_if(backends_, [&](const auto& owned) { return owned.get() == &backend; });
  });
}

absl::Status DriverWorld::close(const std::string& node_name) {
  return run_sync(control_->context(), [&]() -> absl::Status {
    assert_control_thread();
    assert_in_coroutine();
    return graph_->co_close(node_name);
  });
}

absl::Status DriverWorld::read(Backend& backend, uint64_t offset, std::span<std::byte> data) {
  return run_sync(context(0), [&]() -> absl::Status {
    assert_in_coroutine();
    return co_read(backend, offset, data);
  });
}

std::vector<std::byte> DriverWorld::read(Backend& backend, uint64_t offset, uint64_t length) {
  std::vector<std::byte> data(length);
  if (const auto done = read(backend, offset, data); !done.ok()) {
    std::fprintf(stderr, "%s\n", status_text(done).c_str());
    data.clear();
  }
  return data;
}

absl::Status DriverWorld::write(Backend& backend, uint64_t offset, std::span<const std::byte> data,
                                RequestFlags flags) {
  return run_sync(context(0), [&]() -> absl::Status {
    assert_in_coroutine();
    return co_write(backend, offset, data, flags);
  });
}

absl::Status DriverWorld::write_zeroes(Backend& backend, ByteRange range, RequestFlags flags) {
  return run_sync(context(0), [&]() -> absl::Status {
    assert_in_coroutine();
    BackendRequest request(backend, "write zeroes", range.offset, range.length);
    if (!request.status().ok()) return request.status();
    return co_write_zeroes(request.root(), range, flags);
  });
}

absl::Status DriverWorld::discard(Backend& backend, ByteRange range) {
  return run_sync(context(0), [&]() -> absl::Status {
    assert_in_coroutine();
    BackendRequest request(backend, "discard", range.offset, range.length);
    if (!request.status().ok()) return request.status();
    return co_discard(request.root(), range);
  });
}

absl::Status DriverWorld::flush(Backend& backend) {
  return run_sync(context(0), [&]() -> absl::Status {
    assert_in_coroutine();
    BackendRequest request(backend, "flush", 0, 0);
    if (!request.status().ok()) return request.status();
    return co_flush(request.root());
  });
}

absl::Status DriverWorld::resize(Backend& backend, uint64_t size) {
  return run_sync(context(0), [&]() -> absl::Status {
    assert_in_coroutine();
    BackendRequest request(backend, "resize", size, 0);
    if (!request.status().ok()) return request.status();
    return co_resize(request.root(), size);
  });
}

absl::StatusOr<BlockStatus> DriverWorld::status(Backend& backend, ByteRange range) {
  return run_sync(context(0), [&]() -> absl::StatusOr<BlockStatus> {
    assert_in_coroutine();
    BackendRequest request(backend, "block status", range.offset, range.length);
    if (!request.status().ok()) return request.status();
    return co_block_status(request.root(), range);
  });
}

void DriverWorld::run_all(const std::vector<std::function<void()>>& functions) {
  // Shared, since the last one may still be inside count_down() when the wait is over.
  const auto finished = std::make_shared<std::latch>(static_cast<std::ptrdiff_t>(functions.size()));
  for (size_t i = 0; i < functions.size(); ++i) {
    context(static_cast<unsigned>(i)).spawn("test", [finished, &function = functions[i]] {
      function();
      finished->count_down();
    });
  }
  finished->wait();
}

absl::Status co_read(Backend& backend, uint64_t offset, std::span<std::byte> data) {
  BackendRequest request(backend, "read", offset, data.size());
  if (!request.status().ok()) return request.status();
  const iovec segment = iovec_of(data);
  return co_preadv(request.root(), offset, IoVector(segment));
}

absl::Status co_write(Backend& backend, uint64_t offset, std::span<const std::byte> data,
                      RequestFlags flags) {
  BackendRequest request(backend, "write", offset, data.size());
  if (!request.status().ok()) return request.status();
  const iovec segment = iovec_of(data);
  return co_pwritev(request.root(), offset, IoVector(segment), flags);
}

}  // namespace penstock
