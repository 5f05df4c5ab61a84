// SPDX-License-Identifier: Apache-2.0
// The extensions that follow the fixed fields of a qcow2 header.
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL for an extension that does not fit into its area or breaks its own format; ENOTSUP
//   for the encryption header.
// Invariants: unknown extensions are skipped. Nothing outside of the area is looked at.
#pragma once

#include <cstddef>
#include <span>

#include "absl/status/status.h"
#include "drivers/qcow2/qcow2_header.h"

namespace penstock {

// Fills the fields of `header` that extensions carry. `area`: from the end of the fixed fields to
// the backing file's name or the end of the first cluster. REQUIRES: the fixed fields are parsed.
absl::Status parse_qcow2_extensions(std::span<const std::byte> area, Qcow2Header& header);

// A string of the image without the zero bytes that some writers put at its end. EINVAL for a zero
// byte elsewhere; `what` names the string.
absl::StatusOr<std::string> qcow2_string(std::span<const std::byte> bytes, const char* what);

}  // namespace penstock
