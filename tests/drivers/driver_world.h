// SPDX-License-Identifier: Apache-2.0
// A graph with all drivers, its control thread, and IoThreads, for tests of drivers.
//
// Ownership: owns all of them. Backends and nodes that are left are detached and closed at the end.
// Threads: the test's own thread; functions block.
// Errors: as the graph's.
// Invariants: none.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/host_services.h"
#include "base/io_vector.h"
#include "block/backend/backend.h"
#include "block/backend/backend_request.h"
#include "block/graph/driver_registry.h"
#include "block/graph/graph.h"
#include "block/node/options.h"
#include "iothreads/control_thread.h"
#include "iothreads/iothread.h"
#include "iothreads/run_sync.h"
#include "nlohmann/json.hpp"
#include "tests/drivers/test_image_names.h"

namespace penstock {

// Opens files in this process; mounts nothing.
class TestHost final : public HostServices {
 public:
  absl::StatusOr<UniqueFd> co_open(const std::string& path, int flags) COROUTINE_CODE override;
  absl::StatusOr<UniqueFd> co_open_resolved(const std::string& path,
                                            int flags) COROUTINE_CODE override;
  absl::StatusOr<UniqueFd> co_create(const std::string& path, mode_t mode) COROUTINE_CODE override;
  absl::StatusOr<UniqueFd> co_mount(const MountRequest& request) COROUTINE_CODE override;
  absl::Status co_unmount(const std::string& mount_point, bool lazy) COROUTINE_CODE override;
  absl::StatusOr<UniqueFd> co_clone_session(int session_fd) COROUTINE_CODE override;
};

// blockdev-add's form: {"driver": "raw", "read-only": false, "file": {...}}.
NodeOptions options_from_json(nlohmann::json json);

inline constexpr Permissions kReader = {kConsistentRead, kConsistentRead | kWriteUnchanged};
inline constexpr Permissions kWriter = {kAllPermissions, kConsistentRead};

class DriverWorld {
 public:
  // Names inside images are not followed, or all are.
  enum class Names { kRefused, kFollowed };

  explicit DriverWorld(unsigned iothreads = 1, Engine engine = Engine::kAuto,
                       Names names = Names::kRefused);
  DriverWorld(const DriverWorld&) = delete;
  DriverWorld& operator=(const DriverWorld&) = delete;
  ~DriverWorld();

  absl::StatusOr<Node*> open(const nlohmann::json& json);
  absl::StatusOr<Backend*> attach(Node& node, Permissions permissions);
  // Opens a node that must open, and attaches a backend that must attach.
  Backend& serve(const nlohmann::json& json, Permissions permissions = kWriter);
  Node* find(const std::string& name);
  void detach(Backend& backend);
  absl::Status close(const std::string& node_name);

  // One request from a coroutine of an IoThread.
  absl::Status read(Backend& backend, uint64_t offset, std::span<std::byte> data);
  std::vector<std::byte> read(Backend& backend, uint64_t offset, uint64_t length);
  absl::Status write(Backend& backend, uint64_t offset, std::span<const std::byte> data,
                     RequestFlags flags = kNoFlags);
  absl::Status write_zeroes(Backend& backend, ByteRange range, RequestFlags flags = kNoFlags);
  absl::Status discard(Backend& backend, ByteRange range);
  absl::Status flush(Backend& backend);
  absl::Status resize(Backend& backend, uint64_t size);
  absl::StatusOr<BlockStatus> status(Backend& backend, ByteRange range);

  const DriverRegistry& drivers() const { return registry_; }
  // For drivers of the test's own, before they are opened.
  DriverRegistry& drivers() { return registry_; }
  Graph& graph() { return *graph_; }
  unsigned iothreads() const { return static_cast<unsigned>(iothreads_.size()); }
  AioContext& context(unsigned index) { return iothreads_[index % iothreads_.size()]->context(); }
  // Runs each in a coroutine of its own, spread over the IoThreads, and waits for all.
  void run_all(const std::vector<std::function<void()>>& functions);

 private:
  TestHost host_;
  DriverRegistry registry_;
  TestImageNames names_{registry_};
  std::unique_ptr<IoThread> control_;
  std::unique_ptr<ControlThreadScope> control_scope_;
  std::unique_ptr<Graph> graph_;
  std::vector<std::unique_ptr<IoThread>> iothreads_;
  std::vector<std::unique_ptr<Backend>> backends_;
};

// The requests themselves, for use inside a coroutine.
absl::Status co_read(Backend& backend, uint64_t offset, std::span<std::byte> data) COROUTINE_CODE;
absl::Status co_write(Backend& backend, uint64_t offset, std::span<const std::byte> data,
                      RequestFlags flags = kNoFlags) COROUTINE_CODE;

}  // namespace penstock
