// SPDX-License-Identifier: Apache-2.0
// What every export does at its end: unmount while nobody uses it, and let go of its node.
//
// Ownership: values.
// Threads: the control thread.
// Errors: co_unmount_unless_used(): EBUSY with whoever uses the mount, or with why it cannot be
//   unmounted; co_detach_from_node(): what was lost.
// Invariants: after EBUSY the mount is as it was.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/host_services.h"
#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "block/graph/graph.h"
#include "iothreads/co_event.h"

namespace penstock {

// `id` is the export's, `ended` its FuseExport::ended().
absl::Status co_unmount_unless_used(HostServices& host, const std::string& id,
                                    const std::string& mount_point,
                                    CoEvent& ended) CONTROL_COROUTINE_CODE;

// Detaches the backend of an export that has ended; waits for other people's work on the node.
absl::Status co_detach_from_node(Graph& graph, Backend& backend) CONTROL_COROUTINE_CODE;

}  // namespace penstock
