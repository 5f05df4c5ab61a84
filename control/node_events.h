// SPDX-License-Identifier: Apache-2.0
// Tells clients of requests that fail and of nodes that change their size: the events
// BLOCK_IO_ERROR and X_PENSTOCK_BLOCK_RESIZED.
//
// Failures are told at once, but at most four in a second of one node. Of those beyond, the last is
// told when the second is over, with the number of the others in "x-penstock-left-out". Growth by
// writes is told at most four times a second.
//
// Ownership: refers to the graph and the hub, which outlive it. co_stop() has returned before it is
//   destroyed.
// Threads: BackendListener's functions in any request; the rest on the control thread.
// Errors: none.
// Invariants: a request waits for nobody; while its failure is only counted, it wakes nobody
//   either. After co_stop() nothing more is told of requests.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/backend/backend_listener.h"
#include "block/graph/graph.h"
#include "control/event_hub.h"
#include "iothreads/co_sleep.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class NodeEvents final : public BackendListener {
 public:
  // Listens to the graph's changes of sizes. Backends get it as their listener.
  NodeEvents(Graph& graph, EventHub& hub);
  NodeEvents(const NodeEvents&) = delete;
  NodeEvents& operator=(const NodeEvents&) = delete;

  void request_failed(const Backend& backend, RequestKind kind,
                      const absl::Status& outcome) override IO_CODE;
  void size_changed() override IO_CODE;

  // Tells what there is to tell, and ends its work. May be called again.
  void co_stop() CONTROL_COROUTINE_CODE;

 private:
  struct Failure {
    RequestKind kind = RequestKind::kRead;
    bool no_space = false;
    std::string reason;
  };
  // The failures of one node in the present second.
  struct Failures {
    unsigned told = 0;            // or about to be
    std::vector<Failure> untold;  // to be told at once
    uint64_t left_out = 0;
    Failure last;  // of those left out
  };

  void start_unless_running(bool running);
  void co_tell_for_a_while() CONTROL_COROUTINE_CODE;
  void tell() GLOBAL_STATE_CODE;
  bool begin_second() GLOBAL_STATE_CODE;
  void emit_failure(const std::string& node, const Failure& failure,
                    uint64_t left_out) GLOBAL_STATE_CODE;

  Graph& graph_;
  EventHub& hub_;
  std::atomic<bool> sizes_due_{false};

  ThreadMutex mutex_{"NodeEvents"};
  std::map<std::string, Failures> failures_ GUARDED_BY(mutex_);
  bool running_ GUARDED_BY(mutex_) = false;  // a coroutine tells
  bool stopped_ GUARDED_BY(mutex_) = false;
  CoSleep wait_;   // of that coroutine
  CoEvent ended_;  // it has ended, after stopped_
};

}  // namespace penstock
