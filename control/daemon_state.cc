// SPDX-License-Identifier: Apache-2.0
#include "control/daemon_state.h"

#include <cerrno>
#include <chrono>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "block/graph/drain_holder.h"
#include "control/jobs/job_events.h"
#include "drivers/register_drivers.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

// How long users of the files may keep the mounts busy before these are detached under them.
constexpr std::chrono::seconds kBusyGrace{2};
// How long requests may take to end after that.
constexpr std::chrono::seconds kRequestLimit{10};
// A flush of many dirty bytes to slow storage is work, not a hang.
constexpr std::chrono::seconds kFlushLimit{300};

bool only_flushes_in_flight() {
  bool flushes = false;
  bool others = false;
  Coroutine::for_each([&](Coroutine& coroutine) {
    const char* operation = coroutine.tag().operation.load(std::memory_order_relaxed);
    if (operation == nullptr) return;
    (std::string_view(operation) == "flush" ? flushes : others) = true;
  });
  return flushes && !others;
}

// Named nodes whose users have gone. Closing one may free the next.
absl::Status co_close_nodes(Graph& graph) CONTROL_COROUTINE_CODE;
absl::Status co_close_nodes(Graph& graph) {
  absl::Status first;
  for (;;) {
    const Node* unused = nullptr;
    for (const Node* node : graph.nodes()) {
      if (node->parents.empty()) unused = node;
    }
    if (unused == nullptr) return first;
    const std::string name = unused->name;
    first.Update(graph.co_close(name));
    // One that cannot be closed stays, and so does what it uses.
    if (graph.find(name) != nullptr) return first;
  }
}

}  // namespace

Daemon::Daemon(HostServices& services, Engine engine, ImageNames* names)
    : host(services),
      graph(drivers, services, names),
      openings(graph),
      node_events(graph, events),
      iothreads(engine),
      exports(events),
      jobs([this](const Job& job, const JobEvent& event) {
        assert_control_thread();
        emit_job_event(events, job, event);
      }) {
  register_drivers(drivers);
}

Daemon::~Daemon() = default;

absl::Status Daemon::co_shut_down() {
  absl::Status status = co_end_exports();
  if (abandoned_) return status;
  if (!openings.co_wait_none(AioContext::current()->now() + kRequestLimit)) {
    abandoned_ = true;
    status.Update(errno_message(ETIMEDOUT, "The storage of node " + openings.names() +
                                               ", which was being opened, does not answer."));
    return status;
  }
  status.Update(co_close_nodes(graph));
  if (!graph.nodes().empty()) {
    abandoned_ = true;
    if (!status.ok()) return status;
    return errno_message(EBUSY, "Node '" + graph.nodes().front()->name + "' is still in use.");
  }
  for (const IoThreadRegistry::Facts& thread : iothreads.list()) {
    const absl::Status removed = iothreads.co_remove(thread.id);
    if (!removed.ok()) abandoned_ = true;
    status.Update(removed);
  }
  return status;
}

absl::Status Daemon::co_end_jobs() {
  jobs.end_all();
  if (jobs.co_wait_empty(AioContext::current()->now() + kRequestLimit)) return absl::OkStatus();
  abandoned_ = true;
  return errno_message(ETIMEDOUT, "Job '" + jobs.list().front()->id() +
                                      "' could not be ended in time: " +
                                      describe_holder(graph, graph.backends(), graph.nodes()));
}

absl::Status Daemon::co_end_exports() {
  openings.cancel_all();
  // A job may stand between an export and its node.
  absl::Status status = co_end_jobs();
  exports.end_all(kBusyGrace);
  const Nanoseconds start = AioContext::current()->now();
  const bool ended = exports.co_wait_empty(start + kBusyGrace + kRequestLimit) ||
                     (only_flushes_in_flight() && exports.co_wait_empty(start + kFlushLimit));
  if (ended) {
    node_events.co_stop();
    status.Update(exports.first_failure());
    return status;
  }
  abandoned_ = true;
  status.Update(errno_message(ETIMEDOUT,
                              "Export '" + exports.list().front().id +
                                  "' could not be ended in time, its last writes may be missing: " +
                                  describe_holder(graph, graph.backends(), graph.nodes())));
  return status;
}

}  // namespace penstock
