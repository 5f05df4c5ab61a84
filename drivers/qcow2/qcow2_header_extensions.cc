// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_header_extensions.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/big_endian.h"
#include "base/byte_range.h"
#include "base/status.h"
#include "drivers/qcow2/qcow2_format.h"

namespace penstock {
namespace {

constexpr size_t kExtensionHeadSize = 8;
constexpr size_t kFeatureNameSize = 48;
// One for each bit of the three sets of features.
constexpr size_t kMaxFeatureNames = 3 * 64;
constexpr size_t kMaxFormatNameLength = 255;
constexpr size_t kMaxDataFileNameLength = 4095;
constexpr uint32_t kMaxBitmaps = 65535;
constexpr uint64_t kMaxBitmapDirectorySize = 64 << 20;  // bytes

absl::Status bad_extension(const std::string& what) {
  return errno_message(EINVAL, "qcow2: " + what + "; the image is damaged.");
}

absl::Status parse_string(std::span<const std::byte> data, size_t longest, const char* what,
                          std::string& value) {
  if (data.size() > longest) {
    return bad_extension(std::string(what) + " in the header has " + std::to_string(data.size()) +
                         " bytes, more than " + std::to_string(longest));
  }
  absl::StatusOr<std::string> text = qcow2_string(data, what);
  if (!text.ok()) return text.status();
  value = *std::move(text);
  return absl::OkStatus();
}

void parse_feature_names(std::span<const std::byte> data, Qcow2Header& header) {
  header.feature_names.clear();
  while (data.size() >= kFeatureNameSize && header.feature_names.size() < kMaxFeatureNames) {
    Qcow2FeatureName feature;
    feature.type = static_cast<uint8_t>(data[0]);
    feature.bit = static_cast<uint8_t>(data[1]);
    const auto* const name = reinterpret_cast<const char*>(data.data()) + 2;
    feature.name.assign(name, ::strnlen(name, kFeatureNameSize - 2));
    if (feature.type <= 2 && feature.bit < 64) header.feature_names.push_back(std::move(feature));
    data = data.subspan(kFeatureNameSize);
  }
}

absl::Status parse_bitmaps(std::span<const std::byte> data, Qcow2Header& header) {
  if (data.size() != 24) {
    return bad_extension("the bitmaps extension of the header has " + std::to_string(data.size()) +
                         " bytes instead of 24");
  }
  // Without its bit the extension was not kept up to date: what it says is void.
  if ((header.autoclear_features & kQcow2Bitmaps) == 0) return absl::OkStatus();
  header.bitmap_count = load_be32(&data[0]);
  header.bitmap_directory_size = load_be64(&data[8]);
  header.bitmap_directory_offset = load_be64(&data[16]);
  if (header.bitmap_count == 0 || header.bitmap_count > kMaxBitmaps) {
    return bad_extension("the header counts " + std::to_string(header.bitmap_count) +
                         " bitmaps, where 1 to 65535 can be");
  }
  if (load_be32(&data[4]) != 0) {
    return bad_extension("reserved bytes of the header's bitmaps extension are not zero");
  }
  if (header.bitmap_directory_offset == 0 ||
      !is_aligned(header.bitmap_directory_offset, header.cluster_size()) ||
      header.bitmap_directory_size > kMaxBitmapDirectorySize ||
      header.bitmap_directory_offset > INT64_MAX - header.bitmap_directory_size) {
    return bad_extension("the bitmap directory at offset " +
                         std::to_string(header.bitmap_directory_offset) + " of " +
                         std::to_string(header.bitmap_directory_size) + " bytes cannot be there");
  }
  return absl::OkStatus();
}

absl::Status parse_extension(uint32_t type, std::span<const std::byte> data, Qcow2Header& header) {
  switch (type) {
    case kQcow2ExtensionBackingFormat:
      return parse_string(data, kMaxFormatNameLength, "the backing file's format",
                          header.backing_format);
    case kQcow2ExtensionDataFile:
      return parse_string(data, kMaxDataFileNameLength, "the data file's name",
                          header.data_file_name);
    case kQcow2ExtensionFeatureNames:
      parse_feature_names(data, header);
      return absl::OkStatus();
    case kQcow2ExtensionBitmaps:
      return parse_bitmaps(data, header);
    case kQcow2ExtensionCrypto:
      return errno_message(ENOTSUP,
                           "qcow2: the image is encrypted, and encrypted images are not supported "
                           "yet; decrypt it with 'qemu-img convert' first.");
    default:
      return absl::OkStatus();
  }
}

}  // namespace

absl::Status parse_qcow2_extensions(std::span<const std::byte> area, Qcow2Header& header) {
  size_t offset = 0;
  while (area.size() - offset >= kExtensionHeadSize) {
    const uint32_t type = load_be32(&area[offset]);
    const uint32_t length = load_be32(&area[offset + 4]);
    offset += kExtensionHeadSize;
    if (type == kQcow2ExtensionEnd) break;
    if (length > area.size() - offset) {
      return bad_extension("a header extension of " + std::to_string(length) +
                           " bytes reaches past the header's end");
    }
    if (auto status = parse_extension(type, area.subspan(offset, length), header); !status.ok()) {
      return status;
    }
    offset = std::min<size_t>(offset + align_up(length, 8), area.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> qcow2_string(std::span<const std::byte> bytes, const char* what) {
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (!text.empty() && text.back() == '\0') text.pop_back();
  if (text.find('\0') != std::string::npos) {
    return bad_extension(std::string(what) + " has a zero byte inside");
  }
  return text;
}

}  // namespace penstock
