// SPDX-License-Identifier: Apache-2.0
#include "control/iothread_removal.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "control/node_home.h"
#include "iothreads/aio_context.h"

namespace penstock {
namespace {

// How long exports that start or end may hold the thread.
constexpr std::chrono::seconds kPassingWait{10};
constexpr std::chrono::milliseconds kLookInterval{100};

std::string export_user(const std::string& id) { return "export '" + id + "'"; }

absl::Status check_names(const IoThreadRegistry& iothreads, const std::string& id,
                         const std::optional<std::string>& move_to) GLOBAL_STATE_CODE;
absl::Status check_names(const IoThreadRegistry& iothreads, const std::string& id,
                         const std::optional<std::string>& move_to) {
  if (!id.empty() && id.front() == '#') {
    return errno_message(EINVAL, "The iothread '" + id +
                                     "' is one of the daemon's own, which stay. Give its users"
                                     " others with x-penstock-export-set-iothreads.");
  }
  if (!move_to) return absl::OkStatus();
  if (*move_to == id) {
    return errno_message(EINVAL, "The users of iothread '" + id +
                                     "' cannot move to itself: name another for 'move-to'.");
  }
  if (iothreads.context_of(*move_to) != nullptr) return absl::OkStatus();
  return errno_message(ENOENT, "There is no iothread called '" + *move_to +
                                   "' to move to. Add it first, with object-add.");
}

class Removal {
 public:
  Removal(Daemon& daemon, std::string id, std::optional<std::string> move_to)
      : daemon_(daemon), id_(std::move(id)), move_to_(std::move(move_to)) {}

  absl::Status co_run() CONTROL_COROUTINE_CODE;

 private:
  absl::Status co_move_users() CONTROL_COROUTINE_CODE;
  absl::Status co_move_exports() CONTROL_COROUTINE_CODE;
  absl::Status co_move_nodes() CONTROL_COROUTINE_CODE;
  absl::Status co_move_back() CONTROL_COROUTINE_CODE;
  bool is_passing(const std::string& export_id) const GLOBAL_STATE_CODE;
  bool any_passing_user() const GLOBAL_STATE_CODE;
  std::vector<std::string> threads_instead(std::vector<std::string> ids) const;

  Daemon& daemon_;
  const std::string id_;
  const std::optional<std::string> move_to_;
  struct MovedExport {
    std::string id;
    std::vector<std::string> from;
  };
  std::vector<MovedExport> exports_;
  std::vector<std::string> nodes_;
};

absl::Status Removal::co_run() {
  absl::StatusOr<std::unique_ptr<IoThreadRegistry::Closing>> closing =
      daemon_.iothreads.close_to_new_users(id_);
  if (!closing.ok()) return closing.status();
  absl::Status status = co_move_users();
  // Nobody comes between this and the thread's leaving the registry, which follows in one slice.
  closing->reset();
  if (status.ok()) status = daemon_.iothreads.co_remove(id_);
  if (status.ok()) return status;
  const absl::Status back = co_move_back();
  return back.ok()
             ? status
             : errno_message(status_errno(status), status_text(status) + " " + status_text(back));
}

// Exports that start or end cannot be moved, and are waited for.
absl::Status Removal::co_move_users() {
  const Nanoseconds deadline = AioContext::current()->now() + kPassingWait;
  for (;;) {
    absl::Status status = co_move_exports();
    if (status.ok()) status = co_move_nodes();
    if (!status.ok() || !any_passing_user()) return status;
    const Nanoseconds now = AioContext::current()->now();
    // Then the registry tells who is left.
    if (now >= deadline) return absl::OkStatus();
    // One whose removal is refused stays, and can be moved.
    daemon_.iothreads.co_wait_for_leave(std::min(deadline, now + kLookInterval));
  }
}

// It starts, ends, or has ended.
bool Removal::is_passing(const std::string& export_id) const {
  for (const ExportRegistry::Facts& each : daemon_.exports.list()) {
    if (each.id == export_id) return each.of == nullptr || each.shutting_down;
  }
  return true;
}

bool Removal::any_passing_user() const {
  for (const std::string& user : daemon_.iothreads.users_of(id_)) {
    for (const ExportRegistry::Facts& each : daemon_.exports.list()) {
      if (user == export_user(each.id) && is_passing(each.id)) return true;
    }
  }
  return false;
}

// The threads that an export has afterwards, of those that it has now.
std::vector<std::string> Removal::threads_instead(std::vector<std::string> ids) const {
  const auto place = std::find(ids.begin(), ids.end(), id_);
  const bool replaced = move_to_ && std::find(ids.begin(), ids.end(), *move_to_) == ids.end();
  if (replaced) {
    *place = *move_to_;
  } else {
    ids.erase(place);
  }
  return ids;
}

absl::Status Removal::co_move_exports() {
  for (const ExportRegistry::Facts& each : daemon_.exports.list()) {
    // The list is of the time before the first wait, and so is `of`: look it up again by its id.
    const std::vector<std::string> from = daemon_.exports.iothreads_of(each.id);
    if (std::find(from.begin(), from.end(), id_) == from.end()) continue;
    if (is_passing(each.id)) continue;
    const absl::Status status = daemon_.exports.co_set_iothreads(each.id, threads_instead(from));
    if (!status.ok()) {
      // One that ends meanwhile is waited for.
      if (is_passing(each.id)) continue;
      return annotate(status, "The iothread '" + id_ + "' was not removed");
    }
    exports_.push_back({each.id, from});
  }
  return absl::OkStatus();
}

absl::Status Removal::co_move_nodes() {
  const std::vector<std::string> nodes = nodes_at_home_on(daemon_.graph, daemon_.iothreads, id_);
  const absl::Status status = co_set_home_of(daemon_.graph, daemon_.iothreads, nodes, move_to_);
  if (!status.ok()) return annotate(status, "The iothread '" + id_ + "' was not removed");
  nodes_.insert(nodes_.end(), nodes.begin(), nodes.end());
  return status;
}

absl::Status Removal::co_move_back() {
  std::string failures;
  const absl::Status nodes = co_set_home_of(daemon_.graph, daemon_.iothreads, nodes_, id_);
  if (!nodes.ok()) failures += " The nodes stay moved: " + status_text(nodes) + ".";
  for (const MovedExport& moved : exports_) {
    const absl::Status status = daemon_.exports.co_set_iothreads(moved.id, moved.from);
    if (status.ok() || is_passing(moved.id)) continue;
    failures += " Export '" + moved.id + "' stays moved: " + status_text(status) + ".";
  }
  if (failures.empty()) return absl::OkStatus();
  return errno_message(EIO, "Not all could be moved back:" + failures);
}

}  // namespace

absl::Status co_remove_iothread(Daemon& daemon, const std::string& id,
                                const std::optional<std::string>& move_to) {
  if (const absl::Status fit = check_names(daemon.iothreads, id, move_to); !fit.ok()) return fit;
  return Removal(daemon, id, move_to).co_run();
}

}  // namespace penstock
