// SPDX-License-Identifier: Apache-2.0
#include "fuse/request_decoder.h"

#include <errno.h>

#include <climits>
#include <cstring>
#include <limits>

namespace penstock {
namespace {

// What follows the header, in order. Every read from it is checked.
class Body {
 public:
  explicit Body(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <typename T>
  bool take(T* value) {
    if (bytes_.size() < sizeof(T)) return false;
    memcpy(value, bytes_.data(), sizeof(T));
    bytes_ = bytes_.subspan(sizeof(T));
    return true;
  }

  // A name up to its NUL: 0, EINVAL or ENAMETOOLONG.
  int take_name(std::string_view* name) {
    const void* end = memchr(bytes_.data(), '\0', bytes_.size());
    if (bytes_.empty() || end == nullptr) return bytes_.size() > NAME_MAX ? ENAMETOOLONG : EINVAL;
    const auto* begin = reinterpret_cast<const char*>(bytes_.data());
    *name = std::string_view(begin, static_cast<const char*>(end) - begin);
    bytes_ = bytes_.subspan(name->size() + 1);
    if (name->empty() || name->find('/') != std::string_view::npos) return EINVAL;
    return name->size() > NAME_MAX ? ENAMETOOLONG : 0;
  }

 private:
  std::span<const std::byte> bytes_;
};

bool is_file_range(uint64_t offset, uint64_t length) {
  constexpr uint64_t kEnd = std::numeric_limits<int64_t>::max();
  return offset <= kEnd && length <= kEnd - offset;
}

int decode_transfer(uint64_t handle, uint64_t offset, uint64_t length, FuseRequest* request) {
  if (length > kMaxTransfer || !is_file_range(offset, length)) return EINVAL;
  request->handle = handle;
  request->offset = offset;
  request->length = length;
  return 0;
}

int decode_read(Body body, FuseRequest* request) {
  fuse_read_in in;
  if (!body.take(&in)) return EINVAL;
  request->flags = in.flags;
  return decode_transfer(in.fh, in.offset, in.size, request);
}

// Directory offsets are cookies: any number.
int decode_readdir(Body body, FuseRequest* request) {
  fuse_read_in in;
  if (!body.take(&in)) return EINVAL;
  const int error = decode_transfer(in.fh, 0, in.size, request);
  request->offset = in.offset;
  return error;
}

int decode_write(Body body, uint64_t payload_length, FuseRequest* request) {
  fuse_write_in in;
  if (!body.take(&in) || in.size != payload_length) return EINVAL;
  request->flags = in.flags;
  return decode_transfer(in.fh, in.offset, in.size, request);
}

int decode_fallocate(Body body, FuseRequest* request) {
  fuse_fallocate_in in;
  if (!body.take(&in) || !is_file_range(in.offset, in.length)) return EINVAL;
  request->handle = in.fh;
  request->offset = in.offset;
  request->length = in.length;
  request->mode = in.mode;
  return 0;
}

int decode_lseek(Body body, FuseRequest* request) {
  fuse_lseek_in in;
  if (!body.take(&in) || !is_file_range(in.offset, 0)) return EINVAL;
  request->handle = in.fh;
  request->offset = in.offset;
  request->mode = in.whence;
  return 0;
}

int decode_setattr(Body body, FuseRequest* request) {
  if (!body.take(&request->attributes)) return EINVAL;
  const fuse_setattr_in& in = request->attributes;
  if ((in.valid & FATTR_SIZE) != 0 && !is_file_range(in.size, 0)) return EFBIG;
  constexpr uint32_t kSecond = 1'000'000'000;
  if ((in.valid & FATTR_ATIME) != 0 && in.atimensec >= kSecond) return EINVAL;
  if ((in.valid & FATTR_MTIME) != 0 && in.mtimensec >= kSecond) return EINVAL;
  return 0;
}

int decode_open(Body body, FuseRequest* request) {
  fuse_open_in in;
  if (!body.take(&in)) return EINVAL;
  request->flags = in.flags;
  return 0;
}

int decode_access(Body body, FuseRequest* request) {
  fuse_access_in in;
  if (!body.take(&in)) return EINVAL;
  request->mode = in.mask;
  return 0;
}

// Requests of which only the file handle matters.
template <typename T>
int decode_handle(Body body, FuseRequest* request) {
  T in;
  if (!body.take(&in)) return EINVAL;
  request->handle = in.fh;
  return 0;
}

int decode_fsync(Body body, FuseRequest* request) {
  fuse_fsync_in in;
  if (!body.take(&in)) return EINVAL;
  request->handle = in.fh;
  request->flags = in.fsync_flags;
  return 0;
}

int decode_body(Body body, uint64_t payload_length, FuseRequest* request) {
  switch (request->opcode) {
    case FUSE_READ:
      return decode_read(body, request);
    case FUSE_WRITE:
      return decode_write(body, payload_length, request);
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return decode_readdir(body, request);
    case FUSE_FALLOCATE:
      return decode_fallocate(body, request);
    case FUSE_LSEEK:
      return decode_lseek(body, request);
    case FUSE_SETATTR:
      return decode_setattr(body, request);
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      return decode_open(body, request);
    case FUSE_ACCESS:
      return decode_access(body, request);
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
      return decode_fsync(body, request);
    case FUSE_FLUSH:
      return decode_handle<fuse_flush_in>(body, request);
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
      return decode_handle<fuse_release_in>(body, request);
    case FUSE_GETATTR:
      return decode_handle<fuse_getattr_in>(body, request);
    case FUSE_LOOKUP:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
      return body.take_name(&request->name);
    default:
      return 0;  // refused or ignored by its opcode alone
  }
}

}  // namespace

DecodeResult decode_request(std::span<const std::byte> head, uint64_t payload_length,
                            FuseRequest* request) {
  Body body(head);
  fuse_in_header header;
  if (!body.take(&header)) return {EINVAL, false};
  request->opcode = header.opcode;
  request->unique = header.unique;
  request->node = header.nodeid;
  request->uid = header.uid;
  request->gid = header.gid;
  request->handle = 0;
  request->offset = 0;
  request->length = 0;
  request->flags = 0;
  request->mode = 0;
  request->name = {};
  const bool answerable = header.unique != 0 && wants_reply(header.opcode);
  if (header.len != head.size() + payload_length) return {EINVAL, answerable};
  return {decode_body(body, payload_length, request), answerable};
}

bool wants_reply(uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT &&
         opcode != FUSE_NOTIFY_REPLY;
}

}  // namespace penstock
