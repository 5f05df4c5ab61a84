// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>

#include "iothreads/uring_poller.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

TEST(Engine, IsParsedFromItsWord) {
  EXPECT_EQ(parse_engine("auto"), Engine::kAuto);
  EXPECT_EQ(parse_engine("io_uring"), Engine::kIoUring);
  EXPECT_EQ(parse_engine("threads"), Engine::kThreads);
  EXPECT_EQ(parse_engine("native"), std::nullopt);
}

TEST(Engine, AutomaticTakesIoUringWhereItIsAllowed) {
  if (!UringPoller::create(UringPoller::EntrySize::k64).ok()) GTEST_SKIP() << "not allowed here";
  const auto iothread = start_iothread("io");
  EXPECT_EQ(iothread->fallback_cause(), "");
  EXPECT_STREQ(iothread->context().poller().name(), "io_uring");
}

TEST(Engine, ThreadsNeedNoCause) {
  const auto iothread = start_iothread("io", Engine::kThreads);
  EXPECT_EQ(iothread->fallback_cause(), "");
  EXPECT_STREQ(iothread->context().poller().name(), "epoll");
}

TEST(Engine, FallsBackAndNamesTheCauseWhereIoUringIsForbidden) {
  char disabled = '0';
  std::ifstream("/proc/sys/kernel/io_uring_disabled") >> disabled;
  const std::string cause =
      disabled == '1' || disabled == '2'
          ? std::string("io_uring is forbidden by kernel.io_uring_disabled=") + disabled
          : "io_uring is forbidden by a seccomp policy (EPERM)";
  FILE* const child = ::popen(WITHOUT_IO_URING " " PRINT_ENGINE, "r");
  ASSERT_NE(child, nullptr);
  std::string output;
  for (int c = std::fgetc(child); c != EOF; c = std::fgetc(child)) {
    output.push_back(static_cast<char>(c));
  }
  const int status = ::pclose(child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    GTEST_SKIP() << "no seccomp filter can be installed here";
  }
  EXPECT_EQ(status, 0);
  EXPECT_EQ(output,
            "epoll\n" + cause + "\nwith io_uring demanded: errno " + std::to_string(EPERM) + "\n");
}

}  // namespace
}  // namespace penstock
