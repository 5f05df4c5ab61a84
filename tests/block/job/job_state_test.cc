// SPDX-License-Identifier: Apache-2.0
#include "block/job/job_state.h"

#include <cerrno>
#include <optional>
#include <string>

#include "block/job/job_error.h"
#include "gtest/gtest.h"

namespace penstock {
namespace {

// The field's table of transitions. C created, R running, P paused, Y ready, S standby, W waiting,
// D pending, X aborting, E concluded, N null.
constexpr char kOrder[] = "CRPYSWDXEN";
constexpr const char* kFollowers[kJobStatuses] = {
    "RXN", "PYWX", "R", "SWX", "Y", "DX", "XE", "XE", "N", "",
};

TEST(JobStateTest, StatesFollowEachOtherAsInTheFieldsTable) {
  for (unsigned from = 0; from < kJobStatuses; ++from) {
    const std::string followers = kFollowers[from];
    for (unsigned to = 0; to < kJobStatuses; ++to) {
      EXPECT_EQ(job_may_become(static_cast<JobStatus>(from), static_cast<JobStatus>(to)),
                followers.find(kOrder[to]) != std::string::npos)
          << kOrder[from] << " to " << kOrder[to];
    }
  }
}

TEST(JobStateTest, NamesAreTheFields) {
  EXPECT_STREQ(job_status_name(JobStatus::kCreated), "created");
  EXPECT_STREQ(job_status_name(JobStatus::kStandby), "standby");
  EXPECT_STREQ(job_status_name(JobStatus::kNull), "null");
  EXPECT_STREQ(job_verb_name(JobVerb::kSetSpeed), "set-speed");
  EXPECT_STREQ(job_verb_name(JobVerb::kDismiss), "dismiss");
}

TEST(JobStateTest, AnErrorIsReportedIgnoredOrStopsTheJob) {
  EXPECT_EQ(action_on(JobOnError::kReport, ENOSPC), JobErrorAction::kReport);
  EXPECT_EQ(action_on(JobOnError::kIgnore, EIO), JobErrorAction::kIgnore);
  EXPECT_EQ(action_on(JobOnError::kStop, EIO), JobErrorAction::kStop);
  EXPECT_EQ(action_on(JobOnError::kEnospc, EIO), JobErrorAction::kReport);
  EXPECT_EQ(action_on(JobOnError::kEnospc, ENOSPC), JobErrorAction::kStop);
  EXPECT_EQ(parse_job_on_error("auto"), JobOnError::kEnospc);
  EXPECT_EQ(parse_job_on_error("Stop"), std::nullopt);
}

}  // namespace
}  // namespace penstock
