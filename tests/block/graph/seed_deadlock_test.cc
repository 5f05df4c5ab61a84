// SPDX-License-Identifier: Apache-2.0
// Coroutines on four IoThreads drain while the control thread opens, replaces and closes in the
// very tree that they drain, with requests running: nobody waits for a thread that waits for him.
//
// PENSTOCK_TEST_ROUNDS sets the number of rounds (100000 for a long run), PENSTOCK_TEST_SEED what
// the drainers choose. Each round opens two nodes, moves an edge, and closes two; there are at
// least as many drains as rounds.
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/status.h"
#include "iothreads/co_event.h"
#include "iothreads/co_sleep.h"
#include "tests/block/graph/graph_fixture.h"
#include "tests/block/graph/request_load.h"

namespace penstock {
namespace {

constexpr uint64_t kDefaultRounds = 2000;
constexpr unsigned kIoThreads = 4;
constexpr unsigned kWorkers = 8;
constexpr std::chrono::microseconds kRequestTime{50};
constexpr uint64_t kDrainsInARound = 2;  // of each drainer

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

class SeedDeadlockTest : public GraphFixture {
 protected:
  SeedDeadlockTest() : GraphFixture(kIoThreads) {}

  // One of the coroutines that drain. What it names may be gone by then.
  void co_drain_until_stopped(unsigned caller) COROUTINE_CODE {
    static const std::array<std::vector<std::string>, 6> kSets{
        {{"base"}, {"layer0"}, {"layer1"}, {"top"}, {"top", "base"}, {"side"}}};
    std::mt19937_64 random(seed_ + caller);
    for (uint64_t attempts = 0; !stop_; ++attempts) {
      // Drains without a pause would leave an open no moment to begin.
      while (!stop_ && attempts > kDrainsInARound * rounds_) co_sleep(kRequestTime);
      const bool all = random() % 16 == 0;
      const std::vector<std::string>& names = kSets[random() % kSets.size()];
      DrainedSection section(*graph_);
      const absl::Status status = all ? section.co_begin_all() : section.co_begin(names);
      if (status.ok()) {
        const bool base_is_quiet = all || names.back() == "base" || names.front() == "base";
        Spy& base = spies_.of("base");
        if (base_is_quiet) ++base.quiet;
        if (random() % 4 == 0) co_drain_within("base");
        co_pause();
        if (base_is_quiet) --base.quiet;
        section.co_end();
        ++drains_;
      } else if (status_errno(status) != ENOENT) {
        ADD_FAILURE() << status;
        return;
      }
      co_pause();
    }
  }
  void co_drain_within(const std::string& name) COROUTINE_CODE {
    DrainedSection nested(*graph_);
    EXPECT_OK(nested.co_begin({name}));
    nested.co_end();
  }

  // One of two layers takes the other's place between "top" and "base", while a node above "top" is
  // opened, which reads through all of them, and closed again.
  void co_round(uint64_t round) CONTROL_COROUTINE_CODE {
    const std::string fresh = "layer" + std::to_string(round % 2);
    const std::string old = "layer" + std::to_string(1 - round % 2);
    EXPECT_OK(graph_->co_open(spy_above("spy-filter", fresh, std::string("base"))).status());
    EXPECT_OK(graph_->co_open(spy_above("spy-format", "side", std::string("top"))).status());
    EXPECT_OK(graph_->co_replace_child("top", "file", fresh));
    EXPECT_OK(graph_->co_close("side"));
    EXPECT_OK(graph_->co_close(old));
  }

  const uint64_t seed_ = from_environment("PENSTOCK_TEST_SEED", 1);
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> rounds_{0};
  std::atomic<uint64_t> drains_{0};
};

TEST_F(SeedDeadlockTest, DrainsFromFourIoThreadsWhileTheSameTreeIsOpenedReplacedAndClosed) {
  const uint64_t rounds = from_environment("PENSTOCK_TEST_ROUNDS", kDefaultRounds);
  // It looks only, and lets others write.
  spies_.of("side").child_permissions = [](const Child&, const Permissions&) {
    return Permissions{kConsistentRead, kAllPermissions};
  };
  // Requests take a while, so that drains find some in flight and the threads sleep in between.
  spies_.of("base").on_request = [] {
    assert_in_coroutine();
    co_sleep(kRequestTime);
    return absl::OkStatus();
  };
  ASSERT_OK(open(spy_options("base")));
  ASSERT_OK(open(spy_above("spy-filter", "layer1", std::string("base"))));
  ASSERT_OK(open(spy_above("spy-format", "top", std::string("layer1"))));
  auto backend = *attach("export", "top", kWriter);
  RequestLoad load(*backend, spies_.of("base"));
  for (unsigned i = 0; i < kWorkers; ++i) load.start_worker(io(i % kIoThreads), i);

  std::atomic<unsigned> drainers{kIoThreads};
  CoEvent drainers_ended;
  for (unsigned i = 0; i < kIoThreads; ++i) {
    io(i).spawn("drainer", [&, i] {
      assert_in_coroutine();
      co_drain_until_stopped(i);
      if (--drainers == 0) drainers_ended.set();
    });
  }
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    while ((rounds_ < rounds || drains_ < rounds) && !HasFailure()) {
      co_round(rounds_);
      ++rounds_;
    }
    stop_ = true;
    drainers_ended.co_wait();
  });
  load.stop_and_wait();
  std::printf("%llu drains, %llu requests\n", static_cast<unsigned long long>(drains_),
              static_cast<unsigned long long>(load.answered()));
  EXPECT_EQ(load.failures(), 0u) << load.first_failure();
  EXPECT_EQ(load.issued(), load.answered());
  EXPECT_EQ(spies_.of("base").writes, load.writes());
  EXPECT_GE(drains_, rounds);
  EXPECT_EQ(quiesce_depth(*backend), 0);
  EXPECT_OK(detach(backend));
}

}  // namespace
}  // namespace penstock
