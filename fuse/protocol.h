// SPDX-License-Identifier: Apache-2.0
// The kernel's FUSE protocol: <linux/fuse.h>, what Debian 12's copy (7.38) lacks, and our sizes.
//
// Ownership: constants.
// Threads: pure.
// Errors: none.
// Invariants: the numbers are kernel ABI.
#pragma once

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>

namespace penstock {

// Linux 6.6, protocol 7.39: shared mmap of a file that is open for direct I/O.
inline constexpr uint64_t kInitDirectIoAllowMmap = uint64_t{1} << 36;
// Linux 6.6, protocol 7.39: an opcode that we leave to the kernel's fallback (getattr).
inline constexpr uint32_t kOpcodeStatx = 52;

// The newest protocol whose replies we know.
inline constexpr uint32_t kProtocolMajor = 7;
inline constexpr uint32_t kProtocolMinor = 39;
// The oldest that we serve: Linux 4.20, 7.28, the first with FUSE_MAX_PAGES.
inline constexpr uint32_t kOldestProtocolMinor = 28;

// Bytes of data in one read or write request.
inline constexpr size_t kMaxTransfer = size_t{1} << 20;
inline constexpr size_t kProtocolPage = 4096;

// Where a write's data starts in its message. A receiver splits messages here, so that the data
// lands at the start of an aligned buffer.
inline constexpr size_t kWriteDataOffset = sizeof(fuse_in_header) + sizeof(fuse_write_in);

}  // namespace penstock
