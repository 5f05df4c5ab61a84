// SPDX-License-Identifier: Apache-2.0
// 4 KiB requests through the graph, without FUSE, at 1..N threads: items_per_second are operations.
#include <benchmark/benchmark.h>

#include <atomic>
#include <memory>
#include <string>

#include "base/aligned_buffer.h"
#include "bench/bench_graph.h"
#include "block/backend/backend_request.h"
#include "iothreads/co_event.h"

namespace penstock {
namespace {

constexpr uint64_t kBlock = 4096;
constexpr uint64_t kImage = 64 << 20;
constexpr int kBatch = 20'000;

enum Operation { kReads, kWrites };

// One thread's part of a batch, as a queue of an export would do it.
void co_run_batch(Backend& backend, Operation operation, std::byte* memory, uint64_t seed) {
  assert_in_coroutine();
  uint64_t at = seed;
  for (int i = 0; i < kBatch; ++i) {
    at = at * 6364136223846793005ULL + 1442695040888963407ULL;
    const uint64_t offset = (at >> 33) % (kImage / kBlock) * kBlock;
    const iovec segment{memory, kBlock};
    const IoVector data(segment);
    BackendRequest request(backend, "bench", offset, kBlock);
    const absl::Status done = operation == kReads ? co_preadv(request.root(), offset, data)
                                                  : co_pwritev(request.root(), offset, data);
    request.count(operation == kReads ? RequestKind::kRead : RequestKind::kWrite, {offset, kBlock},
                  done);
    if (!done.ok()) std::abort();
  }
}

void run(benchmark::State& state, const std::string& file_name, Operation operation,
         bool timed = false) {
  BenchGraph graph(static_cast<unsigned>(state.range(0)), file_name);
  if (timed) graph.measure_time();
  for (auto _ : state) {
    std::atomic<unsigned> left{graph.threads()};
    std::atomic<bool> done{false};
    for (unsigned i = 0; i < graph.threads(); ++i) {
      graph.context(i).spawn("bench", [&, i] {
        const AlignedBuffer buffer(kBlock, kBlock);
        co_run_batch(graph.backend(), operation, buffer.data(), i + 1);
        if (left.fetch_sub(1) == 1) {
          done.store(true);
          done.notify_one();
        }
      });
    }
    done.wait(false);
  }
  state.SetItemsProcessed(state.iterations() * kBatch * graph.threads());
}

std::string file_in_memory() {
  const std::string path = "/dev/shm/penstock-graph-bench";
  FILE* const file = std::fopen(path.c_str(), "w");
  const std::string block(1 << 20, 'x');
  for (uint64_t done = 0; done < kImage; done += block.size()) {
    std::fwrite(block.data(), 1, block.size(), file);
  }
  std::fclose(file);
  return path;
}

void null_reads(benchmark::State& state) { run(state, "", kReads); }
void null_reads_timed(benchmark::State& state) { run(state, "", kReads, true); }
void null_writes(benchmark::State& state) { run(state, "", kWrites); }
void file_reads(benchmark::State& state) {
  const std::string path = file_in_memory();
  run(state, path, kReads);
  std::remove(path.c_str());
}
void file_reads_timed(benchmark::State& state) {
  const std::string path = file_in_memory();
  run(state, path, kReads, true);
  std::remove(path.c_str());
}
void file_writes(benchmark::State& state) {
  const std::string path = file_in_memory();
  run(state, path, kWrites);
  std::remove(path.c_str());
}
BENCHMARK(null_reads)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();
BENCHMARK(null_reads_timed)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();
BENCHMARK(null_writes)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();
BENCHMARK(file_reads)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();
BENCHMARK(file_reads_timed)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();
BENCHMARK(file_writes)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();

}  // namespace
}  // namespace penstock

BENCHMARK_MAIN();
