// SPDX-License-Identifier: Apache-2.0
#include "control/mount_server.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "block/graph/driver_registry.h"
#include "control/control_loop.h"
#include "control/local_host.h"
#include "control/log.h"
#include "control/mount_point.h"
#include "control/mount_registry.h"
#include "control/mounted_image.h"
#include "control/shutdown_signals.h"
#include "drivers/register_drivers.h"
#include "iothreads/control_thread.h"
#include "iothreads/iothread.h"
#include "iothreads/thread_pool.h"

// For sd_notify(3).
#include <systemd/sd-daemon.h>

namespace penstock {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

MountState state_of(const MountPlan& plan) {
  MountState state;
  state.image = plan.image;
  state.format = plan.format;
  state.mode = plan.writable ? "rw" : "ro";
  state.mount_point = plan.mount_point;
  state.pid = ::getpid();
  state.iothreads = plan.iothreads;
  state.started = utc_now();
  return state;
}

// The file that names the server's PID while it runs.
class PidFile {
 public:
  PidFile() = default;
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  ~PidFile() { remove(); }

  absl::Status write(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd.valid()) return errno_status(errno, "cannot write the PID file '" + path + "'");
    path_ = path;
    if (::dprintf(fd.get(), "%d\n", static_cast<int>(::getpid())) < 0) {
      return errno_status(errno, "cannot write the PID file '" + path + "'");
    }
    return absl::OkStatus();
  }
  void remove() {
    if (!path_.empty()) ::unlink(path_.c_str());
    path_.clear();
  }

 private:
  std::string path_;
};

class MountServer {
 public:
  MountServer(const MountPlan& plan, ShutdownSignals& signals, MountRecord& record,
              const std::vector<std::unique_ptr<IoThread>>& iothreads,
              const std::function<void()>& on_ready)
      : plan_(plan),
        signals_(signals),
        record_(record),
        iothreads_(iothreads),
        on_ready_(on_ready) {}

  absl::Status co_serve() CONTROL_COROUTINE_CODE;

 private:
  absl::Status co_announce(MountedImage& image) CONTROL_COROUTINE_CODE;
  std::string co_wait_for_end(MountedImage& image) CONTROL_COROUTINE_CODE;
  [[noreturn]] void abandon(const absl::Status& status);

  const MountPlan& plan_;
  ShutdownSignals& signals_;
  MountRecord& record_;
  const std::vector<std::unique_ptr<IoThread>>& iothreads_;
  const std::function<void()>& on_ready_;
  PidFile pid_file_;

  CoEvent end_;  // somebody wants the end, or it has come
  CoEvent signals_watched_;
  CoEvent session_watched_;
  std::string signal_;
};

absl::Status MountServer::co_serve() {
  DriverRegistry drivers;
  register_drivers(drivers);
  LocalHost host(ThreadPool::shared());
  MountedImage image(plan_, drivers, host);
  std::vector<std::shared_ptr<AioContext>> queues;
  for (const std::unique_ptr<IoThread>& iothread : iothreads_) {
    queues.push_back(iothread->share_context());
  }
  absl::Status status = image.co_start(std::move(queues));
  if (!status.ok()) return status;

  status = co_announce(image);
  std::string cause = "a failed start";
  if (status.ok()) {
    on_ready_();
    cause = co_wait_for_end(image);
  }
  const MountedImage::End end = image.co_stop();
  if (end.abandoned) abandon(end.status);
  if (status.ok()) {
    session_watched_.co_wait();
    signals_.cancel();
    signals_watched_.co_wait();
    log_line(LogLevel::kInfo, "closed '" + plan_.image + "' after " + cause);
  }
  return status.ok() ? end.status : status;
}

absl::Status MountServer::co_announce(MountedImage& image) {
  MountState state = state_of(plan_);
  state.format = image.format();
  state.engine = iothreads_[0]->context().poller().name();
  if (const absl::Status status = record_.update(state); !status.ok()) return status;
  if (!plan_.pid_file.empty()) {
    if (const absl::Status status = pid_file_.write(plan_.pid_file); !status.ok()) return status;
  }
  if (!image.fuse_export().clone_failure().empty()) {
    log_line(LogLevel::kInfo,
             "the threads share one FUSE descriptor: " + image.fuse_export().clone_failure());
  }
  return absl::OkStatus();
}

std::string MountServer::co_wait_for_end(MountedImage& image) {
  control_context().spawn("watch signals", [this] {
    assert_in_coroutine();
    signal_ = signals_.co_wait();
    end_.set();
    signals_watched_.set();
  });
  control_context().spawn("watch the session", [this, &image] {
    assert_in_coroutine();
    image.fuse_export().ended().co_wait();
    end_.set();
    session_watched_.set();
  });
  end_.co_wait();
  if (plan_.foreground) sd_notify(0, "STOPPING=1");
  return signal_.empty() ? "an unmount" : signal_;
}

void MountServer::abandon(const absl::Status& status) {
  log_line(LogLevel::kError, status_text(status));
  pid_file_.remove();
  record_.finish(status);
  // Threads still use what destructors would free.
  std::_Exit(1);
}

absl::StatusOr<std::vector<std::unique_ptr<IoThread>>> start_iothreads(const MountPlan& plan) {
  std::vector<std::unique_ptr<IoThread>> iothreads;
  for (unsigned i = 0; i < plan.iothreads; ++i) {
    absl::StatusOr<std::unique_ptr<IoThread>> started =
        IoThread::start("iothread" + std::to_string(i), plan.engine);
    if (!started.ok()) return started.status();
    iothreads.push_back(std::move(*started));
  }
  if (!iothreads[0]->fallback_cause().empty()) {
    log_line(LogLevel::kInfo, "using threads: " + iothreads[0]->fallback_cause());
  }
  return iothreads;
}

}  // namespace

absl::Status serve_mount(const MountPlan& plan, const std::function<void()>& on_ready) {
  // A reader of our messages that goes away must not end the server.
  std::signal(SIGPIPE, SIG_IGN);
  const absl::StatusOr<std::unique_ptr<ShutdownSignals>> signals = ShutdownSignals::create();
  if (!signals.ok()) return signals.status();
  // Memory that this process needs to write dirty pages back must not wait for that write-back, as
  // it would below a loop device. Only root may ask for it, and only root makes loop devices.
  ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);

  absl::StatusOr<MountRecord> record = MountRecord::publish(state_of(plan));
  if (!record.ok()) return record.status();
  if (const absl::Status ready = prepare_mount_point(plan.mount_point); !ready.ok()) return ready;
  const absl::StatusOr<std::vector<std::unique_ptr<IoThread>>> iothreads = start_iothreads(plan);
  if (!iothreads.ok()) return iothreads.status();

  bool was_ready = false;
  const std::function<void()> note_ready = [&] {
    was_ready = true;
    on_ready();
  };
  const absl::Status status = run_control_loop(plan.engine, [&] {
    assert_in_coroutine();
    assert_control_thread();
    MountServer server(plan, **signals, *record, *iothreads, note_ready);
    return server.co_serve();
  });
  if (was_ready) record->finish(status);
  return status;
}

}  // namespace penstock
