// SPDX-License-Identifier: Apache-2.0
// A small graph for benchmarks: raw over file or null, with a backend, on its own control thread.
//
// Ownership: owns threads, graph and backend; takes them down in its destructor.
// Threads: made and destroyed by a thread outside all loops (the synchronous bridge).
// Errors: a benchmark that cannot be set up prints the reason and ends the process.
// Invariants: none.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "block/backend/backend.h"
#include "block/graph/graph.h"
#include "control/local_host.h"
#include "drivers/register_drivers.h"
#include "iothreads/control_thread.h"
#include "iothreads/iothread.h"
#include "iothreads/run_sync.h"
#include "iothreads/thread_pool.h"

namespace penstock {

template <typename T>
T must(absl::StatusOr<T> result) {
  if (result.ok()) return std::move(*result);
  std::fprintf(stderr, "bench: %s\n", status_text(result.status()).c_str());
  std::exit(1);
}

class BenchGraph {
 public:
  // An empty `file_name` means the null driver.
  BenchGraph(unsigned threads, const std::string& file_name, Engine engine = Engine::kAuto) {
    register_drivers(drivers_);
    control_ = must(IoThread::start("control", engine));
    scope_ = std::make_unique<ControlThreadScope>(control_->context());
    for (unsigned i = 0; i < threads; ++i) io_.push_back(must(IoThread::start("io", engine)));
    NodeOptions file;
    file.driver = file_name.empty() ? "null-co" : "file";
    file.read_only = false;
    if (file_name.empty()) {
      file.driver_options["size"] = uint64_t{1} << 30;
    } else {
      file.driver_options["filename"] = file_name;
    }
    NodeOptions raw;
    raw.driver = "raw";
    raw.node_name = "disk";
    raw.read_only = false;
    raw.children["file"].inline_options = std::make_shared<NodeOptions>(file);
    run_sync(control_->context(), [&] {
      assert_in_coroutine();
      assert_control_thread();
      graph_ = std::make_unique<Graph>(drivers_, host_);
      Node* const node = must(graph_->co_open(raw));
      backend_ = must(
          graph_->co_attach_backend("bench", *node, {kConsistentRead | kWrite, kAllPermissions}));
    });
  }

  ~BenchGraph() {
    run_sync(control_->context(), [&] {
      assert_in_coroutine();
      assert_control_thread();
      if (!graph_->co_detach_backend(*backend_).ok()) std::abort();
      backend_.reset();
      if (!graph_->co_close("disk").ok()) std::abort();
      graph_.reset();
    });
    io_.clear();
    scope_.reset();
  }

  // As if somebody had just asked for statistics.
  void measure_time() {
    run_sync(control_->context(), [&] {
      assert_control_thread();
      backend_->statistics.measure(control_context().now());
    });
  }

  Backend& backend() { return *backend_; }
  AioContext& context(unsigned index) { return io_[index]->context(); }
  unsigned threads() const { return static_cast<unsigned>(io_.size()); }

 private:
  DriverRegistry drivers_;
  LocalHost host_{ThreadPool::shared()};
  std::unique_ptr<IoThread> control_;
  std::unique_ptr<ControlThreadScope> scope_;
  std::vector<std::unique_ptr<IoThread>> io_;
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<Backend> backend_;
};

}  // namespace penstock
