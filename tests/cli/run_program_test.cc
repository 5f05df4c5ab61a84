// SPDX-License-Identifier: Apache-2.0
#include "control/run_program.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/status.h"

namespace penstock {
namespace {

using std::chrono_literals::operator""ms;

TEST(RunProgram, KeepsWhatItSaysAndHowItEnded) {
  const auto result = run_program({"sh", "-c", "echo out; echo err >&2; exit 3"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "out\nerr");
  EXPECT_EQ(result->exit_status, 3);
  EXPECT_EQ(run_program({"sh", "-c", "kill -9 $$"})->exit_status, 128 + 9);
}

TEST(RunProgram, AProgramThatIsNotThereIsAnError) {
  EXPECT_EQ(status_errno(run_program({"/nonexistent/program"}).status()), ENOENT);
}

TEST(RunProgram, ASlowProgramIsEnded) {
  const auto start = std::chrono::steady_clock::now();
  const auto result = run_program({"sleep", "1000"}, {.output = 100, .time = 20ms});
  EXPECT_EQ(status_errno(result.status()), ETIMEDOUT);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(100));
}

TEST(RunProgram, ATalkativeProgramIsEnded) {
  const auto result = run_program({"yes"}, {.output = 100000, .time = std::nullopt});
  EXPECT_EQ(status_errno(result.status()), EFBIG);
  const auto fits = run_program({"printf", "12345"}, {.output = 5, .time = std::nullopt});
  ASSERT_TRUE(fits.ok()) << fits.status();
  EXPECT_EQ(fits->output, "12345");
}

}  // namespace
}  // namespace penstock
