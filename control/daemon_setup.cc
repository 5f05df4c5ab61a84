// SPDX-License-Identifier: Apache-2.0
#include "control/daemon_setup.h"

#include <utility>

#include "control/daemon_state.h"
#include "control/options/chardev_options.h"
#include "control/qmp/qmp_socket_path.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

absl::Status co_open_socket(DaemonSetup& setup, const std::string& path) CONTROL_COROUTINE_CODE;
absl::Status co_open_socket(DaemonSetup& setup, const std::string& path) {
  ChardevOptions options;
  options.id = "control";
  options.kind = ChardevOptions::Kind::kListen;
  options.path = path;
  options.wait = false;
  absl::StatusOr<std::unique_ptr<Chardev>> chardev = Chardev::co_open(options, setup.daemon.quit);
  if (!chardev.ok()) return chardev.status();
  setup.chardevs.push_back(*std::move(chardev));
  return setup.chardevs.back()->claim_for_monitor(/*pretty=*/false);
}

}  // namespace

StartStep open_control_socket(std::string path,
                              std::function<void(const std::string& path)> on_open) {
  return [given = std::move(path), on_open = std::move(on_open)](DaemonSetup& setup) {
    assert_in_coroutine();
    assert_control_thread();
    absl::StatusOr<std::string> chosen = given;
    if (given.empty()) chosen = ThreadPool::shared().co_run(&default_qmp_socket_path);
    if (!chosen.ok()) return chosen.status();
    absl::Status opened = co_open_socket(setup, *chosen);
    if (!opened.ok()) return opened;
    setup.daemon.socket = *chosen;
    on_open(*chosen);
    return opened;
  };
}

}  // namespace penstock
