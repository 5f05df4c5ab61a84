// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/event_table.h"

namespace penstock {
namespace {

constexpr char kBlockJobKeys[] = "type, device (the job's id), len, offset, speed";

constexpr QmpEvent kEvents[] = {
    {"BLOCK_EXPORT_DELETED", "An export has ended and its mount is gone.", "id"},
    {"BLOCK_IO_ERROR",
     "A request of a user of the node failed. At most a few are told a second and node; the last"
     " one of such a second says how many were left out.",
     "node-name, qom-path and device (empty), operation (\"read\" or \"write\"), action"
     " (\"report\"), nospace, reason, x-penstock-left-out"},
    {"BLOCK_JOB_CANCELLED", "A block job ended because it was cancelled.", kBlockJobKeys},
    {"BLOCK_JOB_COMPLETED", "A block job ended; with \"error\" it failed.",
     "type, device (the job's id), len, offset, speed, error"},
    {"BLOCK_JOB_ERROR", "A request of a block job failed.",
     "device (the job's id), operation (\"read\" or \"write\"), action (\"report\", \"ignore\" or"
     " \"stop\")"},
    {"BLOCK_JOB_PENDING", "A block job waits for job-finalize.", "type, id"},
    {"BLOCK_JOB_READY", "A block job can be completed.", kBlockJobKeys},
    {"JOB_STATUS_CHANGE", "A job has another status now.", "id, status"},
    {"X_PENSTOCK_BLOCK_RESIZED", "A node has another size now.", "node-name, size (bytes)"},
};

}  // namespace

std::span<const QmpEvent> all_qmp_events() { return kEvents; }

}  // namespace penstock
