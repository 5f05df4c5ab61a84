// SPDX-License-Identifier: Apache-2.0
#include "control/jobs/backup_job.h"

#include <cerrno>
#include <chrono>
#include <utility>

#include "base/status.h"
#include "block/graph/open_filter.h"
#include "block/graph/redirect_users.h"
#include "block/graph/topology.h"
#include "block/job/job_group.h"
#include "control/daemon_state.h"
#include "control/log.h"
#include "iothreads/co_sleep.h"
#include "iothreads/control_thread.h"

namespace penstock {
namespace {

// Between two tries to take the filter out, or a backend, where something else holds it.
constexpr std::chrono::seconds kRetry{1};

absl::Status no_node(const std::string& name) {
  return errno_message(ENOENT, "Cannot find device='' nor node-name='" + name + "'");
}

}  // namespace

BackupJob::BackupJob(Daemon& daemon, BackupOptions options)
    : Job(options.job), daemon_(daemon), options_(std::move(options)) {}

BackupJob::~BackupJob() = default;

absl::StatusOr<std::shared_ptr<BackupJob>> BackupJob::co_create(Daemon& daemon,
                                                                BackupOptions options) {
  std::shared_ptr<BackupJob> job(new BackupJob(daemon, std::move(options)));
  if (absl::Status listed = daemon.jobs.add(job); !listed.ok()) return listed;
  absl::Status opened = job->co_open();
  if (opened.ok()) return job;
  job->co_discard();
  return opened;
}

std::unique_ptr<GraphChange> BackupJob::insertion(const std::vector<std::string>& apart) const {
  return std::make_unique<RedirectUsers>(options_.device, filter_, apart);
}

void BackupJob::co_discard() {
  const std::shared_ptr<Job> keep = shared_from_this();
  co_detach_all();
  if (!filter_.empty()) {
    const absl::Status closed = daemon_.graph.co_close(filter_);
    if (!closed.ok()) log_line(LogLevel::kWarning, status_text(closed));
  }
  uses_.clear();
  daemon_.jobs.discard(*this);
}

JobProgress BackupJob::progress() const {
  if (const CopyBeforeWriteDriver* filter = open_filter()) {
    last_progress_.total = filter->snapshot_size();
    last_progress_.current = filter->snapshot_size() - filter->remaining_bytes();
  }
  return last_progress_;
}

absl::Status BackupJob::co_open() {
  Node* const source = daemon_.graph.find(options_.device);
  if (source == nullptr) return no_node(options_.device);
  Node* const target = daemon_.graph.find(options_.target);
  if (target == nullptr) return no_node(options_.target);
  if (source == target) return errno_message(EINVAL, "Source and target cannot be the same");
  if (reaches_any(*source, {target}) || reaches_any(*target, {source})) {
    return errno_message(EINVAL, "One of '" + source->name + "' and '" + target->name +
                                     "' uses the other: name a target of its own");
  }
  if (target->size() < source->size()) {
    return errno_message(
        EINVAL, "The target '" + target->name + "' has " + std::to_string(target->size()) +
                    " bytes and cannot hold the " + std::to_string(source->size()) + " of '" +
                    source->name + "': make it as long first");
  }
  absl::StatusOr<std::vector<IoThreadRegistry::Use>> uses =
      daemon_.iothreads.co_use_defaults("job '" + id() + "'");
  if (!uses.ok()) return uses.status();
  uses_ = *std::move(uses);
  // A user of the node, it comes above the filter with the others.
  absl::Status status = co_attach(backend_, options_.device, {kConsistentRead, kAllPermissions});
  if (status.ok()) status = co_attach(on_target_, options_.target, {0, kAllPermissions});
  if (status.ok()) status = co_open_filter();
  if (!status.ok()) return status;
  backend_->on_drain = [this](bool drained) {
    assert_control_thread();
    if (drained) {
      drain_begin();
    } else {
      drain_end();
    }
  };
  return absl::OkStatus();
}

absl::Status BackupJob::co_attach(std::unique_ptr<Backend>& backend, const std::string& name,
                                  Permissions permissions) {
  Node* const node = daemon_.graph.find(name);
  if (node == nullptr) return no_node(name);
  absl::StatusOr<std::unique_ptr<Backend>> attached =
      daemon_.graph.co_attach_backend("job " + id(), *node, permissions);
  if (!attached.ok()) return attached.status();
  backend = *std::move(attached);
  return absl::OkStatus();
}

absl::Status BackupJob::co_open_filter() {
  NodeOptions options;
  options.driver = "copy-before-write";
  options.node_name = options_.filter_node_name;
  options.read_only = daemon_.graph.find(options_.device)->read_only;
  options.children["target"].reference = options_.target;
  options.driver_options["on-cbw-error"] = options_.on_cbw_error;
  const absl::StatusOr<Node*> filter =
      penstock::co_open_filter(daemon_.graph, options, options_.device);
  if (!filter.ok()) return filter.status();
  filter_ = (*filter)->name;
  CopyBeforeWriteDriver* const driver = copy_before_write_of(**filter);
  driver->set_skip_unallocated(options_.sync == BackupSync::kTop);
  granularity_ = driver->granularity();
  identity_ = driver;
  return absl::OkStatus();
}

void BackupJob::co_abort() {
  // Guests copy no more from here on.
  if (CopyBeforeWriteDriver* filter = open_filter()) {
    filter->abandon(errno_message(ECANCELED, "The job '" + id() + "' has ended"));
  }
}

void BackupJob::co_clean_up() {
  (void)progress();
  co_remove_filter();
  co_detach_all();
  uses_.clear();
}

void BackupJob::co_remove_filter() {
  bool told = false;
  while (open_filter() != nullptr) {
    const absl::Status removed = daemon_.graph.co_remove_filter(filter_);
    if (open_filter() == nullptr) {
      // What it wrote back was the source's; the target was flushed before.
      if (!removed.ok()) log_line(LogLevel::kError, status_text(removed));
      return;
    }
    if (!std::exchange(told, true)) {
      log_line(LogLevel::kWarning,
               "the filter of job '" + id() + "' cannot be taken out yet: " + status_text(removed));
    }
    co_sleep(kRetry);
  }
}

void BackupJob::co_detach_all() {
  for (std::unique_ptr<Backend>* backend : {&backend_, &on_source_, &on_target_}) {
    if (*backend == nullptr) continue;
    absl::Status detached = daemon_.graph.co_detach_backend(**backend);
    while ((*backend)->root.node != nullptr) {
      co_sleep(kRetry);
      detached = daemon_.graph.co_detach_backend(**backend);
    }
    if (!detached.ok()) log_line(LogLevel::kError, status_text(detached));
    backend->reset();
  }
}

CopyBeforeWriteDriver* BackupJob::open_filter() const {
  Node* const node = filter_.empty() ? nullptr : daemon_.graph.find(filter_);
  CopyBeforeWriteDriver* const driver = node == nullptr ? nullptr : copy_before_write_of(*node);
  return driver == identity_ ? driver : nullptr;
}

absl::Status co_start_backup(Daemon& daemon, BackupOptions options) {
  absl::StatusOr<std::shared_ptr<BackupJob>> job = BackupJob::co_create(daemon, std::move(options));
  if (!job.ok()) return job.status();
  absl::Status inserted = co_run_change(daemon.graph, (*job)->insertion());
  if (!inserted.ok()) {
    (*job)->co_discard();
    return inserted;
  }
  auto group = std::make_shared<JobGroup>();
  group->add(*job);
  group->start();
  return absl::OkStatus();
}

}  // namespace penstock
