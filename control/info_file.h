// SPDX-License-Identifier: Apache-2.0
// The text of info.json: what "penstock info --output=json" says, and the partitions.
//
// Ownership: values.
// Threads: pure.
// Errors: none.
// Invariants: the text is valid JSON, whatever bytes labels have.
#pragma once

#include <string>

#include "control/image_info.h"
#include "control/partition_table.h"

namespace penstock {

std::string info_file_text(const ImageInfo& info, const PartitionTable& table);

}  // namespace penstock
