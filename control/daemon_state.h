// SPDX-License-Identifier: Apache-2.0
// Everything that control commands act on: one graph, its threads, its exports, its jobs.
//
// `penstock mount` makes one and puts its image in; `penstock daemon` starts with an empty one.
//
// Ownership: owns its parts; co_shut_down() has returned before it is destroyed.
// Threads: the control thread.
// Errors: of shutting down: the first failure, such as a failed flush.
// Invariants: parts are taken down in this order: openings, jobs, exports, nodes, threads.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/host_services.h"
#include "base/thread_roles.h"
#include "block/graph/driver_registry.h"
#include "block/graph/graph.h"
#include "block/job/job_registry.h"
#include "control/blockdev_openings.h"
#include "control/event_hub.h"
#include "control/export_registry.h"
#include "control/iothread_registry.h"
#include "control/node_events.h"
#include "iothreads/co_event.h"
#include "iothreads/poller_factory.h"

namespace penstock {

class Daemon {
 public:
  // `names` decides about files that images name; nullptr: none is followed.
  Daemon(HostServices& host, Engine engine, ImageNames* names);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon();

  DriverRegistry drivers;
  HostServices& host;
  Graph graph;
  BlockdevOpenings openings;
  EventHub events;
  // The listener of every backend that serves users.
  NodeEvents node_events;
  IoThreadRegistry iothreads;
  ExportRegistry exports;
  JobRegistry jobs;

  // Where commands are taken, for those who look for it; empty: nowhere, or not yet.
  std::string socket;
  // Somebody asked for the end (command "quit").
  CoEvent quit;

  // Cancels every opening and job, unmounts every export, and lets no new one start; the first
  // half of co_shut_down(), to tell clients meanwhile. Files in use get two seconds, then ENOTCONN.
  absl::Status co_end_exports() CONTROL_COROUTINE_CODE;
  // Ends every export, closes every node, ends every thread. Bounded in time.
  absl::Status co_shut_down() CONTROL_COROUTINE_CODE;
  // Something hangs or is still in use: nothing may be destroyed, the process must end.
  bool abandoned() const { return abandoned_; }

 private:
  absl::Status co_end_jobs() CONTROL_COROUTINE_CODE;

  bool abandoned_ = false;
};

}  // namespace penstock
