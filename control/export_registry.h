// SPDX-License-Identifier: Apache-2.0
// The exports of the daemon, by their ids.
//
// Ownership: owns its exports.
// Threads: the control thread.
// Errors: EEXIST, ENOENT, EBUSY; ESHUTDOWN once all are being ended; those of the export. An error
//   of ending one, such as a failed flush, is logged and returned; the export is gone nevertheless.
// Invariants: an export is in the list from the moment it is asked for until its last request is
//   replied and its node released; only then BLOCK_EXPORT_DELETED is emitted. A second removal of
//   the same export waits for nothing and is EBUSY, also one that asks for "hard" while a safe one
//   is under way: that one has unmounted the export already, or will be refused at once.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "iothreads/co_event.h"

namespace penstock {

class EventHub;

// What an export is for the registry: the FUSE export of a node, or a whole mounted image.
class DaemonExport {
 public:
  enum class Mode : uint8_t { kSafe, kHard };

  virtual ~DaemonExport() = default;
  virtual std::string type() const = 0;  // "fuse"
  virtual std::string node_name() const GLOBAL_STATE_CODE = 0;
  virtual std::string mount_point() const = 0;
  virtual std::vector<std::string> iothreads() const GLOBAL_STATE_CODE = 0;
  // Other threads serve it from now on, under live I/O: those called `ids`, each named once, or the
  // default ones if there is none. Errors leave it as it was. EOPNOTSUPP if its threads are fixed,
  // ESHUTDOWN if co_stop() has begun to end it.
  virtual absl::Status co_set_iothreads(const std::vector<std::string>& ids) CONTROL_COROUTINE_CODE;
  // What people find the export by tells the daemon's present state, such as its socket.
  virtual void co_update_record() CONTROL_COROUTINE_CODE {}
  // EBUSY in safe mode while files are open: nothing has changed then. Else the export ends and its
  // node is released; another error says what was lost. EBUSY has no other meaning here. A
  // co_set_iothreads() under way holds up neither the refusal nor the unmount, and has returned
  // before this does.
  virtual absl::Status co_stop(Mode mode) CONTROL_COROUTINE_CODE = 0;
  // Its owner tells people how it ended; the registry then need not log it.
  virtual bool end_is_told() const { return false; }
};

class ExportRegistry {
 public:
  explicit ExportRegistry(EventHub& events);
  ExportRegistry(const ExportRegistry&) = delete;
  ExportRegistry& operator=(const ExportRegistry&) = delete;

  ~ExportRegistry();  // REQUIRES: it is empty

  // Reserves the id, starts the export by `co_start`, and lists it.
  absl::Status co_add(const std::string& id,
                      const std::function<absl::StatusOr<std::unique_ptr<DaemonExport>>()>&
                          co_start) CONTROL_COROUTINE_CODE;
  // Returns when the export has ended. If requests or a flush hold it up long, returns OK before
  // that; the event tells the end. In safe mode EBUSY while files are open.
  absl::Status co_remove(const std::string& id, DaemonExport::Mode mode) CONTROL_COROUTINE_CODE;
  // DaemonExport::co_set_iothreads() of an export that lives.
  absl::Status co_set_iothreads(const std::string& id,
                                const std::vector<std::string>& iothreads) CONTROL_COROUTINE_CODE;
  // DaemonExport::co_update_record() of all.
  void co_update_records() CONTROL_COROUTINE_CODE;
  // The export ended by itself: somebody unmounted it.
  void ended(const std::string& id) GLOBAL_STATE_CODE;

  // Empty if there is no such export, or it is still being started.
  std::vector<std::string> iothreads_of(const std::string& id) const GLOBAL_STATE_CODE;

  struct Facts {
    std::string id;
    const DaemonExport* of;  // nullptr while it starts
    bool shutting_down;
  };
  std::vector<Facts> list() const GLOBAL_STATE_CODE;

  // Begins to end every export, and refuses new ones. Those with open files get `busy_grace` first.
  void end_all(Nanoseconds busy_grace) GLOBAL_STATE_CODE;
  // False if `deadline` came first (AioContext::now()).
  bool co_wait_empty(Nanoseconds deadline) CONTROL_COROUTINE_CODE;
  // Of ending exports after end_all().
  absl::Status first_failure() const GLOBAL_STATE_CODE { return first_failure_; }

 private:
  struct Removal;
  struct Entry;
  // The entry of an export that is there, neither being started nor removed.
  absl::StatusOr<Entry*> find_settled(const std::string& id) const GLOBAL_STATE_CODE;
  std::shared_ptr<Removal> start_removal(const std::string& id, DaemonExport::Mode mode,
                                         Nanoseconds busy_grace) GLOBAL_STATE_CODE;
  absl::Status co_end(const std::string& id, DaemonExport::Mode mode,
                      Nanoseconds busy_grace) CONTROL_COROUTINE_CODE;
  void forget(const std::string& id) GLOBAL_STATE_CODE;

  EventHub& events_;
  std::map<std::string, std::unique_ptr<Entry>> exports_;
  bool ending_all_ = false;
  Nanoseconds busy_grace_{0};
  absl::Status first_failure_;
  CoEvent empty_;  // meaningful once all are being ended
};

}  // namespace penstock
