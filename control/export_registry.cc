// SPDX-License-Identifier: Apache-2.0
#include "control/export_registry.h"

#include <cerrno>
#include <chrono>
#include <utility>

#include "base/status.h"
#include "control/event_hub.h"
#include "control/log.h"
#include "iothreads/aio_context.h"
#include "iothreads/co_sleep.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

// How long a removal waits for requests before it leaves the rest to the event.
constexpr std::chrono::seconds kRemovalWait{10};
// Between two tries to unmount what is busy.
constexpr std::chrono::milliseconds kBusyRetry{50};

absl::Status is_ending(const std::string& id) {
  return errno_message(
      EBUSY, "Export '" + id + "' is being removed already: wait for BLOCK_EXPORT_DELETED.");
}

}  // namespace

// The end of one export, seen by its coroutine and by whoever waits for it.
struct ExportRegistry::Removal {
  CoEvent done;
  absl::Status status;
};

struct ExportRegistry::Entry {
  std::unique_ptr<DaemonExport> of;
  bool shutting_down = false;
  bool ended = false;  // by itself
};

absl::Status DaemonExport::co_set_iothreads(const std::vector<std::string>& /*ids*/) {
  return errno_message(EOPNOTSUPP,
                       "The iothreads of the export on '" + mount_point() + "' cannot be changed.");
}

ExportRegistry::ExportRegistry(EventHub& events) : events_(events) {}

ExportRegistry::~ExportRegistry() = default;

absl::Status ExportRegistry::co_add(
    const std::string& id,
    const std::function<absl::StatusOr<std::unique_ptr<DaemonExport>>()>& co_start) {
  if (ending_all_) {
    return errno_message(ESHUTDOWN, "Export '" + id + "' was not added: the daemon is ending.");
  }
  if (exports_.count(id) != 0) {
    return errno_message(EEXIST, "Block export id '" + id + "' is already in use");
  }
  Entry& entry = *(exports_[id] = std::make_unique<Entry>());
  absl::StatusOr<std::unique_ptr<DaemonExport>> started = co_start();
  if (!started.ok()) {
    forget(id);
    return started.status();
  }
  entry.of = *std::move(started);
  if (ending_all_) {
    start_removal(id, DaemonExport::Mode::kSafe, busy_grace_);
    return errno_message(ESHUTDOWN, "Export '" + id + "' was not added: the daemon is ending.");
  }
  if (entry.ended) start_removal(id, DaemonExport::Mode::kHard, Nanoseconds{0});
  return absl::OkStatus();
}

absl::Status ExportRegistry::co_remove(const std::string& id, DaemonExport::Mode mode) {
  const absl::StatusOr<Entry*> entry = find_settled(id);
  if (!entry.ok()) return entry.status();
  const std::shared_ptr<Removal> removal = start_removal(id, mode, Nanoseconds{0});
  if (removal->done.co_wait_until(AioContext::current()->now() + kRemovalWait)) {
    return removal->status;
  }
  log_line(LogLevel::kWarning,
           "requests of export '" + id + "' have not ended yet; its removal waits for them");
  return absl::OkStatus();
}

absl::StatusOr<ExportRegistry::Entry*> ExportRegistry::find_settled(const std::string& id) const {
  const auto found = exports_.find(id);
  if (found == exports_.end()) {
    return errno_message(ENOENT, "Export '" + id + "' is not found");
  }
  if (found->second->of == nullptr) {
    return errno_message(EBUSY, "Export '" + id + "' is still being started: try again then.");
  }
  if (found->second->shutting_down) return is_ending(id);
  return found->second.get();
}

absl::Status ExportRegistry::co_set_iothreads(const std::string& id,
                                              const std::vector<std::string>& iothreads) {
  const absl::StatusOr<Entry*> entry = find_settled(id);
  if (!entry.ok()) return entry.status();
  return (*entry)->of->co_set_iothreads(iothreads);
}

void ExportRegistry::co_update_records() {
  std::vector<std::string> ids;
  for (const auto& [id, entry] : exports_) ids.push_back(id);
  for (const std::string& id : ids) {
    if (const absl::StatusOr<Entry*> entry = find_settled(id); entry.ok()) {
      (*entry)->of->co_update_record();
    }
  }
}

void ExportRegistry::ended(const std::string& id) {
  const auto found = exports_.find(id);
  if (found == exports_.end()) return;
  Entry& entry = *found->second;
  entry.ended = true;
  if (entry.of == nullptr || entry.shutting_down) return;
  start_removal(id, DaemonExport::Mode::kHard, Nanoseconds{0});
}

std::vector<ExportRegistry::Facts> ExportRegistry::list() const {
  std::vector<Facts> result;
  for (const auto& [id, entry] : exports_) {
    result.push_back({id, entry->of.get(), entry->shutting_down});
  }
  return result;
}

std::vector<std::string> ExportRegistry::iothreads_of(const std::string& id) const {
  const auto found = exports_.find(id);
  const bool there = found != exports_.end() && found->second->of != nullptr;
  return there ? found->second->of->iothreads() : std::vector<std::string>();
}

void ExportRegistry::end_all(Nanoseconds busy_grace) {
  ending_all_ = true;
  busy_grace_ = busy_grace;
  if (exports_.empty()) empty_.set();
  for (const auto& [id, entry] : exports_) {
    if (entry->of != nullptr && !entry->shutting_down) {
      start_removal(id, DaemonExport::Mode::kSafe, busy_grace);
    }
  }
}

bool ExportRegistry::co_wait_empty(Nanoseconds deadline) { return empty_.co_wait_until(deadline); }

std::shared_ptr<ExportRegistry::Removal> ExportRegistry::start_removal(const std::string& id,
                                                                       DaemonExport::Mode mode,
                                                                       Nanoseconds busy_grace) {
  exports_.at(id)->shutting_down = true;
  auto removal = std::make_shared<Removal>();
  control_context().spawn("remove an export", [this, id, mode, busy_grace, removal] {
    assert_in_coroutine();
    assert_control_thread();
    removal->status = co_end(id, mode, busy_grace);
    removal->done.set();
  });
  return removal;
}

absl::Status ExportRegistry::co_end(const std::string& id, DaemonExport::Mode mode,
                                    Nanoseconds busy_grace) {
  Entry& entry = *exports_.at(id);
  const Nanoseconds deadline = AioContext::current()->now() + busy_grace;
  absl::Status status = entry.of->co_stop(mode);
  const auto is_busy = [&] {
    return mode == DaemonExport::Mode::kSafe && status_errno(status) == EBUSY;
  };
  while (is_busy() && !entry.ended && AioContext::current()->now() < deadline) {
    co_sleep(kBusyRetry);
    status = entry.of->co_stop(mode);
  }
  if (is_busy()) {
    if (!entry.ended && !ending_all_) {
      entry.shutting_down = false;
      return status;
    }
    status = entry.of->co_stop(DaemonExport::Mode::kHard);
  }
  if (!status.ok() && !entry.of->end_is_told()) {
    log_line(LogLevel::kError,
             "export '" + id + "' has ended with an error: " + status_text(status));
  }
  if (ending_all_) first_failure_.Update(status);
  forget(id);
  events_.emit("BLOCK_EXPORT_DELETED", {{"id", id}});
  return annotate(status, "export '" + id + "' is removed, but");
}

void ExportRegistry::forget(const std::string& id) {
  exports_.erase(id);
  if (ending_all_ && exports_.empty()) empty_.set();
}

}  // namespace penstock
