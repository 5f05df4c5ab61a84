// SPDX-License-Identifier: Apache-2.0
#include "control/block_stats.h"

#include <cerrno>
#include <memory>
#include <utility>

#include "base/status.h"
#include "block/backend/backend.h"
#include "iothreads/aio_context.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

// QEMU's word for a kind in the names of keys.
struct KindName {
  RequestKind kind;
  const char* word;
};
constexpr KindName kKindNames[] = {{RequestKind::kRead, "rd"},
                                   {RequestKind::kWrite, "wr"},
                                   {RequestKind::kUnmap, "unmap"},
                                   {RequestKind::kFlush, "flush"}};

nlohmann::json counters_json(const RequestTotals& totals) {
  nlohmann::json stats = nlohmann::json::object();
  for (const auto& [kind, word_of_kind] : kKindNames) {
    const std::string word = word_of_kind;
    const RequestTotals::Kind& of = totals.of(kind);
    stats[word + "_operations"] = of.operations;
    stats[word + "_total_time_ns"] = of.time_ns;
    stats["failed_" + word + "_operations"] = of.failed;
    // Requests that make no sense are refused before they become requests of a backend.
    stats["invalid_" + word + "_operations"] = 0;
    if (kind == RequestKind::kFlush) continue;
    stats[word + "_bytes"] = of.bytes;
    stats[word + "_merged"] = 0;  // requests are never merged
  }
  stats["wr_highest_offset"] = totals.highest_write;
  stats["account_failed"] = true;  // in the times
  stats["account_invalid"] = false;
  stats["timed_stats"] = nlohmann::json::array();  // of intervals: none can be asked for
  return stats;
}

nlohmann::json backend_json(const Backend& backend) GLOBAL_STATE_CODE;
nlohmann::json backend_json(const Backend& backend) {
  nlohmann::json stats = counters_json(backend.statistics.totals());
  for (const auto& [kind, word] : kKindNames) {
    const LatencyHistogram* const histogram = backend.statistics.histogram(kind);
    if (histogram == nullptr) continue;
    stats[std::string(word) + "_latency_histogram"] = {{"boundaries", histogram->boundaries()},
                                                       {"bins", histogram->bins()}};
  }
  return {{"device", backend.name},
          {"node-name", backend.root.node->name},
          {"stats", std::move(stats)}};
}

nlohmann::json node_json(const Node& node) GLOBAL_STATE_CODE;
nlohmann::json node_json(const Node& node) {
  RequestTotals totals;
  for (const Child* const edge : node.parents) {
    if (edge->backend != nullptr) totals += edge->backend->statistics.totals();
  }
  return {{"node-name", node.name}, {"stats", counters_json(totals)}};
}

std::vector<Backend*> backends_called(const Graph& graph, const std::string& id) GLOBAL_STATE_CODE;
std::vector<Backend*> backends_called(const Graph& graph, const std::string& id) {
  std::vector<Backend*> by_name;
  std::vector<Backend*> by_node;
  for (Backend* const backend : graph.backends()) {
    if (backend->name == id) by_name.push_back(backend);
    if (backend->root.node->name == id) by_node.push_back(backend);
  }
  return by_name.empty() ? by_node : by_name;
}

// One histogram to be put in place of another.
struct Replacement {
  Backend* backend;
  RequestKind kind;
  std::unique_ptr<LatencyHistogram> histogram;
};

absl::Status add_replacement(Backend& backend, RequestKind kind, const char* name,
                             const HistogramBoundaries& wanted,
                             const std::optional<std::vector<uint64_t>>& boundaries,
                             std::vector<Replacement>* replacements) {
  if (wanted.none()) {
    replacements->push_back({&backend, kind, nullptr});
    return absl::OkStatus();
  }
  if (!boundaries) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<LatencyHistogram>> histogram =
      LatencyHistogram::create(*boundaries);
  if (!histogram.ok()) {
    return annotate(histogram.status(),
                    "Device '" + backend.name + "' set " + name + " boundaries fail");
  }
  replacements->push_back({&backend, kind, std::move(*histogram)});
  return absl::OkStatus();
}

}  // namespace

nlohmann::json block_stats(Graph& graph, bool of_nodes) {
  // Before the counters are read: what is counted after them is timed.
  for (Backend* const backend : graph.backends()) {
    backend->statistics.measure(control_context().now());
  }
  nlohmann::json answer = nlohmann::json::array();
  if (of_nodes) {
    for (const Node* const node : graph.nodes()) answer.push_back(node_json(*node));
  } else {
    for (const Backend* const backend : graph.backends()) answer.push_back(backend_json(*backend));
  }
  return answer;
}

absl::Status co_set_latency_histograms(Graph& graph, const std::string& id,
                                       const HistogramBoundaries& boundaries) {
  const std::vector<Backend*> backends = backends_called(graph, id);
  if (backends.empty()) {
    return errno_message(ENOENT, "Device '" + id +
                                     "' not found; name a device that query-blockstats lists, or "
                                     "the node that it uses");
  }
  std::vector<Replacement> replacements;
  for (Backend* const backend : backends) {
    absl::Status status = add_replacement(*backend, RequestKind::kRead, "read", boundaries,
                                          boundaries.read, &replacements);
    if (status.ok()) {
      status = add_replacement(*backend, RequestKind::kWrite, "write", boundaries, boundaries.write,
                               &replacements);
    }
    if (status.ok()) {
      status = add_replacement(*backend, RequestKind::kFlush, "flush", boundaries, boundaries.flush,
                               &replacements);
    }
    if (!status.ok()) return status;
  }
  const Nanoseconds now = control_context().now();
  for (auto& [backend, kind, histogram] : replacements) {
    histogram = backend->statistics.exchange_histogram(kind, std::move(histogram), now);
  }
  // Requests may just be counting in the former ones. The backends may go meanwhile.
  co_pass_all_contexts();
  return absl::OkStatus();
}

}  // namespace penstock
