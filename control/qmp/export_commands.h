// SPDX-License-Identifier: Apache-2.0
// block-export-add, block-export-del, query-block-exports.
//
// Ownership: constants.
// Threads: the control thread.
// Errors: GenericError; a failed block-export-add leaves nothing mounted.
// Invariants: BLOCK_EXPORT_DELETED comes after the node is released: blockdev-del succeeds then.
#pragma once

#include <span>

#include "control/qmp/qmp_command.h"

namespace penstock {

std::span<const QmpCommand> export_commands();

}  // namespace penstock
