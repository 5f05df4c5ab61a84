// SPDX-License-Identifier: Apache-2.0
// Does COUNT reads of 4 KiB on one thread and ends: for counting instructions and system calls a
// request as the difference of two runs (bench/count-instructions).
//
//   graph_requests COUNT [FILE [timed]]     without FILE, or if it is empty: the null driver;
//                                           timed: as while somebody asks for statistics
#include <cstdlib>

#include "base/aligned_buffer.h"
#include "bench/bench_graph.h"
#include "block/backend/backend_request.h"

namespace penstock {
namespace {

void co_read(Backend& backend, uint64_t count) {
  assert_in_coroutine();
  constexpr uint64_t kBlock = 4096;
  const AlignedBuffer buffer(kBlock, kBlock);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t offset = i % 1024 * kBlock;
    const iovec segment = iovec_of(buffer.span());
    BackendRequest request(backend, "read", offset, kBlock);
    const absl::Status status = co_preadv(request.root(), offset, IoVector(segment));
    request.count(RequestKind::kRead, {offset, kBlock}, status);
    if (!status.ok()) std::abort();
  }
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: graph_requests COUNT [FILE [timed]]\n");
    return 2;
  }
  // Valgrind runs one thread at a time and lets none go while it waits in io_uring_enter(2).
  penstock::BenchGraph graph(1, argc > 2 ? argv[2] : "", penstock::Engine::kThreads);
  if (argc > 3) graph.measure_time();
  penstock::run_sync(graph.context(0), [&] {
    penstock::co_read(graph.backend(), std::strtoull(argv[1], nullptr, 10));
  });
  return 0;
}
