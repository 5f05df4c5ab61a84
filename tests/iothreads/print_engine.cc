// SPDX-License-Identifier: Apache-2.0
// Prints the engine that an IoThread chose by itself, why it is not io_uring, and what becomes of a
// thread that demands io_uring. Run by engine_fallback_test below without_io_uring.
#include <cstdio>

#include "tests/iothreads/test_threads.h"

int main() {
  using namespace penstock;
  const auto iothread = start_iothread("io");
  const int result = run_sync(iothread->context(), [] {
    assert_in_coroutine();
    IoOperation nothing;
    return co_perform(nothing);
  });
  const auto demanded = IoThread::start("io", Engine::kIoUring);
  std::printf("%s\n%s\nwith io_uring demanded: errno %d\n", iothread->context().poller().name(),
              iothread->fallback_cause().c_str(), status_errno(demanded.status()));
  return result == 0 ? 0 : 1;
}
