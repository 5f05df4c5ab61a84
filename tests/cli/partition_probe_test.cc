// SPDX-License-Identifier: Apache-2.0
#include "control/partition_probe.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/status.h"
#include "control/control_loop.h"
#include "iothreads/aio_context.h"
#include "iothreads/co_event.h"
#include "iothreads/co_sleep.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using std::chrono_literals::operator""ms;

class PartitionProbeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "penstock-probe-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  // What runs in place of the probe.
  std::string program(const std::string& commands) const {
    const std::string path = folder_ + "/program";
    std::ofstream(path) << "#!/bin/sh\ncd '" << folder_ << "'\n" << commands << "\n";
    ::chmod(path.c_str(), 0755);
    return path;
  }

  // Starts `count` probes at once; `done()` waits for their answers.
  void start(PartitionProbe& probe, int count) {
    answers_.resize(count);
    for (int i = 0; i < count; ++i) {
      control_context().spawn("probe", [this, &probe, i] {
        assert_in_coroutine();
        assert_control_thread();
        answers_[i] = status_errno(probe.co_probe("disk", 1 << 20, 0).status());
        if (++answered_ == static_cast<int>(answers_.size())) done_.set();
      });
    }
  }

  static void on_control(const std::function<void()>& function) {
    const absl::Status status = run_control_loop(Engine::kAuto, [&] {
      function();
      return absl::OkStatus();
    });
    ASSERT_TRUE(status.ok()) << status;
  }

  std::string folder_;
  std::vector<int> answers_;  // errnos
  int answered_ = 0;
  CoEvent done_;
};

TEST_F(PartitionProbeTest, RunsFewAtOnceAndAllInTheEnd) {
  const std::string path = program(
      "touch running.$$\n"
      "ls running.* | wc -l >> counts\n"
      "sleep 0.05\n"
      "rm running.$$\n"
      "exit 3");
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    PartitionProbe probe(path);
    start(probe, 10);
    done_.co_wait();
  });
  EXPECT_EQ(answers_, std::vector<int>(10, EIO));
  std::ifstream counts(folder_ + "/counts");
  int lines = 0;
  for (unsigned running = 0; counts >> running; ++lines) {
    EXPECT_LE(running, PartitionProbe::kAtOnce);
  }
  EXPECT_EQ(lines, 10);
}

TEST_F(PartitionProbeTest, CancelEndsWhatRunsAndWhatWaits) {
  const std::string path = program("touch started\nexec sleep 1000");
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    PartitionProbe probe(path);
    start(probe, 5);
    while (!fs::exists(folder_ + "/started")) co_sleep(5ms);
    const auto begin = std::chrono::steady_clock::now();
    probe.cancel();
    done_.co_wait();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 4000ms) << "their own limit is 5 s";
    EXPECT_EQ(status_errno(probe.co_probe("disk", 1 << 20, 0).status()), ECANCELED);
  });
  EXPECT_EQ(answers_, std::vector<int>(5, ECANCELED));
}

}  // namespace
}  // namespace penstock
