// SPDX-License-Identifier: Apache-2.0
#include "fuse/request_decoder.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace penstock {
namespace {

using Bytes = std::vector<std::byte>;

template <typename T>
void append(Bytes* bytes, const T& value) {
  const auto* begin = reinterpret_cast<const std::byte*>(&value);
  bytes->insert(bytes->end(), begin, begin + sizeof(value));
}

void append_name(Bytes* bytes, const std::string& name) {
  for (char c : name) bytes->push_back(static_cast<std::byte>(c));
  bytes->push_back(std::byte{0});
}

Bytes message_with(uint32_t opcode, const Bytes& body, uint64_t payload_length = 0) {
  fuse_in_header header = {};
  header.len = static_cast<uint32_t>(sizeof(header) + body.size() + payload_length);
  header.opcode = opcode;
  header.unique = 7;
  header.nodeid = 2;
  Bytes bytes;
  append(&bytes, header);
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

template <typename T>
Bytes message(uint32_t opcode, const T& body, uint64_t payload_length = 0) {
  Bytes bytes;
  append(&bytes, body);
  return message_with(opcode, bytes, payload_length);
}

Bytes named_message(uint32_t opcode, const std::string& name) {
  Bytes bytes;
  append_name(&bytes, name);
  return message_with(opcode, bytes);
}

DecodeResult decode(const Bytes& bytes, FuseRequest* request, uint64_t payload_length = 0) {
  return decode_request(bytes, payload_length, request);
}

int error_of(const Bytes& bytes, uint64_t payload_length = 0) {
  FuseRequest request;
  return decode(bytes, &request, payload_length).error;
}

// One good message of every opcode that has something to decode.
std::vector<Bytes> good_messages() {
  return {
      message(FUSE_READ, fuse_read_in{}),
      message(FUSE_WRITE, fuse_write_in{}),
      message(FUSE_READDIR, fuse_read_in{}),
      message(FUSE_READDIRPLUS, fuse_read_in{}),
      message(FUSE_FALLOCATE, fuse_fallocate_in{}),
      message(FUSE_LSEEK, fuse_lseek_in{}),
      message(FUSE_SETATTR, fuse_setattr_in{}),
      message(FUSE_GETATTR, fuse_getattr_in{}),
      message(FUSE_OPEN, fuse_open_in{}),
      message(FUSE_OPENDIR, fuse_open_in{}),
      message(FUSE_RELEASE, fuse_release_in{}),
      message(FUSE_RELEASEDIR, fuse_release_in{}),
      message(FUSE_FLUSH, fuse_flush_in{}),
      message(FUSE_FSYNC, fuse_fsync_in{}),
      message(FUSE_FSYNCDIR, fuse_fsync_in{}),
      message(FUSE_ACCESS, fuse_access_in{}),
      named_message(FUSE_LOOKUP, "disk"),
      named_message(FUSE_UNLINK, "disk"),
      named_message(FUSE_RMDIR, "disk"),
  };
}

TEST(RequestDecoder, EveryOpcodeDecodes) {
  for (const Bytes& bytes : good_messages()) {
    FuseRequest request;
    const DecodeResult result = decode(bytes, &request);
    EXPECT_EQ(result.error, 0) << request.opcode;
    EXPECT_TRUE(result.answerable) << request.opcode;
    EXPECT_EQ(request.unique, 7u);
    EXPECT_EQ(request.node, 2u);
  }
}

TEST(RequestDecoder, OpcodesWithoutABodyAndUnknownOnesDecodeByTheirHeader) {
  for (uint32_t opcode : {uint32_t{FUSE_STATFS}, uint32_t{FUSE_DESTROY}, kOpcodeStatx, 999u}) {
    EXPECT_EQ(error_of(message_with(opcode, {})), 0);
    EXPECT_EQ(error_of(message_with(opcode, Bytes(200))), 0);
  }
}

TEST(RequestDecoder, TruncatedBodiesAreRefusedAndAnswerable) {
  for (const Bytes& whole : good_messages()) {
    for (size_t length = sizeof(fuse_in_header); length < whole.size(); ++length) {
      Bytes bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length));
      reinterpret_cast<fuse_in_header*>(bytes.data())->len = static_cast<uint32_t>(length);
      FuseRequest request;
      const DecodeResult result = decode(bytes, &request);
      EXPECT_EQ(result.error, EINVAL) << request.opcode << " cut to " << length;
      EXPECT_TRUE(result.answerable);
    }
  }
}

TEST(RequestDecoder, ARequestWithoutAWholeHeaderCannotBeAnswered) {
  const Bytes whole = message_with(FUSE_STATFS, {});
  for (size_t length = 0; length < sizeof(fuse_in_header); ++length) {
    FuseRequest request;
    const DecodeResult result = decode_request({whole.data(), length}, 0, &request);
    EXPECT_EQ(result.error, EINVAL);
    EXPECT_FALSE(result.answerable);
  }
}

