// SPDX-License-Identifier: Apache-2.0
#include "control/export_end.h"

#include <cerrno>
#include <chrono>
#include <vector>

#include "base/status.h"
#include "control/busy_holders.h"
#include "control/log.h"
#include "iothreads/co_sleep.h"
#include "iothreads/control_thread.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

// Whoever looks at a path of the mount, as df does, holds it for that moment.
constexpr std::chrono::milliseconds kPassing{200};
constexpr std::chrono::milliseconds kRetry{20};
// The kernel ends the session of an unmounted mount, unless another mount namespace has it too.
constexpr std::chrono::seconds kSessionEnd{1};
constexpr std::chrono::seconds kDetachRetry{1};

std::string listed(const std::vector<std::string>& names) {
  std::string result;
  for (const std::string& name : names) result += (result.empty() ? "" : ", ") + name;
  return result;
}

}  // namespace

absl::Status co_unmount_unless_used(HostServices& host, const std::string& id,
                                    const std::string& mount_point, CoEvent& ended) {
  const Nanoseconds deadline = control_context().now() + kPassing;
  absl::Status status;
  for (;;) {
    status = host.co_unmount(mount_point, /*lazy=*/false);
    if (status.ok()) {
      ended.co_wait_until(control_context().now() + kSessionEnd);
      return status;
    }
    if (status_errno(status) != EBUSY || control_context().now() >= deadline) break;
    co_sleep(kRetry);
  }
  const std::string what = "Export '" + id + "' was not removed: ";
  if (status_errno(status) != EBUSY) return errno_message(EBUSY, what + status_text(status));
  const std::string users =
      ThreadPool::shared().co_run([&] { return listed(find_busy_holders(mount_point)); });
  return errno_message(EBUSY, what + "'" + mount_point + "' is in use by " +
                                  (users.empty() ? "a process that cannot be seen" : users) +
                                  ". End that use, or remove it with mode 'hard'.");
}

absl::Status co_detach_from_node(Graph& graph, Backend& backend) {
  for (;;) {
    const std::string node = backend.root.node->name;
    const absl::Status status = graph.co_detach_backend(backend);
    // There is no way back, and what keeps it attached ends.
    if (backend.root.node == nullptr) return status;
    log_line(LogLevel::kWarning, "'" + backend.name + "' cannot let go of node '" + node +
                                     "' yet: " + status_text(status));
    co_sleep(kDetachRetry);
  }
}

}  // namespace penstock
