// SPDX-License-Identifier: Apache-2.0
// Compressed clusters for tests: made as QEMU does, and as others may.
//
// Ownership: values.
// Threads: pure.
// Errors: aborts: a test cannot go on without its data.
// Invariants: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "drivers/qcow2/qcow2_geometry.h"
#include "drivers/qcow2/qcow2_header.h"

namespace penstock {

using Bytes = std::vector<std::byte>;

inline constexpr int kQemuWindowBits = 12;

Bytes deflate_raw(std::span<const std::byte> data, int window_bits = kQemuWindowBits);
// `window_log` 0: the library's choice. Otherwise the frame asks for a window of 2^window_log
// bytes.
Bytes zstd_frame(std::span<const std::byte> data, int window_log = 0);
Bytes compress(Qcow2Compression compression, std::span<const std::byte> data);

// Text that compresses by about half, and differs from seed to seed.
Bytes compressible(uint64_t length, uint64_t seed);
// Bytes that do not compress.
Bytes noise(uint64_t length, uint64_t seed);

// The L2 entry of a cluster whose compressed bytes are [offset, offset + size) of the file.
uint64_t compressed_descriptor(const Qcow2Geometry& geometry, uint64_t offset, uint64_t size);

}  // namespace penstock
