// SPDX-License-Identifier: Apache-2.0
#include "iothreads/co_rwlock.h"

#include <gtest/gtest.h>

#include "iothreads/co_sleep.h"
#include "iothreads/fake_world.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

// Writes down who gets the lock, holds it for a while, and lets go.
class Recorder {
 public:
  explicit Recorder(FakeWorld& world) : world_(world) {}

  void come(const std::string& name, bool exclusive) {
    world_.context(0).spawn("user", [this, name, exclusive]() NO_THREAD_SAFETY_ANALYSIS {
      if (exclusive) {
        lock_.co_lock();
      } else {
        lock_.co_lock_shared();
      }
      log_.push_back("+" + name);
      co_sleep(std::chrono::seconds(1));
      log_.push_back("-" + name);
      if (exclusive) {
        lock_.unlock();
      } else {
        lock_.unlock_shared();
      }
      EXPECT_EQ(Coroutine::self()->locks_held, 0);
    });
    world_.step_context(0);
  }
  const std::vector<std::string>& finish() {
    while (world_.step()) {
    }
    return log_;
  }

 private:
  FakeWorld& world_;
  CoRwLock lock_;
  std::vector<std::string> log_;
};

TEST(CoRwLock, ReadersShareAndAWaitingWriterHoldsUpLaterReaders) {
  FakeWorld world(1, 1);
  Recorder recorder(world);
  recorder.come("r1", false);
  recorder.come("r2", false);
  recorder.come("w1", true);
  recorder.come("r3", false);
  recorder.come("r4", false);
  recorder.come("w2", true);
  EXPECT_EQ(recorder.finish(),
            (std::vector<std::string>{"+r1", "+r2", "-r1", "-r2", "+w1", "-w1", "+r3", "+r4", "-r3",
                                      "-r4", "+w2", "-w2"}));
}

TEST(CoRwLock, DowngradeLetsReadersInButNoWriter) {
  FakeWorld world(1, 1);
  CoRwLock lock;
  std::vector<std::string> log;
  CoEvent downgrade, release;
  world.context(0).spawn("writer", [&]() NO_THREAD_SAFETY_ANALYSIS {
    lock.co_lock();
    downgrade.co_wait();
    lock.downgrade();
    release.co_wait();
    log.push_back("release");
    lock.unlock_shared();
  });
  world.step();
  world.context(0).spawn("reader", [&]() NO_THREAD_SAFETY_ANALYSIS {
    lock.co_lock_shared();
    log.push_back("reader");
    lock.unlock_shared();
  });
  world.context(0).spawn("writer", [&]() NO_THREAD_SAFETY_ANALYSIS {
    lock.co_lock();
    log.push_back("writer");
    lock.unlock();
  });
  const auto settle = [&world] {
    while (world.step()) {
    }
  };
  settle();
  EXPECT_TRUE(log.empty());
  downgrade.set();
  settle();
  EXPECT_EQ(log, std::vector<std::string>{"reader"});
  release.set();
  settle();
  EXPECT_EQ(log, (std::vector<std::string>{"reader", "release", "writer"}));
}

TEST(CoRwLock, OrdersReadersAndWritersOnFourThreads) {
  const auto iothreads = start_iothreads(4);
  constexpr int kCoroutines = 16;
  constexpr int kRounds = 500;
  CoRwLock lock;
  int64_t a = 0;
  int64_t b = 0;
  Countdown done(kCoroutines);
  for (int i = 0; i < kCoroutines; ++i) {
    iothreads[i % 4]->context().spawn("user", [&, i]() NO_THREAD_SAFETY_ANALYSIS {
      for (int round = 0; round < kRounds; ++round) {
        if ((i + round) % 3 == 0) {
          lock.co_lock();
          ++a;
          if (round % 50 == 0) co_pause();
          ++b;
          lock.unlock();
        } else {
          lock.co_lock_shared();
          EXPECT_EQ(a, b);
          if (round % 50 == 0) co_pause();
          lock.unlock_shared();
        }
      }
      done.arrive();
    });
  }
  done.wait();
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace penstock
