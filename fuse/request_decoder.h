// SPDX-License-Identifier: Apache-2.0
// Turns the bytes of one FUSE request into a checked value.
//
// Ownership: the request's name refers to the bytes it was decoded from.
// Threads: pure.
// Errors: a request that is shorter, longer or otherwise not as its opcode demands is refused with
//   EINVAL (ENAMETOOLONG for a name); one without a whole header cannot be answered at all.
// Invariants: whatever the bytes, no byte outside them is read. After success offset + length does
//   not overflow a signed 64-bit number, a name is 1 to 255 bytes without '/' or NUL.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "fuse/protocol.h"

namespace penstock {

struct FuseRequest {
  uint32_t opcode = 0;  // FUSE_*
  uint64_t unique = 0;
  uint64_t node = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;

  // Whichever the opcode has; else 0.
  uint64_t handle = 0;
  uint64_t offset = 0;  // bytes; readdir: a cookie
  uint64_t length = 0;  // bytes; of the reply for read and readdir
  uint32_t flags = 0;   // open(2)'s flags; write: the file's; fsync: FUSE_FSYNC_*
  uint32_t mode = 0;    // fallocate's mode, lseek's whence, access's mask
  std::string_view name;
  fuse_setattr_in attributes;  // FUSE_SETATTR only
};

struct DecodeResult {
  int error = 0;            // positive errno; 0: the request is good
  bool answerable = false;  // unique is known, so that an error can be replied
};

// Decodes a message of `head.size() + payload_length` bytes. `head` holds its start: for FUSE_WRITE
// exactly what is before the data (kWriteDataOffset bytes), for others all of it, or so much of a
// message longer than the receiver's head buffer. Opcodes unknown here decode by their header.
DecodeResult decode_request(std::span<const std::byte> head, uint64_t payload_length,
                            FuseRequest* request);

// True if the kernel waits for a reply to `opcode`. The others are its own bookkeeping (forget,
// interrupt) and need no work.
bool wants_reply(uint32_t opcode);

}  // namespace penstock
