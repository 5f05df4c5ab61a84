// SPDX-License-Identifier: Apache-2.0
// A whole block layer on one thread, with images in memory: each run of it is the same.
//
// Ownership: owns graph, contexts and drivers; refers to the bytes of its files.
// Threads: one thread, which plays the control thread and an I/O thread in turn. Only decompression
//   uses the process's thread pool.
// Errors: of opening. A driver that keeps running for ever ends the process with a message.
// Invariants: names inside images mean files in memory ("backing", "data"), whatever they say: no
//   file of the machine is ever opened. Nothing is open between calls.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "block/graph/driver_registry.h"
#include "block/graph/graph.h"
#include "block/node/options.h"
#include "fuzz/memory_file.h"
#include "iothreads/control_thread.h"
#include "iothreads/fake_world.h"

namespace penstock {

class ImageWorld {
 public:
  ImageWorld();
  ImageWorld(const ImageWorld&) = delete;
  ImageWorld& operator=(const ImageWorld&) = delete;
  ~ImageWorld();

  // The files that "memory" nodes find; changed between calls of with_image(). An image that names
  // a backing file gets "backing", as qcow2 or else raw, one that names a data file "data".
  MemoryFiles& files() { return files_; }
  // Chooses the order in which coroutines run.
  void seed(uint64_t seed) { world_.random().seed(seed); }

  // Opens what `options` say, calls `use` in a coroutine of the I/O context, and closes it again.
  // The answer is opening's.
  absl::Status with_image(const NodeOptions& options, const std::function<void(Backend&)>& use);

  // Runs each function in a coroutine of its own on the I/O context, and waits for all.
  void co_run_all(const std::vector<std::function<void()>>& functions) COROUTINE_CODE;

 private:
  class RefusingHost;
  class NamesInMemory;

  absl::Status co_with_image(const NodeOptions& options,
                             const std::function<void(Backend&)>& use) CONTROL_COROUTINE_CODE;
  void run(const std::function<void()>& function);

  MemoryFiles files_;
  DriverRegistry registry_;
  FakeWorld world_;
  ControlThreadScope control_scope_;
  const std::unique_ptr<RefusingHost> host_;
  const std::unique_ptr<NamesInMemory> names_;
  std::unique_ptr<Graph> graph_;
};

// Reads through the backend's gate, inside a coroutine.
absl::Status co_read_image(Backend& backend, uint64_t offset,
                           std::span<std::byte> data) COROUTINE_CODE;

}  // namespace penstock
