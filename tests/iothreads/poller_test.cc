// SPDX-License-Identifier: Apache-2.0
// One suite for every real poller.
#include "iothreads/poller.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cerrno>
#include <thread>

#include "base/status.h"
#include "base/unique_fd.h"
#include "iothreads/poller_factory.h"
#include "iothreads/uring_poller.h"
#include "tests/iothreads/test_threads.h"

namespace penstock {
namespace {

using std::chrono::milliseconds;

struct Tracked : IoOperation {
  Tracked() {
    complete = [](IoOperation* operation) { ++static_cast<Tracked*>(operation)->completions; };
  }
  int completions = 0;
};

class PollerTest : public testing::TestWithParam<Engine> {
 protected:
  void SetUp() override {
    auto choice = make_poller(GetParam());
    if (!choice.ok()) GTEST_SKIP() << status_text(choice.status());
    poller_ = std::move(choice->poller);

    char path[] = "/tmp/penstock_poller_XXXXXX";
    file_.reset(::mkostemp(path, O_CLOEXEC));
    ASSERT_TRUE(file_.valid());
    ::unlink(path);
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    pipe_out_.reset(ends[0]);
    pipe_in_.reset(ends[1]);
  }

  // Completes whatever is ready; returns how many.
  int turn() {
    poller_->flush();
    int count = 0;
    for (IoOperation* operation = poller_->reap(); operation != nullptr; ++count) {
      IoOperation* const next = operation->next;
      operation->complete(operation);
      operation = next;
    }
    return count;
  }
  void finish(Tracked& operation) {
    while (operation.completions == 0) {
      if (turn() == 0 && poller_->may_sleep()) poller_->wait(Nanoseconds(-1));
    }
    EXPECT_EQ(operation.completions, 1);
  }
  int32_t perform(Tracked& operation) {
    poller_->submit(&operation);
    EXPECT_EQ(operation.completions, 0) << "never from inside submit()";
    finish(operation);
    return operation.result;
  }
  Tracked poll_operation(short events) const {
    Tracked operation;
    operation.opcode = IoOpcode::kPoll;
    operation.fd = pipe_out_.get();
    operation.mode = static_cast<uint32_t>(events);
    return operation;
  }
  void fill_pipe() { ASSERT_EQ(::write(pipe_in_.get(), "x", 1), 1); }