TEST(RequestDecoder, ALengthThatIsNotTheMessagesIsRefused) {
  Bytes bytes = message(FUSE_READ, fuse_read_in{});
  reinterpret_cast<fuse_in_header*>(bytes.data())->len += 1;
  EXPECT_EQ(error_of(bytes), EINVAL);
  EXPECT_EQ(error_of(message(FUSE_READ, fuse_read_in{}), 1), EINVAL);
}

TEST(RequestDecoder, AWriteNamesExactlyTheDataThatCame) {
  fuse_write_in in = {};
  in.offset = 4096;
  in.size = 512;
  in.flags = 0x1234;
  FuseRequest request;
  ASSERT_EQ(decode(message(FUSE_WRITE, in, 512), &request, 512).error, 0);
  EXPECT_EQ(request.offset, 4096u);
  EXPECT_EQ(request.length, 512u);
  EXPECT_EQ(request.flags, 0x1234u);
  EXPECT_EQ(error_of(message(FUSE_WRITE, in, 511), 511), EINVAL);
  EXPECT_EQ(error_of(message(FUSE_WRITE, in, 513), 513), EINVAL);
}

TEST(RequestDecoder, TransfersEndWithinASignedOffsetAndTheAgreedSize) {
  fuse_read_in in = {};
  in.size = kMaxTransfer;
  EXPECT_EQ(error_of(message(FUSE_READ, in)), 0);
  in.size = kMaxTransfer + 1;
  EXPECT_EQ(error_of(message(FUSE_READ, in)), EINVAL);
  in.size = 4096;
  in.offset = static_cast<uint64_t>(INT64_MAX) - 4095;
  EXPECT_EQ(error_of(message(FUSE_READ, in)), EINVAL);
  in.offset = UINT64_MAX;
  EXPECT_EQ(error_of(message(FUSE_READ, in)), EINVAL);
}

TEST(RequestDecoder, RangesOfFallocateAndSeeksAreChecked) {
  fuse_fallocate_in allocate = {};
  allocate.offset = 1;
  allocate.length = UINT64_MAX;
  EXPECT_EQ(error_of(message(FUSE_FALLOCATE, allocate)), EINVAL);
  fuse_lseek_in seek = {};
  seek.offset = uint64_t{1} << 63;
  EXPECT_EQ(error_of(message(FUSE_LSEEK, seek)), EINVAL);
  fuse_setattr_in set = {};
  set.valid = FATTR_SIZE;
  set.size = uint64_t{1} << 63;
  EXPECT_EQ(error_of(message(FUSE_SETATTR, set)), EFBIG);
}

TEST(RequestDecoder, TimesAreWholeSeconds) {
  fuse_setattr_in in = {};
  in.valid = FATTR_MTIME;
  in.mtimensec = 1'000'000'000;
  EXPECT_EQ(error_of(message(FUSE_SETATTR, in)), EINVAL);
  in.mtimensec -= 1;
  EXPECT_EQ(error_of(message(FUSE_SETATTR, in)), 0);
}

TEST(RequestDecoder, NamesAreChecked) {
  FuseRequest request;
  const Bytes good = named_message(FUSE_LOOKUP, std::string(255, 'a'));
  ASSERT_EQ(decode(good, &request).error, 0);
  EXPECT_EQ(request.name.size(), 255u);
  EXPECT_EQ(error_of(named_message(FUSE_LOOKUP, std::string(256, 'a'))), ENAMETOOLONG);
  EXPECT_EQ(error_of(named_message(FUSE_LOOKUP, "")), EINVAL);
  EXPECT_EQ(error_of(named_message(FUSE_LOOKUP, "a/b")), EINVAL);
  EXPECT_EQ(error_of(message_with(FUSE_LOOKUP, {std::byte{'a'}})), EINVAL);
}

TEST(RequestDecoder, BookkeepingIsNotAnswered) {
  for (uint32_t opcode : {FUSE_FORGET, FUSE_BATCH_FORGET, FUSE_INTERRUPT}) {
    FuseRequest request;
    EXPECT_FALSE(decode(message_with(opcode, Bytes(16)), &request).answerable);
  }
}

TEST(RequestDecoder, AnyBytesGiveACleanAnswer) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200'000; ++round) {
    Bytes bytes(random() % 200);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    const uint64_t payload_length = random() % 2 == 0 ? 0 : random() % kMaxTransfer;
    if (bytes.size() >= sizeof(fuse_in_header)) {
      auto* header = reinterpret_cast<fuse_in_header*>(bytes.data());
      if (random() % 8 != 0) header->opcode = random() % 54;
      if (random() % 8 != 0) header->len = static_cast<uint32_t>(bytes.size() + payload_length);
    }
    FuseRequest request;
    const DecodeResult result = decode(bytes, &request, payload_length);
    if (result.error != 0) continue;
    EXPECT_LE(request.offset + request.length, UINT64_MAX);
    EXPECT_LE(request.name.size(), 255u);
  }
}

}  // namespace
}  // namespace penstock
