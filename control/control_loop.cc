// SPDX-License-Identifier: Apache-2.0
#include "control/control_loop.h"

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "iothreads/aio_context.h"
#include "iothreads/control_thread.h"

namespace penstock {

absl::Status run_control_loop(Engine engine, const std::function<absl::Status()>& command) {
  const absl::StatusOr<std::shared_ptr<AioContext>> context = AioContext::create("control");
  if (!context.ok()) return context.status();
  absl::StatusOr<PollerChoice> choice = make_poller(engine);
  if (!choice.ok()) return choice.status();
  (*context)->attach_poller(std::move(choice->poller));

  const ControlThreadScope scope(**context);
  absl::Status result;
  (*context)->spawn("control command", [&] {
    result = command();
    (*context)->stop();
  });
  (*context)->run();
  return result;
}

}  // namespace penstock
