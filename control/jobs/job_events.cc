// SPDX-License-Identifier: Apache-2.0
#include "control/jobs/job_events.h"

#include <utility>

#include "base/status.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

Json block_job_facts(const Job& job) GLOBAL_STATE_CODE;
Json block_job_facts(const Job& job) {
  const JobProgress progress = job.progress();
  return {{"type", job.type()},
          {"device", job.id()},
          {"len", progress.total},
          {"offset", progress.current},
          {"speed", job.speed()}};
}

}  // namespace

void emit_job_event(EventHub& events, const Job& job, const JobEvent& event) {
  if (event.kind == JobEvent::Kind::kStatus) {
    events.emit("JOB_STATUS_CHANGE", {{"id", job.id()}, {"status", job_status_name(job.status())}});
    return;
  }
  if (!job.is_block_job()) return;
  switch (event.kind) {
    case JobEvent::Kind::kStatus:
      return;
    case JobEvent::Kind::kReady:
      events.emit("BLOCK_JOB_READY", block_job_facts(job));
      return;
    case JobEvent::Kind::kPending:
      events.emit("BLOCK_JOB_PENDING", {{"type", job.type()}, {"id", job.id()}});
      return;
    case JobEvent::Kind::kError:
      events.emit("BLOCK_JOB_ERROR", {{"device", job.id()},
                                      {"operation", event.is_read ? "read" : "write"},
                                      {"action", job_error_action_name(event.action)}});
      return;
    case JobEvent::Kind::kCompleted: {
      Json facts = block_job_facts(job);
      if (!job.result().ok()) facts["error"] = status_text(job.result());
      events.emit("BLOCK_JOB_COMPLETED", std::move(facts));
      return;
    }
    case JobEvent::Kind::kCancelled:
      events.emit("BLOCK_JOB_CANCELLED", block_job_facts(job));
      return;
  }
}

}  // namespace penstock
