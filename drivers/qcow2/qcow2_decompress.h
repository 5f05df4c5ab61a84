// SPDX-License-Identifier: Apache-2.0
// Turns the compressed bytes of one cluster into the cluster.
//
// Ownership: borrows both memories for the call. Each thread keeps one decoder of each kind.
// Threads: any; never yields, so it may run in a coroutine or on a worker.
// Errors: EIO for data that is damaged, ends too early or goes on after the cluster is full; ENOMEM
//   if the decoder cannot be made. The text does not say where the data was.
// Invariants: writes nothing outside `cluster`; a decoder's memory does not depend on the data.
//   After an error the contents of `cluster` are undefined.
#pragma once

#include <cstddef>
#include <span>

#include "absl/status/status.h"
#include "drivers/qcow2/qcow2_header.h"

namespace penstock {

// Fills `cluster` (at most 2 MiB) from the start of `input` (at most 4 MiB). Bytes that follow the
// compressed data are ignored: the format counts whole sectors.
absl::Status qcow2_decompress(Qcow2Compression compression, std::span<const std::byte> input,
                              std::span<std::byte> cluster);

}  // namespace penstock
