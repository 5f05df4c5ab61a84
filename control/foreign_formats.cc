// SPDX-License-Identifier: Apache-2.0
#include "control/foreign_formats.h"

#include <cstring>

namespace penstock {
namespace {

using std::string_view_literals::operator""sv;

struct Mark {
  std::string_view format;
  enum { kHead, kTail } part;
  size_t offset;  // bytes, in that part
  std::string_view bytes;
};

constexpr Mark kMarks[] = {
    {"qcow", Mark::kHead, 0, "QFI\xfb\0\0\0\x01"sv},
    // Of versions to come: the driver says which it knows.
    {"qcow2", Mark::kHead, 0, "QFI\xfb"sv},
    {"vmdk", Mark::kHead, 0, "KDMV"sv},
    {"vmdk", Mark::kHead, 0, "COWD"sv},
    {"vmdk", Mark::kHead, 0, "# Disk DescriptorFile"sv},
    {"vhdx", Mark::kHead, 0, "vhdxfile"sv},
    {"vdi", Mark::kHead, 0x40, "\x7f\x10\xda\xbe"sv},
    {"vpc", Mark::kHead, 0, "conectix"sv},
    {"vpc", Mark::kTail, 0, "conectix"sv},
    {"qed", Mark::kHead, 0, "QED\0"sv},
    {"parallels", Mark::kHead, 0, "WithoutFreeSpace"sv},
    {"parallels", Mark::kHead, 0, "WithouFreSpacExt"sv},
    {"dmg", Mark::kTail, 0, "koly"sv},
    {"ewf", Mark::kHead, 0, "EVF\x09\x0d\x0a\xff\0"sv},
};

}  // namespace

std::string_view find_foreign_format(std::span<const std::byte> head,
                                     std::span<const std::byte> tail) {
  for (const Mark& mark : kMarks) {
    const std::span<const std::byte> part = mark.part == Mark::kHead ? head : tail;
    if (part.size() >= mark.offset + mark.bytes.size() &&
        std::memcmp(part.data() + mark.offset, mark.bytes.data(), mark.bytes.size()) == 0) {
      return mark.format;
    }
  }
  return {};
}

bool is_foreign_format(std::string_view name) {
  for (const Mark& mark : kMarks) {
    if (mark.format == name) return true;
  }
  return false;
}

}  // namespace penstock
