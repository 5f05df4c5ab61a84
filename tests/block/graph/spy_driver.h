// SPDX-License-Identifier: Apache-2.0
// Drivers for tests of the graph: they count what reaches them, and misbehave when told to.
//
// Storage is kBlocks blocks of 512 bytes, of which each holds one number. Requests are whole
// blocks. Driver names: "spy" (a protocol), "spy-format" and "spy-filter" (over a "file").
//
// Ownership: a SpyWorld outlives every node; a Spy belongs to it, one for each node name.
// Threads: numbers from any thread; hooks are set while nothing runs.
// Errors: what the hooks answer.
// Invariants: while `quiet` is raised no request may reach the driver; violations are counted.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "block/graph/driver_registry.h"
#include "block/node/driver.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

struct Spy {
  static constexpr unsigned kBlocks = 256;
  static constexpr uint64_t kBlockSize = 512;

  std::atomic<int> live{0};
  std::atomic<uint64_t> reads{0};
  std::atomic<uint64_t> writes{0};
  std::atomic<uint64_t> flushes{0};
  std::atomic<uint64_t> inactivations{0};
  std::atomic<int> drained{0};  // drain_begin minus drain_end
  std::atomic<uint64_t> drain_begins{0};
  std::atomic<int> quiet{0};
  std::atomic<uint64_t> violations{0};
  std::array<std::atomic<uint64_t>, kBlocks> current{};
  std::array<std::atomic<uint64_t>, kBlocks> durable{};

  std::function<absl::Status()> on_load;
  std::function<absl::Status()> on_request;  // in the request's coroutine; may yield
  std::function<absl::Status(const Permissions&)> on_prepare;
  std::function<absl::Status()> on_inactivate;
  bool keeps_its_storage = false;           // as a format does: another "file" is refused
  std::function<absl::Status()> on_reopen;  // may yield; each reopening makes a new driver
  std::function<Permissions(const Child&, const Permissions&)> child_permissions;
  std::map<std::string, ChildOptions> wanted_children;

  // The control thread's.
  Permissions permissions{0, kAllPermissions};  // committed
  int prepared = 0;                             // prepared, neither committed nor rolled back
};

class SpyWorld {
 public:
  // Made at its first mention.
  Spy& of(const std::string& node_name);
  // Sum over all.
  int live();
  uint64_t violations();
  void register_drivers(DriverRegistry& registry);

 private:
  ThreadMutex mutex_{"SpyWorld"};
  std::map<std::string, std::unique_ptr<Spy>> spies_ GUARDED_BY(mutex_);
};

}  // namespace penstock
