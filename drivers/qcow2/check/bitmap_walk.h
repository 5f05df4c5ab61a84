// SPDX-License-Identifier: Apache-2.0
// Counts the references of the dirty bitmaps that an image keeps: their directory, their tables,
// their clusters.
//
// Ownership: none.
// Threads: in flight in the image's node.
// Errors: none; what goes wrong is in the report. A directory or table that cannot be understood is
//   a corruption and an error of the check: what it refers to is not known.
// Invariants: reads in pieces; work is bounded by the limits that the format's writers keep.
#pragma once

#include "base/thread_roles.h"
#include "block/node/child.h"
#include "drivers/qcow2/check/check_pass.h"
#include "drivers/qcow2/check/check_report.h"
#include "drivers/qcow2/qcow2_geometry.h"
#include "drivers/qcow2/qcow2_header.h"

namespace penstock {

void co_walk_qcow2_bitmaps(const Child& file, const Qcow2Header& header,
                           const Qcow2Geometry& geometry, CheckPass& pass,
                           CheckReport& report) IO_CODE;

}  // namespace penstock
