// SPDX-License-Identifier: Apache-2.0
// IoThreads as objects of object-add.
//
// Ownership: a constant.
// Threads: the control thread.
// Errors: see object_kind.h.
// Invariants: properties are QEMU's: "poll-max-ns" (0: do not poll), and without effect the others.
#pragma once

#include "control/qmp/object_kind.h"

namespace penstock {

const ObjectKind& iothread_kind();

}  // namespace penstock
