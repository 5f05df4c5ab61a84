// SPDX-License-Identifier: Apache-2.0
#include "control/mount_server.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "block/graph/drain_holder.h"
#include "control/control_loop.h"
#include "control/daemon_state.h"
#include "control/export_end.h"
#include "control/local_host.h"
#include "control/log.h"
#include "control/mount_point.h"
#include "control/mount_registry.h"
#include "control/mounted_image.h"
#include "control/pid_file.h"
#include "control/qmp/qmp_listener.h"
#include "control/qmp/qmp_server.h"
#include "control/qmp/qmp_socket_path.h"
#include "control/shutdown_signals.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"
#include "iothreads/thread_pool.h"

// For sd_notify(3).
#include <systemd/sd-daemon.h>

namespace penstock {
namespace {

// How long commands that run at the end may take to end.
constexpr std::chrono::seconds kCommandLimit{10};

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

class MountServer {
 public:
  MountServer(const MountPlan& plan, ShutdownSignals& signals, MountRecord& record,
              const std::function<void()>& on_ready)
      : plan_(plan),
        signals_(signals),
        record_(record),
        on_ready_(on_ready),
        host_(ThreadPool::shared()),
        // The mounted image and blockdev-add bring their own policy about names inside images.
        daemon_(host_, plan.engine, /*names=*/nullptr) {}

  absl::Status co_serve() CONTROL_COROUTINE_CODE;

 private:
  absl::Status co_start() CONTROL_COROUTINE_CODE;
  absl::Status co_start_iothreads() CONTROL_COROUTINE_CODE;
  absl::Status co_start_image() CONTROL_COROUTINE_CODE;
  absl::Status co_listen() CONTROL_COROUTINE_CODE;
  void take_commands() GLOBAL_STATE_CODE;
  absl::Status co_announce() CONTROL_COROUTINE_CODE;
  absl::Status co_record() CONTROL_COROUTINE_CODE;
  void co_wait_for_end() CONTROL_COROUTINE_CODE;
  void end_after(const std::string& cause) GLOBAL_STATE_CODE;
  absl::Status co_end() CONTROL_COROUTINE_CODE;
  absl::Status co_end_exports() CONTROL_COROUTINE_CODE;
  [[noreturn]] void abandon(const absl::Status& status);

  const MountPlan& plan_;
  ShutdownSignals& signals_;
  MountRecord& record_;
  const std::function<void()>& on_ready_;
  LocalHost host_;
  Daemon daemon_;
  std::vector<std::string> iothreads_;  // ids
  MountState state_;                    // as recorded
  MountedImage* image_ = nullptr;       // the registry's; nullptr once it has ended
  absl::Status image_end_;
  std::vector<std::unique_ptr<Backend>> snapshots_;  // of the image that has ended
  std::optional<QmpListener> listener_;              // until commands are taken
  std::unique_ptr<QmpServer> commands_;              // nullptr: none are taken
  PidFile pid_file_;

