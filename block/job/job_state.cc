// SPDX-License-Identifier: Apache-2.0
#include "block/job/job_state.h"

namespace penstock {
namespace {

constexpr const char* kStatusNames[kJobStatuses] = {
    "created", "running", "paused",   "ready",     "standby",
    "waiting", "pending", "aborting", "concluded", "null",
};
constexpr const char* kVerbNames[kJobVerbs] = {
    "cancel", "pause", "resume", "set-speed", "complete", "finalize", "dismiss",
};

constexpr unsigned bit(JobStatus status) { return 1u << static_cast<unsigned>(status); }

unsigned followers_of(JobStatus status) {
  using enum JobStatus;
  switch (status) {
    case kCreated:
      return bit(kRunning) | bit(kAborting) | bit(kNull);
    case kRunning:
      return bit(kPaused) | bit(kReady) | bit(kWaiting) | bit(kAborting);
    case kPaused:
      return bit(kRunning);
    case kReady:
      return bit(kStandby) | bit(kWaiting) | bit(kAborting);
    case kStandby:
      return bit(kReady);
    case kWaiting:
      return bit(kPending) | bit(kAborting);
    case kPending:
    case kAborting:
      return bit(kAborting) | bit(kConcluded);
    case kConcluded:
      return bit(kNull);
    case kNull:
      return 0;
  }
  return 0;
}

unsigned takers_of(JobVerb verb) {
  using enum JobStatus;
  constexpr unsigned kAtWork =
      bit(kCreated) | bit(kRunning) | bit(kPaused) | bit(kReady) | bit(kStandby);
  switch (verb) {
    case JobVerb::kCancel:
      return kAtWork | bit(kWaiting) | bit(kPending);
    case JobVerb::kPause:
    case JobVerb::kResume:
    case JobVerb::kSetSpeed:
      return kAtWork;
    case JobVerb::kComplete:
      return bit(kReady);
    case JobVerb::kFinalize:
      return bit(kPending);
    case JobVerb::kDismiss:
      return bit(kConcluded);
  }
  return 0;
}

}  // namespace

const char* job_status_name(JobStatus status) {
  return kStatusNames[static_cast<unsigned>(status)];
}

const char* job_verb_name(JobVerb verb) { return kVerbNames[static_cast<unsigned>(verb)]; }

bool job_may_become(JobStatus from, JobStatus to) { return (followers_of(from) & bit(to)) != 0; }

bool job_takes(JobStatus status, JobVerb verb) { return (takers_of(verb) & bit(status)) != 0; }

}  // namespace penstock
