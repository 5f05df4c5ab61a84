// SPDX-License-Identifier: Apache-2.0
#include "tests/block/graph/graph_fixture.h"

#include <cerrno>
#include <cstring>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/io/child_io.h"

namespace penstock {

NodeOptions spy_options(const std::string& name) {
  NodeOptions options;
  options.driver = "spy";
  options.node_name = name;
  options.read_only = false;
  return options;
}

NodeOptions spy_above(const std::string& driver, const std::string& name, const std::string& file) {
  NodeOptions options = spy_options(name);
  options.driver = driver;
  options.children["file"].reference = file;
  return options;
}

NodeOptions spy_above(const std::string& driver, const std::string& name, NodeOptions file) {
  NodeOptions options = spy_options(name);
  options.driver = driver;
  options.children["file"].inline_options = std::make_shared<NodeOptions>(std::move(file));
  return options;
}

absl::Status co_write_block(Backend& backend, unsigned block, uint64_t value) {
  const uint64_t offset = block * Spy::kBlockSize;
  BackendRequest request(backend, "write", offset, Spy::kBlockSize);
  if (!request.status().ok()) return request.status();
  std::array<std::byte, Spy::kBlockSize> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(value));
  const iovec memory = iovec_of(std::span<std::byte>(bytes));
  return co_pwritev(request.root(), offset, IoVector(memory));
}

absl::StatusOr<uint64_t> co_read_block(Backend& backend, unsigned block) {
  const uint64_t offset = block * Spy::kBlockSize;
  BackendRequest request(backend, "read", offset, Spy::kBlockSize);
  if (!request.status().ok()) return request.status();
  std::array<std::byte, Spy::kBlockSize> bytes{};
  const iovec memory = iovec_of(std::span<std::byte>(bytes));
  absl::Status status = co_preadv(request.root(), offset, IoVector(memory));
  if (!status.ok()) return status;
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

absl::Status co_flush_all(Backend& backend) {
  BackendRequest request(backend, "flush", 0, 0);
  if (!request.status().ok()) return request.status();
  return co_flush(request.root());
}

absl::StatusOr<UniqueFd> NoHost::co_open(const std::string& path, int /*flags*/) {
  return errno_status(ENOSYS, path);
}
absl::StatusOr<UniqueFd> NoHost::co_open_resolved(const std::string& path, int /*flags*/) {
  return errno_status(ENOSYS, path);
}
absl::StatusOr<UniqueFd> NoHost::co_mount(const MountRequest& request) {
  return errno_status(ENOSYS, request.mount_point);
}
absl::Status NoHost::co_unmount(const std::string& mount_point, bool /*lazy*/) {
  return errno_status(ENOSYS, mount_point);
}
absl::StatusOr<UniqueFd> NoHost::co_clone_session(int /*session_fd*/) {
  return errno_status(ENOSYS, "clone");
}

GraphFixture::GraphFixture(unsigned io_threads) {
  spies_.register_drivers(registry_);
  control_ = *IoThread::start("control");
  scope_ = std::make_unique<ControlThreadScope>(control_->context());
  for (unsigned i = 0; i < io_threads; ++i) {
    io_threads_.push_back(*IoThread::start("io" + std::to_string(i)));
  }
  graph_ = std::make_unique<Graph>(registry_, host_);
}

GraphFixture::~GraphFixture() {
  // Whatever a test left: nodes without users first.
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    bool again = true;
    while (again) {
      again = false;
      for (Node* node : graph_->nodes()) {
        if (!node->parents.empty()) continue;
        again = true;
        EXPECT_OK(graph_->co_close(node->name));
        break;
      }
    }
  });
  EXPECT_EQ(spies_.live(), 0) << "drivers were left behind";
  EXPECT_EQ(spies_.violations(), 0u) << "requests reached drained drivers";
  graph_.reset();
  io_threads_.clear();
  scope_.reset();
  control_.reset();
}

absl::Status GraphFixture::open(const NodeOptions& options) {
  return on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    return graph_->co_open(options).status();
  });
}

absl::Status GraphFixture::close(const std::string& name) {
  return on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    return graph_->co_close(name);
  });
}

absl::StatusOr<std::unique_ptr<Backend>> GraphFixture::attach(const std::string& name,
                                                              const std::string& node,
                                                              Permissions permissions) {
  return on_control([&]() -> absl::StatusOr<std::unique_ptr<Backend>> {
    assert_in_coroutine();
    assert_control_thread();
    Node* found = graph_->find(node);
    if (found == nullptr) return errno_status(ENOENT, node);
    return graph_->co_attach_backend(name, *found, permissions);
  });
}

absl::Status GraphFixture::detach(std::unique_ptr<Backend>& backend) {
  absl::Status status = on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    return graph_->co_detach_backend(*backend);
  });
  if (status.ok()) backend.reset();
  return status;
}

absl::Status GraphFixture::replace(const std::string& parent, const std::string& child,
                                   const std::string& target) {
  return on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    return graph_->co_replace_child(parent, child, target);
  });
}

absl::Status GraphFixture::insert_filter(const NodeOptions& options, const std::string& node) {
  return on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    return graph_->co_insert_filter(options, node).status();
  });
}

absl::Status GraphFixture::remove_filter(const std::string& filter) {
  return on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    return graph_->co_remove_filter(filter);
  });
}

std::string GraphFixture::picture() {
  return on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    std::string result;
    for (const Node* node : graph_->nodes()) {
      result += node->name + " ";
      for (const auto& child : node->children) {
        result += node->name + "." + child->name + "=" + child->node->name + "(" +
                  std::to_string(child->taken) + "/" + std::to_string(child->shared) + ") ";
      }
    }
    for (const Backend* backend : graph_->backends()) {
      result += backend->name + "=" + backend->root.node->name + " ";
    }
    return result;
  });
}

int GraphFixture::quiesce_depth(Backend& backend) {
  return on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    return backend.gate.quiesce_depth();
  });
}

Permissions GraphFixture::edge_permissions(const std::string& node, const std::string& child) {
  return on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    return graph_->find(node)->find_child(child)->permissions();
  });
}

testing::AssertionResult fails_with(const absl::Status& status, int error_number,
                                    const std::vector<std::string>& texts) {
  if (status.ok()) return testing::AssertionFailure() << "it was successful";
  if (status_errno(status) != error_number) {
    return testing::AssertionFailure() << "errno " << status_errno(status) << ": " << status;
  }
  for (const std::string& text : texts) {
    if (status_text(status).find(text) == std::string::npos) {
      return testing::AssertionFailure() << "'" << text << "' is not in: " << status;
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace penstock