  std::unique_ptr<Poller> poller_;
  UniqueFd file_, pipe_out_, pipe_in_;
};

TEST_P(PollerTest, WritesAndReadsAtOffsets) {
  char hello[] = "hello, ";
  char world[] = "world";
  const iovec source[] = {{hello, 7}, {world, 5}};
  Tracked write;
  write.opcode = IoOpcode::kWritev;
  write.fd = file_.get();
  write.iov = source;
  write.iov_count = 2;
  write.offset = 4096;
  EXPECT_EQ(perform(write), 12);

  char buffer[32] = {};
  const iovec target = {buffer, sizeof(buffer)};
  Tracked read;
  read.opcode = IoOpcode::kReadv;
  read.fd = file_.get();
  read.iov = &target;
  read.iov_count = 1;
  read.offset = 4096;
  EXPECT_EQ(perform(read), 12) << "short at the end of the file";
  EXPECT_STREQ(buffer, "hello, world");

  Tracked past_end = read;
  past_end.completions = 0;
  past_end.offset = 1 << 20;
  EXPECT_EQ(perform(past_end), 0);
}

TEST_P(PollerTest, SynchronisesAllocatesAndDoesNothing) {
  Tracked allocate;
  allocate.opcode = IoOpcode::kFallocate;
  allocate.fd = file_.get();
  allocate.offset = 0;
  allocate.length = 1 << 16;
  EXPECT_EQ(perform(allocate), 0);
  struct stat status;
  ASSERT_EQ(::fstat(file_.get(), &status), 0);
  EXPECT_EQ(status.st_size, 1 << 16);

  Tracked synchronise;
  synchronise.opcode = IoOpcode::kFsync;
  synchronise.fd = file_.get();
  EXPECT_EQ(perform(synchronise), 0);

  Tracked nothing;
  EXPECT_EQ(perform(nothing), 0);
}

TEST_P(PollerTest, AnErrorIsTheResult) {
  Tracked synchronise;
  synchronise.opcode = IoOpcode::kFsync;
  synchronise.fd = -1;
  EXPECT_EQ(perform(synchronise), -EBADF);
  Tracked poll = poll_operation(POLLIN);
  poll.fd = -1;
  EXPECT_EQ(perform(poll), -EBADF);
}

TEST_P(PollerTest, PollAnswersAtOnceOrLater) {
  Tracked later = poll_operation(POLLIN);
  poller_->submit(&later);
  EXPECT_EQ(turn(), 0);
  fill_pipe();
  finish(later);
  EXPECT_EQ(later.result & POLLIN, POLLIN);
  Tracked at_once = poll_operation(POLLIN);
  EXPECT_EQ(perform(at_once) & POLLIN, POLLIN);
}

TEST_P(PollerTest, PollsOfOneDescriptorAreIndependent) {
  Tracked first = poll_operation(POLLIN);
  Tracked second = poll_operation(POLLIN);
  poller_->submit(&first);
  poller_->submit(&second);
  EXPECT_EQ(turn(), 0);
  poller_->cancel(&first);
  finish(first);
  EXPECT_EQ(first.result, -ECANCELED);
  EXPECT_EQ(second.completions, 0);
  fill_pipe();
  finish(second);
  EXPECT_EQ(second.result & POLLIN, POLLIN);
}

TEST_P(PollerTest, CancelAfterCompletionDoesNoHarm) {
  fill_pipe();
  Tracked poll = poll_operation(POLLIN);
  poller_->submit(&poll);
  poller_->flush();
  poller_->cancel(&poll);
  finish(poll);
  EXPECT_TRUE((poll.result & POLLIN) != 0 || poll.result == -ECANCELED);
  Tracked again = poll_operation(POLLIN);
  EXPECT_EQ(perform(again) & POLLIN, POLLIN);
}

TEST_P(PollerTest, PollOfARegularFileIsReady) {
  Tracked poll = poll_operation(POLLIN);
  poll.fd = file_.get();
  EXPECT_EQ(perform(poll) & POLLIN, POLLIN);
}

TEST_P(PollerTest, AWakeFromAnotherThreadEndsTheSleep) {
  for (int i = 0; i < 50; ++i) {
    std::thread waker([this] { poller_->wake(); });
    poller_->wait(Nanoseconds(-1));
    waker.join();
    turn();
  }
}

TEST_P(PollerTest, AWakeBeforeTheSleepEndsIt) {
  poller_->wake();
  poller_->wait(Nanoseconds(-1));
  turn();
}

TEST_P(PollerTest, ASleepEndsAtItsTime) {
  const Nanoseconds start = poller_->now();
  while (poller_->now() - start < milliseconds(3)) poller_->wait(milliseconds(3));
  EXPECT_LT(poller_->now() - start, std::chrono::seconds(10));
}

TEST_P(PollerTest, ASleepEndsWithACompletion) {
  Tracked poll = poll_operation(POLLIN);
  poller_->submit(&poll);
  std::thread writer([this] { fill_pipe(); });
  finish(poll);
  writer.join();
}

TEST_P(PollerTest, CarriesMoreOperationsThanItsQueuesHold) {
  constexpr int kCount = 10'000;  // more than either of the rings
  char byte = 'b';
  const iovec source = {&byte, 1};
  std::vector<Tracked> operations(kCount);
  for (int i = 0; i < kCount; ++i) {
    operations[i].opcode = i % 2 == 0 ? IoOpcode::kNop : IoOpcode::kWritev;
    operations[i].fd = file_.get();
    operations[i].iov = &source;
    operations[i].iov_count = 1;
    operations[i].offset = static_cast<uint64_t>(i);
    poller_->submit(&operations[i]);
  }
  for (Tracked& operation : operations) finish(operation);
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(operations[i].result, i % 2);
}

TEST_P(PollerTest, DoesNotSleepOnWhatIsReady) {
  Tracked nothing;
  poller_->submit(&nothing);
  poller_->flush();
  EXPECT_FALSE(poller_->may_sleep());
  finish(nothing);
  EXPECT_TRUE(poller_->may_sleep());
}

TEST_P(PollerTest, CarriesACoroutinesOperations) {
  const auto iothread = start_iothread("io", GetParam());
  run_sync(iothread->context(), [this] {
    assert_in_coroutine();
    char text[] = "text";
    const iovec source = {text, 4};
    IoOperation write;
    write.opcode = IoOpcode::kWritev;
    write.fd = file_.get();
    write.iov = &source;
    write.iov_count = 1;
    EXPECT_EQ(co_perform(write), 4);
    IoOperation synchronise;
    synchronise.opcode = IoOpcode::kFsync;
    synchronise.fd = file_.get();
    EXPECT_EQ(co_perform(synchronise), 0);
  });
}

INSTANTIATE_TEST_SUITE_P(Engines, PollerTest, testing::Values(Engine::kIoUring, Engine::kThreads),
                         [](const auto& instance) {
                           return instance.param == Engine::kIoUring ? "io_uring" : "threads";
                         });

TEST(UringPoller, CanCarryLargeEntries) {
  auto poller = UringPoller::create(UringPoller::EntrySize::k128);
  if (!poller.ok()) GTEST_SKIP() << status_text(poller.status());
  Tracked nothing;
  (*poller)->submit(&nothing);
  (*poller)->flush();
  IoOperation* const done = (*poller)->reap();
  ASSERT_EQ(done, &nothing);
  EXPECT_EQ(done->next, nullptr);
}

}  // namespace
}  // namespace penstock
