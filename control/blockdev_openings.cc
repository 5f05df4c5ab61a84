// SPDX-License-Identifier: Apache-2.0
#include "control/blockdev_openings.h"

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/blockdev_open.h"
#include "control/log.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"

namespace penstock {

struct BlockdevOpenings::Opening {
  std::string node_name;
  bool cancelled = false;
  std::optional<absl::StatusOr<Node*>> result;
  CoEvent decided;  // cancelled, or there is a result
};

BlockdevOpenings::BlockdevOpenings(Graph& graph) : graph_(graph) {}

BlockdevOpenings::~BlockdevOpenings() {
  if (!openings_.empty()) std::abort();
}

absl::StatusOr<Node*> BlockdevOpenings::co_open(const nlohmann::json& arguments) {
  const auto opening = std::make_shared<Opening>();
  if (const auto name = arguments.find("node-name"); name != arguments.end()) {
    if (name->is_string()) opening->node_name = name->get<std::string>();
  }
  openings_.push_back(opening);
  control_context().spawn("open a node", [this, opening, arguments] {
    assert_in_coroutine();
    assert_control_thread();
    co_run(*opening, arguments);
    openings_.remove(opening);
    ended_.set();
  });
  opening->decided.co_wait();
  if (opening->result) return *std::move(opening->result);
  return errno_message(ECANCELED, "The opening of node '" + printable_text(opening->node_name) +
                                      "' was cancelled. Its name is free again when its storage "
                                      "has answered.");
}

void BlockdevOpenings::co_run(Opening& opening, const nlohmann::json& arguments) {
  absl::StatusOr<Node*> node = co_open_blockdev(graph_, arguments);
  if (!opening.cancelled) {
    opening.result = std::move(node);
    opening.decided.set();
    return;
  }
  if (!node.ok()) return;
  const absl::Status closed = graph_.co_close(opening.node_name);
  if (closed.ok()) return;
  log_line(LogLevel::kWarning,
           "node '" + opening.node_name +
               "', whose opening was cancelled, has opened after all: " + status_text(closed));
}

absl::Status BlockdevOpenings::cancel(const std::string& node_name) {
  for (const std::shared_ptr<Opening>& opening : openings_) {
    if (opening->node_name != node_name || opening->result || opening->cancelled) continue;
    opening->cancelled = true;
    opening->decided.set();
    return absl::OkStatus();
  }
  return errno_message(ENOENT, "No node '" + printable_text(node_name) + "' is being opened.");
}

void BlockdevOpenings::cancel_all() {
  for (const std::shared_ptr<Opening>& opening : openings_) {
    if (opening->result) continue;
    opening->cancelled = true;
    opening->decided.set();
  }
}

bool BlockdevOpenings::co_wait_none(Nanoseconds deadline) {
  while (!openings_.empty()) {
    ended_.reset();
    if (!ended_.co_wait_until(deadline)) return openings_.empty();
  }
  return true;
}

std::string BlockdevOpenings::names() const {
  std::string result;
  for (const std::shared_ptr<Opening>& opening : openings_) {
    result += (result.empty() ? "'" : ", '") + printable_text(opening->node_name) + "'";
  }
  return result;
}

}  // namespace penstock
