// SPDX-License-Identifier: Apache-2.0
#include "block/job/job_error.h"

#include <cerrno>

namespace penstock {

std::optional<JobOnError> parse_job_on_error(std::string_view word) {
  if (word == "report") return JobOnError::kReport;
  if (word == "ignore") return JobOnError::kIgnore;
  if (word == "stop") return JobOnError::kStop;
  if (word == "enospc" || word == "auto") return JobOnError::kEnospc;
  return std::nullopt;
}

JobErrorAction action_on(JobOnError policy, int error_number) {
  switch (policy) {
    case JobOnError::kReport:
      return JobErrorAction::kReport;
    case JobOnError::kIgnore:
      return JobErrorAction::kIgnore;
    case JobOnError::kStop:
      return JobErrorAction::kStop;
    case JobOnError::kEnospc:
      return error_number == ENOSPC ? JobErrorAction::kStop : JobErrorAction::kReport;
  }
  return JobErrorAction::kReport;
}

const char* job_error_action_name(JobErrorAction action) {
  switch (action) {
    case JobErrorAction::kReport:
      return "report";
    case JobErrorAction::kIgnore:
      return "ignore";
    case JobErrorAction::kStop:
      return "stop";
  }
  return "report";
}

}  // namespace penstock
