// SPDX-License-Identifier: Apache-2.0
// A disk whose storage does not answer holds up nobody else.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "iothreads/co_event.h"
#include "tests/block/graph/graph_fixture.h"

namespace penstock {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

class IsolationTest : public GraphFixture {};

TEST_F(IsolationTest, ASuspendedRequestOnOneDiskStopsNoOther) {
  for (const char* disk : {"a", "b", "c"}) {
    const std::string name = disk;
    ASSERT_OK(open(spy_above("spy-format", name, spy_options(name + "-file"))));
  }
  ASSERT_OK(open(spy_options("b-new")));
  auto a = *attach("export-a", "a", kWriter);
  auto b = *attach("export-b", "b", kWriter);
  auto c = *attach("export-c", "c", kWriter);

  CoEvent inside, release, done;
  spies_.of("c-file").on_request = [&] {
    assert_in_coroutine();
    inside.set();
    release.co_wait();
    return absl::OkStatus();
  };
  io(0).spawn("held", [&] {
    assert_in_coroutine();
    EXPECT_OK(co_write_block(*c, 1, 1));
    done.set();
  });
  double drain_us = 0, change_us = 0;
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    inside.co_wait();
    auto start = Clock::now();
    DrainedSection section(*graph_);
    EXPECT_OK(section.co_begin({"b"}));
    section.co_end();
    drain_us = microseconds_since(start);
    start = Clock::now();
    EXPECT_OK(graph_->co_replace_child("b", "file", "b-new"));
    change_us = microseconds_since(start);
  });
  // A change of the stuck disk itself waits, and nobody waits for it.
  CoEvent changed;
  control_->context().spawn("change c", [&] {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_OK(graph_->co_replace_child("c", "file", "b-file"));
    changed.set();
  });
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_OK(graph_->co_replace_child("a", "file", "a-file"));
    EXPECT_OK(graph_->co_open(spy_options("d")).status());
    EXPECT_OK(graph_->co_close("d"));
  });
  std::vector<double> latencies;
  run_sync(io(1), [&] {
    assert_in_coroutine();
    for (unsigned i = 0; i < 10'000; ++i) {
      const auto start = Clock::now();
      EXPECT_OK(co_write_block(*a, i % Spy::kBlocks, i));
      latencies.push_back(microseconds_since(start));
    }
    EXPECT_FALSE(done.is_set());
    EXPECT_FALSE(changed.is_set());
    release.set();
    done.co_wait();
    changed.co_wait();
  });
  std::sort(latencies.begin(), latencies.end());
  std::printf(
      "with a request held on disk c: drain of b %.0f us, change of b %.0f us;\n"
      "10000 writes on a: median %.1f us, p99 %.1f us, max %.1f us\n",
      drain_us, change_us, latencies[5000], latencies[9900], latencies.back());
  RecordProperty("drain_us", static_cast<int>(drain_us));
  RecordProperty("change_us", static_cast<int>(change_us));
  RecordProperty("p99_us", static_cast<int>(latencies[9900]));
  EXPECT_OK(detach(a));
  EXPECT_OK(detach(b));
  EXPECT_OK(detach(c));
}

}  // namespace
}  // namespace penstock
