// SPDX-License-Identifier: Apache-2.0
// fuse/request_decoder.h with any message from the kernel's side.
//
// Input: a byte that says how the message is split (0: all of it is in the head, else the last part
// of a write is payload that the decoder does not see), then the message.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <vector>

#include "fuse/request_decoder.h"
#include "fuzz/expect.h"

using penstock::DecodeResult;
using penstock::expect;
using penstock::FuseRequest;

namespace {

// Sums up everything in a name, so that a sanitizer sees a name that reaches outside the message.
bool is_file_name(std::string_view name) {
  bool good = !name.empty() && name.size() <= 255;
  for (const char c : name) good = good && c != '/' && c != '\0';
  return good;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const uint8_t split = data[0];
  // A copy of exactly this length, so that a sanitizer sees a read past its end.
  std::vector<std::byte> head(size - 1);
  if (!head.empty()) std::memcpy(head.data(), data + 1, head.size());
  uint64_t payload = 0;
  if (split != 0 && head.size() > penstock::kWriteDataOffset) {
    payload = head.size() - penstock::kWriteDataOffset;
    head.resize(penstock::kWriteDataOffset);
    head.shrink_to_fit();
  }

  FuseRequest request;
  const DecodeResult result = penstock::decode_request(head, payload, &request);
  expect(result.error >= 0, "errors are positive");
  if (result.answerable) expect(request.unique != 0, "an answerable request has a number");
  if (result.error != 0) return 0;
  if (request.opcode != FUSE_READDIR && request.opcode != FUSE_READDIRPLUS) {
    constexpr uint64_t kEnd = std::numeric_limits<int64_t>::max();
    expect(request.offset <= kEnd && request.length <= kEnd - request.offset,
           "offset + length fits into a signed number");
  }
  if (request.opcode == FUSE_READ || request.opcode == FUSE_WRITE) {
    expect(request.length <= penstock::kMaxTransfer, "a transfer is not longer than the limit");
  }
  if (request.name.data() != nullptr) expect(is_file_name(request.name), "a name is a file name");
  return 0;
}
