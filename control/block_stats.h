// SPDX-License-Identifier: Apache-2.0
// What the requests of all users of the graph did, for people who watch.
//
// Ownership: values.
// Threads: the control thread.
// Errors: ENOENT for a name that nobody has; EINVAL for boundaries, see LatencyHistogram.
// Invariants: a question never waits for a request. Asking makes requests be timed for the next
//   RequestStatistics::kMeasuredFor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/graph/graph.h"
#include "nlohmann/json.hpp"

namespace penstock {

// The answer of query-blockstats, with QEMU's keys: one entry a backend, in the order in which they
// were attached. With `of_nodes` one a node: the sums over the backends that use it directly.
// Times are of requests that began since somebody first asked.
nlohmann::json block_stats(Graph& graph, bool of_nodes) GLOBAL_STATE_CODE;

// Nanoseconds; a kind that is not mentioned stays as it is.
struct HistogramBoundaries {
  std::optional<std::vector<uint64_t>> read;
  std::optional<std::vector<uint64_t>> write;
  std::optional<std::vector<uint64_t>> flush;

  bool none() const { return !read && !write && !flush; }
};

// Gives the backend called `id`, or all that use the node of that name directly, new and empty
// histograms. If `boundaries` mentions no kind, every histogram goes.
absl::Status co_set_latency_histograms(Graph& graph, const std::string& id,
                                       const HistogramBoundaries& boundaries)
    CONTROL_COROUTINE_CODE;

}  // namespace penstock
