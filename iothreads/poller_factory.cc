// SPDX-License-Identifier: Apache-2.0
#include "iothreads/poller_factory.h"

#include <cerrno>
#include <fstream>
#include <utility>

#include "base/status.h"
#include "iothreads/epoll_poller.h"
#include "iothreads/uring_poller.h"

namespace penstock {
namespace {

// One calm line: why the kernel refused a ring.
std::string cause_of(const absl::Status& refusal) {
  switch (status_errno(refusal)) {
    case EPERM: {
      char disabled = '0';
      std::ifstream("/proc/sys/kernel/io_uring_disabled") >> disabled;
      if (disabled == '1' || disabled == '2') {
        return std::string("io_uring is forbidden by kernel.io_uring_disabled=") + disabled;
      }
      return "io_uring is forbidden by a seccomp policy (EPERM)";
    }
    case ENOSYS:
      return "io_uring is not offered by this kernel (ENOSYS; Linux 5.11 has what is needed)";
    default:
      return "io_uring is not usable: " + status_text(refusal);
  }
}

}  // namespace

std::optional<Engine> parse_engine(std::string_view word) {
  if (word == "auto") return Engine::kAuto;
  if (word == "io_uring") return Engine::kIoUring;
  if (word == "threads") return Engine::kThreads;
  return std::nullopt;
}

absl::StatusOr<PollerChoice> make_poller(Engine engine) {
  PollerChoice choice;
  if (engine != Engine::kThreads) {
    auto uring = UringPoller::create(UringPoller::EntrySize::k64);
    if (uring.ok()) {
      choice.poller = *std::move(uring);
      return choice;
    }
    if (engine == Engine::kIoUring) return uring.status();
    choice.cause = cause_of(uring.status());
  }
  auto epoll = EpollPoller::create();
  if (!epoll.ok()) return epoll.status();
  choice.poller = *std::move(epoll);
  return choice;
}

}  // namespace penstock
