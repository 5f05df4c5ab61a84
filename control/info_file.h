// SPDX-License-Identifier: Apache-2.0
// The text of info.json: what "penstock info --output=json" says, and the partitions. Of very many
// snapshots or bitmaps the first ones are listed, with the number of the others as
// "snapshots-left-out" and "bitmaps-left-out".
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: the text is valid JSON, whatever bytes labels have, and of a few MiB at most: it
//   stays in memory as long as the mount.
#pragma once

#include <string>

#include "control/image_info.h"
#include "control/partition_table.h"

namespace penstock {

std::string info_file_text(ImageInfo info, const PartitionTable& table);

}  // namespace penstock
