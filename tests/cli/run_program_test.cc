// SPDX-License-Identifier: Apache-2.0
#include "control/run_program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

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

TEST(RunProgram, AProgramThatIsSilentButStaysIsEnded) {
  const auto result =
      run_program({"sh", "-c", "exec >&- 2>&-; sleep 1000"}, {.output = 100, .time = 50ms});
  EXPECT_EQ(status_errno(result.status()), ETIMEDOUT);
}

TEST(RunProgram, AStopEndsWhatRunsAndWhatWouldRun) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd stop(ends[0]);
  const UniqueFd stopper(ends[1]);
  const ProgramLimits limits{.output = 100, .time = std::nullopt, .stop_fd = stop.get()};
  EXPECT_EQ(run_program({"echo", "not yet"}, limits)->output, "not yet");
  // The program itself says stop, once it runs.
  const std::string own_end =
      "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(stopper.get());
  const auto stopped = run_program({"sh", "-c", "echo > \"$0\"; sleep 1000", own_end}, limits);
  EXPECT_EQ(status_errno(stopped.status()), ECANCELED);
  EXPECT_EQ(status_errno(run_program({"echo", "too late"}, limits).status()), ECANCELED);
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
