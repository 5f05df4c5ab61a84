// SPDX-License-Identifier: Apache-2.0
// Names of links and directories in a mount, made of names that an image carries.
//
// Ownership: values.
// Threads: pure.
// Errors: an empty name: none can be made.
// Invariants: every name is a single, ordinary path component: not empty, not "." or "..", without
//   '/' and zero bytes, at most 255 bytes.
#pragma once

#include <string>
#include <vector>

#include "block/node/image_snapshot.h"

namespace penstock {

// The link below by-label, by-uuid or by-partname for this label: encoded as udev names its links,
// unusual bytes as \xNN.
std::string link_name(const std::string& label);

// A directory for each snapshot, in their order, all different: its name, with '/', zero bytes and
// names that mean something else written \xNN. Of several with one name, the first has it and the
// others have "-ID" added.
std::vector<std::string> snapshot_directory_names(const std::vector<ImageSnapshot>& snapshots);

}  // namespace penstock