  CoEvent end_;        // somebody wants the end, or it has come
  std::string cause_;  // the first one's
  CoEvent signals_watched_;
  CoEvent quit_watched_;
};

absl::Status MountServer::co_serve() {
  const absl::Status started = co_start();
  if (started.ok()) {
    on_ready_();
    co_wait_for_end();
  }
  const absl::Status ended = co_end();
  if (!started.ok()) return started;
  log_line(LogLevel::kInfo, "closed '" + plan_.image + "' after " + cause_);
  return ended;
}

absl::Status MountServer::co_start() {
  absl::Status status = co_start_iothreads();
  // A socket that cannot be had is known before anything is mounted.
  if (status.ok()) status = co_listen();
  if (status.ok()) status = co_start_image();
  if (status.ok()) status = co_announce();
  return status;
}

absl::Status MountServer::co_start_iothreads() {
  for (unsigned i = 0; i < plan_.iothreads; ++i) {
    const std::string id = "iothread" + std::to_string(i);
    if (const absl::Status added = daemon_.iothreads.co_add(id); !added.ok()) return added;
    iothreads_.push_back(id);
  }
  return absl::OkStatus();
}

absl::Status MountServer::co_start_image() {
  MountedImage::Watcher watcher;
  watcher.ending = [this](const std::string& cause) {
    assert_control_thread();
    end_after(cause);
  };
  watcher.stopped = [this](const absl::Status& status, std::vector<std::unique_ptr<Backend>> left) {
    image_ = nullptr;
    image_end_ = status;
    snapshots_ = std::move(left);
  };
  watcher.co_moved = [this](size_t iothreads) {
    assert_in_coroutine();
    assert_control_thread();
    state_.iothreads = static_cast<unsigned>(iothreads);
    // The list of mounts is for people to look at: what cannot be written there stops nobody.
    const absl::Status updated = co_record();
    if (!updated.ok()) log_line(LogLevel::kWarning, status_text(updated));
  };
  return daemon_.exports.co_add(
      kMountExportId, [&]() -> absl::StatusOr<std::unique_ptr<DaemonExport>> {
        assert_in_coroutine();
        assert_control_thread();
        absl::StatusOr<std::unique_ptr<MountedImage>> image =
            MountedImage::co_start(plan_, daemon_, iothreads_, std::move(watcher));
        if (!image.ok()) return image.status();
        image_ = image->get();
        return *std::move(image);
      });
}

absl::Status MountServer::co_listen() {
  if (!plan_.takes_commands) return absl::OkStatus();
  absl::StatusOr<QmpListener> listener =
      ThreadPool::shared().co_run([this]() -> absl::StatusOr<QmpListener> {
        if (!plan_.socket.empty()) return QmpListener::open(plan_.socket);
        const absl::StatusOr<std::string> path = default_qmp_socket_path();
        return path.ok() ? QmpListener::open(*path) : absl::StatusOr<QmpListener>(path.status());
      });
  if (listener.ok()) {
    listener_ = *std::move(listener);
    return absl::OkStatus();
  }
  if (!plan_.socket.empty()) return listener.status();
  log_line(LogLevel::kWarning, "this mount takes no commands: " + status_text(listener.status()));
  return absl::OkStatus();
}

void MountServer::take_commands() {
  if (!listener_) return;
  commands_ = QmpServer::start(daemon_dispatch(daemon_), *std::move(listener_), {});
  listener_.reset();
}

absl::Status MountServer::co_announce() {
  // Unmounted already.
  if (image_ == nullptr) return absl::OkStatus();
  state_ = state_of(plan_);
  state_.format = image_->format();
  state_.iothreads = static_cast<unsigned>(image_->iothreads().size());
  state_.engine = daemon_.iothreads.list().front().engine;
  if (listener_) state_.socket = daemon_.socket = listener_->path();
  if (!image_->clone_failure().empty()) {
    log_line(LogLevel::kInfo, "the threads share one FUSE descriptor: " + image_->clone_failure());
  }
  if (const absl::Status status = co_record(); !status.ok()) return status;
  // Only now, so that nobody meets an image that is half open, or changes what is being recorded.
  take_commands();
  if (plan_.pid_file.empty()) return absl::OkStatus();
  return ThreadPool::shared().co_run([this] { return pid_file_.write(plan_.pid_file); });
}

absl::Status MountServer::co_record() {
  return ThreadPool::shared().co_run([this, state = state_] { return record_.update(state); });
}

void MountServer::co_wait_for_end() {
  control_context().spawn("watch signals", [this] {
    assert_in_coroutine();
    assert_control_thread();
    const std::string signal = signals_.co_wait();
    if (!signal.empty()) end_after(signal);
    signals_watched_.set();
  });
  control_context().spawn("watch for quit", [this] {
    assert_in_coroutine();
    assert_control_thread();
    daemon_.quit.co_wait();
    end_after("the command 'quit'");
    quit_watched_.set();
  });
  end_.co_wait();
  if (plan_.foreground) sd_notify(0, "STOPPING=1");
  daemon_.quit.set();
  quit_watched_.co_wait();
  signals_.cancel();
  signals_watched_.co_wait();
}

void MountServer::end_after(const std::string& cause) {
  if (cause_.empty()) cause_ = cause;
  end_.set();
}

// Clients are told of the exports' end before they are disconnected.
absl::Status MountServer::co_end() {
  absl::Status status = co_end_exports();
  if (listener_) ThreadPool::shared().co_run([this] { listener_->remove_file(); });
  absl::Status stopped;
  if (commands_ != nullptr) stopped = commands_->co_stop(kCommandLimit);
  status.Update(stopped);
  if (daemon_.abandoned() || !stopped.ok()) abandon(status);
  for (const std::unique_ptr<Backend>& snapshot : snapshots_) {
    // Its node has no name of its own and goes with it.
    status.Update(co_detach_from_node(daemon_.graph, *snapshot));
  }
  snapshots_.clear();
  status.Update(daemon_.co_shut_down());
  if (daemon_.abandoned()) abandon(status);
  commands_.reset();
  return status;
}

absl::Status MountServer::co_end_exports() {
  if (image_ != nullptr) image_->stop_looking();
  const absl::Status ended = daemon_.co_end_exports();
  if (daemon_.abandoned() && image_ != nullptr) {
    return errno_message(ETIMEDOUT,
                         "'" + plan_.image +
                             "' could not be closed in time, its last writes may be missing: " +
                             describe_holder(daemon_.graph, daemon_.graph.backends(), {}));
  }
  absl::Status status = image_end_;
  status.Update(ended);
  return status;
}

void MountServer::abandon(const absl::Status& status) {
  log_line(LogLevel::kError, status_text(status));
  pid_file_.remove();
  record_.finish(status);
  // Threads and commands still use what destructors would free.
  std::_Exit(1);
}

}  // namespace

absl::Status serve_mount(const MountPlan& plan, const std::function<void()>& on_ready) {
  // A client or a reader of our messages that goes away must not end the server.
  std::signal(SIGPIPE, SIG_IGN);
  const absl::StatusOr<std::unique_ptr<ShutdownSignals>> signals = ShutdownSignals::create();
  if (!signals.ok()) return signals.status();
  // Memory that this process needs to write dirty pages back must not wait for that write-back, as
  // it would below a loop device. Only root may ask for it, and only root makes loop devices.
  ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);

  absl::StatusOr<MountRecord> record = MountRecord::publish(state_of(plan));
  if (!record.ok()) return record.status();
  if (const absl::Status ready = prepare_mount_point(plan.mount_point); !ready.ok()) return ready;

  bool was_ready = false;
  const std::function<void()> note_ready = [&] {
    was_ready = true;
    on_ready();
  };
  const absl::Status status = run_control_loop(plan.engine, [&] {
    assert_in_coroutine();
    assert_control_thread();
    MountServer server(plan, **signals, *record, note_ready);
    return server.co_serve();
  });
  if (was_ready) record->finish(status);
  return status;
}

}  // namespace penstock
