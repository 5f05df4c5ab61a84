// SPDX-License-Identifier: Apache-2.0
#include "control/daemon_server.h"

#include <sys/prctl.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <utility>

#include "base/status.h"
#include "control/control_loop.h"
#include "control/daemon_state.h"
#include "control/local_host.h"
#include "control/log.h"
#include "control/pid_file.h"
#include "control/qmp/qmp_server.h"
#include "control/shutdown_signals.h"
#include "iothreads/aio_context.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"
#include "iothreads/thread_pool.h"

// For sd_notify(3).
#include <systemd/sd-daemon.h>

namespace penstock {
namespace {

// How long commands that run at the end may take to end.
constexpr std::chrono::seconds kCommandLimit{10};

class DaemonServer {
 public:
  DaemonServer(const DaemonPlan& plan, ShutdownSignals& signals,
               const std::function<void()>& on_ready)
      : plan_(plan),
        signals_(signals),
        on_ready_(on_ready),
        host_(ThreadPool::shared()),
        // No name inside an image is followed, but for blockdev-add, which brings its own policy.
        daemon_(host_, plan.engine, /*names=*/nullptr) {}

  absl::Status co_serve() CONTROL_COROUTINE_CODE;

 private:
  void watch_signals() GLOBAL_STATE_CODE;
  absl::Status co_start() CONTROL_COROUTINE_CODE;
  absl::Status co_announce() CONTROL_COROUTINE_CODE;
  std::string co_wait_for_end() CONTROL_COROUTINE_CODE;
  absl::Status co_end() CONTROL_COROUTINE_CODE;
  absl::Status co_stop_monitors() CONTROL_COROUTINE_CODE;
  [[noreturn]] void abandon(const absl::Status& status);

  const DaemonPlan& plan_;
  ShutdownSignals& signals_;
  const std::function<void()>& on_ready_;
  LocalHost host_;
  Daemon daemon_;
  DaemonSetup setup_{daemon_, {}};
  std::vector<std::unique_ptr<QmpServer>> monitors_;
  PidFile pid_file_;
  CoEvent signals_watched_;
  std::string signal_;
};

absl::Status DaemonServer::co_serve() {
  watch_signals();
  const absl::Status started = co_start();
  // Somebody may want the end while it starts.
  if (started.ok() && !daemon_.quit.is_set()) on_ready_();
  if (!started.ok()) daemon_.quit.set();
  const std::string cause = co_wait_for_end();
  const absl::Status ended = co_end();
  if (!started.ok()) return started;
  log_line(LogLevel::kInfo, "ended after " + cause);
  return ended;
}

void DaemonServer::watch_signals() {
  control_context().spawn("watch signals", [this] {
    assert_in_coroutine();
    assert_control_thread();
    signal_ = signals_.co_wait();
    daemon_.quit.set();
    // A start step may wait for one.
    daemon_.openings.cancel_all();
    signals_watched_.set();
  });
}

absl::Status DaemonServer::co_start() {
  for (const StartStep& step : plan_.steps) {
    const absl::Status done = step(setup_);
    // What the end has cut short has not failed.
    if (daemon_.quit.is_set()) return absl::OkStatus();
    if (!done.ok()) return done;
  }
  // Of exports that came before the monitor.
  if (!daemon_.socket.empty()) daemon_.exports.co_update_records();
  for (const std::unique_ptr<Chardev>& chardev : setup_.chardevs) {
    std::unique_ptr<QmpServer> monitor = chardev->start_monitor(daemon_);
    if (monitor != nullptr) monitors_.push_back(std::move(monitor));
  }
  return co_announce();
}

absl::Status DaemonServer::co_announce() {
  if (plan_.pid_file.empty()) return absl::OkStatus();
  return ThreadPool::shared().co_run([this] { return pid_file_.write(plan_.pid_file); });
}

std::string DaemonServer::co_wait_for_end() {
  daemon_.quit.co_wait();
  if (plan_.foreground) sd_notify(0, "STOPPING=1");
  signals_.cancel();
  signals_watched_.co_wait();
  return signal_.empty() ? "the command 'quit'" : signal_;
}

// Clients are told of the exports' end before they are disconnected.
absl::Status DaemonServer::co_end() {
  absl::Status status = daemon_.co_end_exports();
  const absl::Status stopped = co_stop_monitors();
  status.Update(stopped);
  if (daemon_.abandoned() || !stopped.ok()) abandon(status);
  status.Update(daemon_.co_shut_down());
  if (daemon_.abandoned()) abandon(status);
  monitors_.clear();
  for (const std::unique_ptr<Chardev>& chardev : setup_.chardevs) chardev->co_close();
  pid_file_.remove();
  return status;
}

absl::Status DaemonServer::co_stop_monitors() {
  const Nanoseconds deadline = AioContext::current()->now() + kCommandLimit;
  absl::Status status;
  for (const std::unique_ptr<QmpServer>& monitor : monitors_) {
    status.Update(monitor->co_stop(deadline - AioContext::current()->now()));
  }
  return status;
}

void DaemonServer::abandon(const absl::Status& status) {
  log_line(LogLevel::kError, status_text(status));
  pid_file_.remove();
  // Threads and commands still use what destructors would free.
  std::_Exit(1);
}

}  // namespace

absl::Status serve_daemon(const DaemonPlan& plan, const std::function<void()>& on_ready) {
  // A client or a reader of our messages that goes away must not end the server.
  std::signal(SIGPIPE, SIG_IGN);
  const absl::StatusOr<std::unique_ptr<ShutdownSignals>> signals = ShutdownSignals::create();
  if (!signals.ok()) return signals.status();
  // See serve_mount(): write-back that this process does must not wait for itself.
  ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);

  return run_control_loop(plan.engine, [&] {
    assert_in_coroutine();
    assert_control_thread();
    DaemonServer server(plan, **signals, on_ready);
    return server.co_serve();
  });
}

}  // namespace penstock
