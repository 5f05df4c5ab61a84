// SPDX-License-Identifier: Apache-2.0
// Thousands of drains under full load: no request is lost, failed or done twice, and none is inside
// a drained driver.
#include <atomic>
#include <cstdio>
#include <random>
#include <thread>

#include "iothreads/co_event.h"
#include "tests/block/graph/graph_fixture.h"
#include "tests/block/graph/request_load.h"

namespace penstock {
namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int kDrains = 2000;
#else
constexpr int kDrains = 10000;
#endif

class DrainLoadTest : public GraphFixture {
 protected:
  DrainLoadTest() : GraphFixture(4) {}

  void build() {
    ASSERT_OK(
        open(spy_above("spy-format", "top", spy_above("spy-filter", "mid", spy_options("file")))));
    ASSERT_OK(open(spy_options("disk2")));
    one_ = *attach("one", "top", kWriter);
    two_ = *attach("two", "disk2", kWriter);
    load_one_ = std::make_unique<RequestLoad>(*one_, spies_.of("file"));
    load_two_ = std::make_unique<RequestLoad>(*two_, spies_.of("disk2"));
    for (unsigned i = 0; i < 4 * io_count(); ++i) {
      load_one_->start_worker(io(i % io_count()), i);
      load_two_->start_worker(io(i % io_count()), i);
    }
  }

  void finish() {
    load_one_->stop();
    load_two_->stop_and_wait();
    load_one_->stop_and_wait();
    for (RequestLoad* load : {load_one_.get(), load_two_.get()}) {
      EXPECT_EQ(load->failures(), 0u) << load->first_failure();
      EXPECT_EQ(load->issued(), load->answered());
      EXPECT_GT(load->writes(), 0u);
    }
    EXPECT_EQ(spies_.of("disk2").writes, load_two_->writes());
    EXPECT_EQ(spies_.of("top").writes, load_one_->writes());
    EXPECT_EQ(quiesce_depth(*one_), 0);
    EXPECT_EQ(quiesce_depth(*two_), 0);
    EXPECT_OK(detach(one_));
    EXPECT_OK(detach(two_));
  }

  // Drains a set, or all if it is empty, and looks whether it is quiet inside.
  void co_drain(const std::vector<std::string>& names, int pauses) IO_OR_GS_CODE {
    static const std::vector<std::string> kAll{"top", "mid", "file", "disk2"};
    DrainedSection section(*graph_);
    EXPECT_OK(names.empty() ? section.co_begin_all() : section.co_begin(names));
    const std::vector<std::string>& quiet = names.empty() ? kAll : names;
    for (const std::string& name : quiet) ++spies_.of(name).quiet;
    for (int i = 0; i < pauses; ++i) co_pause();
    for (const std::string& name : quiet) --spies_.of(name).quiet;
    section.co_end();
  }

  std::unique_ptr<Backend> one_, two_;
  std::unique_ptr<RequestLoad> load_one_, load_two_;
};

TEST_F(DrainLoadTest, ThousandsOfDrainsFromBothKindsOfCallers) {
  build();
  const std::vector<std::vector<std::string>> sets{
      {"file"}, {"top"}, {"disk2"}, {"mid", "disk2"}, {"top", "mid", "file"}, {}};
  std::vector<AioContext*> callers{&control_->context(), &io(0), &control_->context(), &io(3)};
  std::atomic<int> left{kDrains};
  std::atomic<int> running{static_cast<int>(callers.size())};
  CoEvent finished;
  for (unsigned caller = 0; caller < callers.size(); ++caller) {
    callers[caller]->spawn("drainer", [&, caller] {
      assert_in_coroutine();
      std::mt19937 random(caller);
      while (left.fetch_sub(1) > 0) {
        const auto& set = sets[random() % sets.size()];
        if (random() % 8 == 0) {
          // Nested in one that stays.
          DrainedSection outer(*graph_);
          EXPECT_OK(outer.co_begin(sets[random() % 5]));
          co_drain(set, 1);
          outer.co_end();
        } else {
          co_drain(set, static_cast<int>(random() % 3));
        }
      }
      if (--running == 0) finished.set();
    });
  }
  run_sync(io(1), [&] {
    assert_in_coroutine();
    finished.co_wait();
  });
  std::printf("%d drains, %llu and %llu requests\n", kDrains,
              static_cast<unsigned long long>(load_one_->answered()),
              static_cast<unsigned long long>(load_two_->answered()));
  finish();
}

// A coroutine on an IoThread drains while the control thread replaces a child of the same node.
TEST_F(DrainLoadTest, DrainsFromAnIoThreadWhileAChildIsReplaced) {
  ASSERT_OK(open(spy_options("low-a")));
  ASSERT_OK(open(spy_options("low-b")));
  ASSERT_OK(open(spy_above("spy-filter", "top", std::string("low-a"))));
  auto backend = *attach("export", "top", kWriter);
  std::atomic<bool> stop{false};
  std::atomic<int> running{0};
  std::atomic<uint64_t> writes{0};
  for (unsigned i = 0; i < 8; ++i) {
    ++running;
    io(i % 4).spawn("writer", [&, i] {
      assert_in_coroutine();
      for (uint64_t value = 1; !stop; ++value) {
        EXPECT_OK(co_write_block(*backend, i, value));
        ++writes;
        co_pause();
      }
      --running;
    });
  }
  constexpr int kRounds = kDrains / 20;
  CoEvent drained;
  io(1).spawn("drainer", [&] {
    assert_in_coroutine();
    for (int round = 0; round < kRounds; ++round) {
      DrainedSection section(*graph_);
      EXPECT_OK(section.co_begin({round % 2 == 0 ? "top" : "low-a", "low-b"}));
      Spy& quiet = spies_.of(round % 2 == 0 ? "top" : "low-b");
      ++quiet.quiet;
      co_pause();
      --quiet.quiet;
      section.co_end();
    }
    drained.set();
  });
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    for (int round = 0; round < kRounds; ++round) {
      EXPECT_OK(graph_->co_replace_child("top", "file", round % 2 == 0 ? "low-b" : "low-a"));
    }
    drained.co_wait();
  });
  stop = true;
  while (running != 0) std::this_thread::yield();
  EXPECT_EQ(spies_.of("low-a").writes + spies_.of("low-b").writes, writes);
  EXPECT_OK(detach(backend));
}

}  // namespace
}  // namespace penstock
