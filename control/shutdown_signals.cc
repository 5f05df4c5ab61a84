// SPDX-License-Identifier: Apache-2.0
#include "control/shutdown_signals.h"

#include <poll.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <cstring>

#include "base/status.h"
#include "iothreads/aio_context.h"

namespace penstock {
namespace {

constexpr int kSignals[] = {SIGTERM, SIGINT, SIGHUP};

}  // namespace

absl::StatusOr<std::unique_ptr<ShutdownSignals>> ShutdownSignals::create() {
  std::unique_ptr<ShutdownSignals> signals(new ShutdownSignals);
  sigset_t mask;
  sigemptyset(&mask);
  for (const int signal : kSignals) sigaddset(&mask, signal);
  pthread_sigmask(SIG_BLOCK, &mask, &signals->old_mask_);
  signals->fd_.reset(::signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals->fd_.valid()) return errno_status(errno, "signalfd");
  return signals;
}

ShutdownSignals::~ShutdownSignals() { pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr); }

std::string ShutdownSignals::co_wait() {
  if (cancelled_) return "";
  poll_ = IoOperation{};
  poll_.opcode = IoOpcode::kPoll;
  poll_.fd = fd_.get();
  poll_.mode = POLLIN;
  waiting_ = true;
  const int32_t result = co_perform(poll_);
  waiting_ = false;
  signalfd_siginfo info;
  if (result < 0 || ::read(fd_.get(), &info, sizeof info) != sizeof info) return "";
  return std::string("SIG") + sigabbrev_np(static_cast<int>(info.ssi_signo));
}

void ShutdownSignals::cancel() {
  cancelled_ = true;
  if (waiting_) AioContext::current()->poller().cancel(&poll_);
}

}  // namespace penstock
