// SPDX-License-Identifier: Apache-2.0
// The qcow2 driver with any bytes as an image, and a list of reads.
//
// Input: the image, then reads of 8 bytes each (offset 32 bits, length 16 bits, how 8 bits, unused
// 8 bits; little-endian), then their number. Names inside the image mean files with a pattern.
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/io/image_check.h"
#include "fuzz/expect.h"
#include "fuzz/image_world.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

constexpr uint64_t kWalked = 256 << 10;  // bytes from the start that are read in order
constexpr uint64_t kStep = 16 << 10;     // bytes
constexpr size_t kMaxReads = 15;
constexpr size_t kReadSize = 8;  // bytes in the input
constexpr unsigned kMaxStatuses = 256;
constexpr size_t kMaxViews = 3;
constexpr size_t kOtherFileSize = 100 << 10;  // bytes, and not whole clusters

struct Read {
  uint64_t offset = 0;
  uint64_t length = 0;
};

struct Input {
  std::span<const std::byte> image;
  std::span<const uint8_t> reads;
};

// What reading in order gave: nothing where it failed.
using Walk = std::vector<std::optional<std::vector<std::byte>>>;

Input split(const uint8_t* data, size_t size) {
  size_t reads = data[size - 1] % (kMaxReads + 1) * kReadSize;
  if (reads > size - 1) reads = 0;
  const size_t image = size - 1 - reads;
  return {std::as_bytes(std::span(data, image)), {data + image, reads}};
}

// The upper half of the offsets counts from the end of the disk, where no small number reaches.
Read read_at(std::span<const uint8_t> bytes, uint64_t disk_size) {
  uint32_t offset = 0;
  uint16_t length = 0;
  std::memcpy(&offset, bytes.data(), sizeof(offset));
  std::memcpy(&length, bytes.data() + 4, sizeof(length));
  Read read;
  switch (bytes[6] % 4) {
    case 0:
      read.offset = offset % kWalked;
      break;
    case 1:
      read.offset = disk_size - 1 - offset % kWalked;
      break;
    case 2:
      read.offset = uint64_t{offset} << 32 | offset;
      break;
    default:
      read.offset = uint64_t{offset} << 9;
  }
  read.offset %= disk_size;
  read.length = std::min<uint64_t>(length + uint64_t{1}, disk_size - read.offset);
  return read;
}

void check_error(const absl::Status& status) {
  if (status.ok()) return;
  expect(status_errno(status) == EIO, "reading a damaged image fails with EIO");
}

Walk co_walk(Backend& backend, uint64_t disk_size) COROUTINE_CODE {
  Walk walk;
  const uint64_t end = std::min(disk_size, kWalked);
  for (uint64_t offset = 0; offset < end; offset += kStep) {
    std::vector<std::byte> bytes(std::min(kStep, end - offset), std::byte{0xee});
    const absl::Status status = co_read_image(backend, offset, bytes);
    check_error(status);
    walk.emplace_back();
    if (status.ok()) walk.back() = std::move(bytes);
  }
  return walk;
}

// True if [offset, offset + bytes.size()) is what the walk saw, where it saw anything.
bool agrees(const Walk& walk, uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const uint64_t step = offset / kStep;
    const uint64_t inside = offset % kStep;
    if (step >= walk.size()) return true;
    const uint64_t length = std::min<uint64_t>(bytes.size(), kStep - inside);
    if (walk[step] && std::memcmp(bytes.data(), walk[step]->data() + inside, length) != 0) {
      return false;
    }
    bytes = bytes.subspan(length);
    offset += length;
  }
  return true;
}

// True if the walk saw all of it.
bool was_readable(const Walk& walk, const Read& read) {
  for (uint64_t step = read.offset / kStep; step * kStep < read.offset + read.length; ++step) {
    if (step >= walk.size() || !walk[step]) return false;
  }
  return true;
}

void co_check_statuses(Backend& backend, uint64_t disk_size, const Walk& walk) COROUTINE_CODE {
  uint64_t offset = 0;
  for (unsigned i = 0; i < kMaxStatuses && offset < std::min(disk_size, kWalked); ++i) {
    const ByteRange range{offset, disk_size - offset};
    BackendRequest request(backend, "block status", range.offset, range.length);
    const auto status = co_block_status(request.root(), range);
    if (!status.ok()) {
      check_error(status.status());
      offset += 512;
      continue;
    }
    expect(status->length > 0 && status->length <= range.length, "a status is within its range");
    if (status->zero) {
      const std::vector<std::byte> zeroes(std::min(status->length, kWalked));
      expect(agrees(walk, offset, zeroes), "what is said to be zero reads as zeroes");
    }
    offset += status->length;
  }
}

void co_check_image(Backend& backend) COROUTINE_CODE {
  BackendRequest request(backend, "check", 0, 0);
  const auto check = co_check(request.root());
  if (check.ok()) expect(check->messages.size() < 100'000, "messages of a check are limited");
}

void co_look_at(ImageWorld& world, Backend& backend,
                std::span<const uint8_t> reads) COROUTINE_CODE {
  const uint64_t disk_size = backend.root.node->size();
  (void)backend.root.node->driver->describe();
  const Walk walk = co_walk(backend, disk_size);
  co_check_statuses(backend, disk_size, walk);
  co_check_image(backend);
  if (disk_size == 0) return;

  std::vector<std::function<void()>> readers;
  for (; reads.size() >= kReadSize; reads = reads.subspan(kReadSize)) {
    readers.emplace_back([&backend, &walk, read = read_at(reads, disk_size)] {
      assert_in_coroutine();
      std::vector<std::byte> bytes(read.length, std::byte{0xee});
      const absl::Status status = co_read_image(backend, read.offset, bytes);
      check_error(status);
      if (status.ok()) {
        expect(agrees(walk, read.offset, bytes), "reads of the same range give the same bytes");
      } else {
        expect(!was_readable(walk, read), "what was readable stays readable");
      }
    });
  }
  world.co_run_all(readers);
}

void look_at_views(ImageWorld& world, const std::vector<std::string>& views,
                   std::span<const uint8_t> reads) {
  for (const std::string& view : views) {
    NodeOptions options = memory_image_options("qcow2", "image");
    options.driver_options["snapshot"] = view;
    const absl::Status opened = world.with_image(options, [&](Backend& backend) {
      assert_in_coroutine();
      co_look_at(world, backend, reads);
    });
    if (!opened.ok()) expect(status_errno(opened) != 0, "errors have an errno");
  }
}

std::vector<std::byte> pattern() {
  std::vector<std::byte> bytes(kOtherFileSize);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
  return bytes;
}

}  // namespace
}  // namespace penstock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  if (size < 1) return 0;
  static const std::vector<std::byte> other_file = pattern();
  static ImageWorld world;
  const Input input = split(data, size);
  world.files() = {{"image", input.image}, {"backing", other_file}, {"data", other_file}};
  world.seed(size);

  std::vector<std::string> views;
  const absl::Status opened =
      world.with_image(memory_image_options("qcow2", "image"), [&](Backend& backend) {
        assert_in_coroutine();
        co_look_at(world, backend, input.reads);
        for (const ImageSnapshot& snapshot : backend.root.node->driver->snapshots()) {
          if (views.size() < kMaxViews) views.push_back(snapshot.id);
        }
      });
  if (!opened.ok()) {
    expect(status_errno(opened) != 0, "errors have an errno");
    return 0;
  }
  look_at_views(world, views, input.reads);
  return 0;
}
