// SPDX-License-Identifier: Apache-2.0
#include "iothreads/fake_world.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "iothreads/co_mutex.h"
#include "iothreads/co_sleep.h"

namespace penstock {
namespace {

// What a small program of many coroutines did, in order.
std::vector<std::string> run_program(uint64_t seed) {
  FakeWorld world(3, seed);
  std::vector<std::string> log;
  CoMutex mutex;
  int left = 12;
  for (int i = 0; i < 12; ++i) {
    world.context(i % 3).spawn("actor", [&, i] {
      assert_in_coroutine();
      const std::string name = std::to_string(i);
      for (int round = 0; round < 4; ++round) {
        IoOperation nothing;
        co_perform(nothing);
        log.push_back("io " + name);
        const CoMutexLock lock(mutex);
        log.push_back("locked " + name);
        if (round % 2 == 0) co_sleep(Nanoseconds(i * 100));
        co_reschedule_self(world.context(static_cast<unsigned>(i + round) % 3));
      }
      --left;
    });
  }
  EXPECT_TRUE(world.run_until([&left] { return left == 0; }));
  while (world.step()) {
  }
  return log;
}

TEST(FakeWorld, TheSameSeedGivesTheSameSchedule) {
  for (const uint64_t seed : {1, 2, 3}) EXPECT_EQ(run_program(seed), run_program(seed));
}

TEST(FakeWorld, OtherSeedsGiveOtherSchedules) {
  std::set<std::vector<std::string>> schedules;
  for (uint64_t seed = 0; seed < 20; ++seed) schedules.insert(run_program(seed));
  EXPECT_GE(schedules.size(), 15u);
}

TEST(FakeWorld, CompletionsComeInEveryOrder) {
  std::set<std::vector<int>> orders;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    FakeWorld world(1, seed);
    std::vector<int> order;
    for (int i = 0; i < 3; ++i) {
      world.context(0).spawn("actor", [&order, i] {
        assert_in_coroutine();
        IoOperation nothing;
        co_perform(nothing);
        order.push_back(i);
      });
    }
    while (world.step()) {
    }
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 6u);
}

TEST(FakeWorld, DoesFileOperationsForReal) {
  char path[] = "/tmp/penstock_fake_XXXXXX";
  const UniqueFd file(::mkostemp(path, O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  ::unlink(path);
  FakeWorld world(1, 1);
  bool done = false;
  world.context(0).spawn("actor", [&] {
    assert_in_coroutine();
    char text[] = "text";
    iovec memory = {text, 4};
    IoOperation write;
    write.opcode = IoOpcode::kWritev;
    write.fd = file.get();
    write.iov = &memory;
    write.iov_count = 1;
    EXPECT_EQ(co_perform(write), 4);
    done = true;
  });
  EXPECT_TRUE(world.run_until([&done] { return done; }));
  char buffer[8] = {};
  EXPECT_EQ(::pread(file.get(), buffer, sizeof(buffer), 0), 4);
  EXPECT_STREQ(buffer, "text");
}

TEST(FakeWorld, SaysWhenNothingCanMove) {
  FakeWorld world(2, 1);
  EXPECT_FALSE(world.step());
  CoEvent never;
  bool done = false;
  world.context(1).spawn("actor", [&] {
    assert_in_coroutine();
    never.co_wait();
    done = true;
  });
  EXPECT_FALSE(world.run_until([&done] { return done; }));
  never.set();
  EXPECT_TRUE(world.run_until([&done] { return done; }));
}

TEST(FakeWorld, PollOperationsWaitForTheirDescriptorsAndCanBeCancelled) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd out(ends[0]);
  const UniqueFd in(ends[1]);
  FakeWorld world(1, 1);
  std::vector<int> results;
  IoOperation cancelled;
  for (IoOperation* operation : {static_cast<IoOperation*>(nullptr), &cancelled}) {
    world.context(0).spawn("actor", [&results, &out, operation] {
      assert_in_coroutine();
      IoOperation own;
      IoOperation& poll = operation == nullptr ? own : *operation;
      poll.opcode = IoOpcode::kPoll;
      poll.fd = out.get();
      poll.mode = POLLIN;
      results.push_back(co_perform(poll));
    });
  }
  while (world.step()) {
  }
  EXPECT_TRUE(results.empty());
  world.context(0).poller().cancel(&cancelled);
  while (world.step()) {
  }
  EXPECT_EQ(results, std::vector<int>{-ECANCELED});
  ASSERT_EQ(::write(in.get(), "x", 1), 1);
  while (world.step()) {
  }
  EXPECT_EQ(results, (std::vector<int>{-ECANCELED, POLLIN}));
}

}  // namespace
}  // namespace penstock
