// SPDX-License-Identifier: Apache-2.0
#include "iothreads/start_thread.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <utility>

#include "base/status.h"

namespace penstock {
namespace {

constexpr size_t kKernelNameLength = 15;

// Blocks what the main thread handles, for as long as it lives. New threads inherit the mask.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal :
         {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD, SIGALRM, SIGPIPE}) {
      sigaddset(&set, signal);
    }
    pthread_sigmask(SIG_BLOCK, &set, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

absl::StatusOr<std::thread> start_thread(const std::string& name, std::function<void()> body) {
  const SignalsBlocked blocked;
  int error = 0;
  try {
    std::thread thread(std::move(body));
    pthread_setname_np(thread.native_handle(), name.substr(0, kKernelNameLength).c_str());
    return thread;
  } catch (const std::system_error& failure) {
    error = failure.code().value();
  }
  return errno_status(error, "cannot start the thread \"" + name + "\"");
}

}  // namespace penstock
