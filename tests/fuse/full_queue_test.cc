// SPDX-License-Identifier: Apache-2.0
// More requests than the queues have room for: the loops sleep, and every request is answered.
#include <errno.h>
#include <linux/aio_abi.h>
#include <sys/syscall.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/aligned_buffer.h"
#include "fuse/slot_pool.h"
#include "tests/fuse/mounted_test.h"

namespace penstock {
namespace {

class FullQueue : public MountedTest {
 protected:
  // More than both queues' slots, less than what the kernel sends without a wait.
  static constexpr unsigned kRequests = 2 * SlotPool::kSlots + 100;

  uint64_t turns() const {
    uint64_t sum = 0;
    for (const auto& thread : threads_) sum += thread->context().statistics().turns.load();
    return sum;
  }
};

TEST_F(FullQueue, SleepsWhileEveryRequestIsSuspendedAndAnswersThemAll) {
  CoEvent resume;
  CoEvent full;
  std::atomic<unsigned> suspended{0};
  driver_->before_read = [&](ByteRange) {
    assert_in_coroutine();
    if (++suspended == 2 * SlotPool::kSlots) full.set();
    resume.co_wait();
    return absl::OkStatus();
  };
  driver_->set_bytes(pattern_bytes(kSize, 1));
  start();
  const UniqueFd fd = open_file(O_RDONLY | O_DIRECT);
  aio_context_t aio = 0;
  ASSERT_EQ(syscall(SYS_io_setup, kRequests, &aio), 0);
  AlignedBuffer buffer(size_t{kRequests} * 4096, 4096);
  std::vector<iocb> requests(kRequests);
  for (unsigned i = 0; i < kRequests; ++i) {
    requests[i] = {};
    requests[i].aio_fildes = static_cast<uint32_t>(fd.get());
    requests[i].aio_lio_opcode = IOCB_CMD_PREAD;
    requests[i].aio_buf = reinterpret_cast<uint64_t>(buffer.data() + size_t{i} * 4096);
    requests[i].aio_nbytes = 4096;
    requests[i].aio_offset = int64_t{i} * 4096;
    iocb* request = &requests[i];
    ASSERT_EQ(syscall(SYS_io_submit, aio, 1, &request), 1) << strerror(errno);
  }
  on_control([&full] {
    assert_in_coroutine();
    full.co_wait();
  });
  const uint64_t before = turns();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // the time that is measured
  EXPECT_LT(turns() - before, 1000u) << "the loops turn without work";
  resume.set();
  std::vector<io_event> events(kRequests);
  long got = 0;
  while (got < kRequests) {
    const long n = syscall(SYS_io_getevents, aio, 1, kRequests - got, &events[got], nullptr);
    ASSERT_GT(n, 0) << strerror(errno);
    got += n;
  }
  for (const io_event& event : events) EXPECT_EQ(event.res, 4096);
  const auto content = driver_->bytes();
  EXPECT_EQ(memcmp(buffer.data(), content.data(), buffer.size()), 0);
  syscall(SYS_io_destroy, aio);
}

}  // namespace
}  // namespace penstock
