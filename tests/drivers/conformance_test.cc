// SPDX-License-Identifier: Apache-2.0
// What every stack of drivers that stores bytes promises, against a model of the bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/status.h"
#include "block/io/child_io.h"
#include "drivers/throttle/throttle_groups.h"
#include "iothreads/coroutine.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Bytes = std::vector<std::byte>;
using nlohmann::json;

constexpr uint64_t kSize = 3 * 1024 * 1024 + 1234;  // no multiple of a sector
constexpr uint64_t kWindow = 65536 + 512;           // offset of "raw with an offset"
constexpr unsigned kRegions = 8;
constexpr uint64_t kRegion = kSize / kRegions;  // regions meet inside sectors

struct Stack {
  std::string name = "";
  std::string folder = "/dev/shm";
  // "raw", "raw_offset", "faults", "faults_4096", "raw_on_faults", "throttle", "copy_on_read",
  // "copy_before_write"
  std::string layers = "file";
  bool direct = false;
  bool unmap = true;
  Engine engine = Engine::kAuto;
  unsigned iothreads = 1;

  uint64_t base() const { return layers == "raw_offset" ? kWindow : 0; }
  json options(const std::string& path) const {
    json file = {{"driver", "file"},
                 {"filename", path},
                 {"discard", unmap ? "unmap" : "ignore"},
                 {"cache", {{"direct", direct}}}};
    if (layers == "raw") return {{"driver", "raw"}, {"file", file}};
    if (layers == "raw_offset") return {{"driver", "raw"}, {"offset", kWindow}, {"file", file}};
    if (layers == "faults") return {{"driver", "faults"}, {"file", file}};
    if (layers == "faults_4096") return {{"driver", "faults"}, {"align", 4096}, {"file", file}};
    if (layers == "throttle") {
      return {{"driver", "throttle"}, {"throttle-group", "fast"}, {"file", file}};
    }
    if (layers == "copy_on_read") return {{"driver", "copy-on-read"}, {"file", file}};
    if (layers == "copy_before_write") {
      const json target = {{"driver", "null-co"}, {"size", kSize}};
      return {{"driver", "copy-before-write"}, {"file", file}, {"target", target}};
    }
    if (layers == "raw_on_faults") {
      return {{"driver", "raw"}, {"file", {{"driver", "faults"}, {"align", 512}, {"file", file}}}};
    }
    return file;
  }
};

std::vector<Stack> stacks() {
  std::vector<Stack> all;
  for (const char* layers : {"file", "raw", "raw_offset", "faults", "faults_4096", "raw_on_faults",
                             "throttle", "copy_on_read", "copy_before_write"}) {
    for (const unsigned iothreads : {1u, 4u}) {
      all.push_back({.layers = layers, .iothreads = iothreads});
      all.push_back({.folder = "/tmp", .layers = layers, .iothreads = iothreads});
      all.push_back({.folder = "/tmp", .layers = layers, .direct = true, .iothreads = iothreads});
    }
  }
  for (const bool direct : {false, true}) {
    all.push_back({.folder = "/tmp", .direct = direct, .engine = Engine::kThreads, .iothreads = 4});
  }
  all.push_back({.folder = "/tmp", .layers = "raw", .unmap = false, .iothreads = 4});
  for (Stack& stack : all) {
    stack.name = stack.layers + (stack.folder == "/tmp" ? "_disk" : "_memory") +
                 (stack.direct ? "_direct" : "") + (stack.unmap ? "" : "_no_unmap") +
                 (stack.engine == Engine::kThreads ? "_threads" : "") + "_" +
                 std::to_string(stack.iothreads);
  }
  return all;
}

void PrintTo(const Stack& stack, std::ostream* out) { *out << stack.name; }

// Limits that hold back a little of what the tests do.
void add_throttle_group(DriverWorld& world) {
  const auto limits = throttle_limits_from_json({{"iops-total", 20'000}}, {});
  const auto added = throttle_groups(world.drivers()).add("fast", *limits);
  EXPECT_TRUE(added.ok()) << status_text(added);
}

void expect_ok(const absl::Status& status) { EXPECT_TRUE(status.ok()) << status_text(status); }

class Conformance : public testing::TestWithParam<Stack> {
 protected:
  const Stack& stack() const { return GetParam(); }
  uint64_t base() const { return stack().base(); }
};

INSTANTIATE_TEST_SUITE_P(Stacks, Conformance, testing::ValuesIn(stacks()),
                         [](const auto& tested) { return tested.param.name; });

// One user of its own region of a disk, who knows what the region must hold.
class RegionUser {
 public:
  RegionUser(Backend& backend, uint64_t start, uint64_t seed)
      : backend_(backend), start_(start), random_(seed), model_(kRegion) {}

  void co_use(int steps) {
    assert_in_coroutine();
    for (int step = 0; step < steps && !testing::Test::HasFailure(); ++step) {
      const absl::Status status = co_step();
      ASSERT_TRUE(status.ok()) << status_text(status);
    }
  }
  uint64_t start() const { return start_; }
  const Bytes& model() const { return model_; }

 private:
  uint64_t below(uint64_t limit) { return random_() % limit; }
  std::span<std::byte> part(ByteRange range) {
    return std::span(model_).subspan(range.offset, range.length);
  }

  // A range within the region: small and odd, or in whole sectors, or long.
  ByteRange choose() {
    const uint64_t longest = below(10) == 0 ? 200'000 : 9'000;
    ByteRange range{below(kRegion), 0};
    range.length = 1 + below(std::min(longest, kRegion - range.offset));
    if (below(3) != 0) return range;
    const uint64_t sector = below(2) == 0 ? 512 : 4096;
    const uint64_t first = align_up(start_ + range.offset, sector) - start_;
    const uint64_t last = align_down(start_ + range.end(), sector) - start_;
    return first < last && last <= kRegion ? ByteRange{first, last - first} : range;
  }

  absl::Status co_step() COROUTINE_CODE {
    const ByteRange range = choose();
    const uint64_t offset = start_ + range.offset;
    switch (below(16)) {
      case 0:
        return co_zero(range, offset);
      case 1:
        return co_drop(range, offset);
      case 2:
        return co_ask(range, offset);
      case 3: {
        BackendRequest request(backend_, "flush", 0, 0);
        return co_flush(request.root());
      }
      case 4:
      case 5:
      case 6:
      case 7:
      case 8:
        return co_compare(range, offset);
      default:
        return co_fill(range, offset);
    }
  }

  absl::Status co_fill(ByteRange range, uint64_t offset) COROUTINE_CODE {
    const Bytes data = pattern(range.length, random_());
    std::ranges::copy(data, part(range).begin());
    // In pieces, so that vectors are covered.
    const uint64_t cut = below(range.length + 1);
    const iovec pieces[] = {iovec_of(std::span(data).first(cut)),
                            iovec_of(std::span(data).subspan(cut))};
    BackendRequest request(backend_, "write", offset, range.length);
    return co_pwritev(request.root(), offset, IoVector(pieces), below(8) == 0 ? kFua : kNoFlags);
  }

  absl::Status co_compare(ByteRange range, uint64_t offset) COROUTINE_CODE {
    Bytes data(range.length, std::byte{0xee});
    const absl::Status read = co_read(backend_, offset, data);
    if (read.ok()) {
      EXPECT_TRUE(std::ranges::equal(data, part(range)))
          << "at " << offset << ", " << range.length << " bytes";
    }
    return read;
  }

  absl::Status co_zero(ByteRange range, uint64_t offset) COROUTINE_CODE {
    std::ranges::fill(part(range), std::byte{0});
    BackendRequest request(backend_, "write zeroes", offset, range.length);
    return co_write_zeroes(request.root(), {offset, range.length},
                           below(2) == 0 ? kMayUnmap : kNoFlags);
  }

  // A discarded byte is as before or zero; whatever it is, it stays.
  absl::Status co_drop(ByteRange range, uint64_t offset) COROUTINE_CODE {
    {
      BackendRequest request(backend_, "discard", offset, range.length);
      const absl::Status discarded = co_discard(request.root(), {offset, range.length});
      if (!discarded.ok()) return discarded;
    }
    Bytes data(range.length);
    const absl::Status read = co_read(backend_, offset, data);
    for (uint64_t i = 0; read.ok() && i < range.length; ++i) {
      std::byte& known = model_[range.offset + i];
      EXPECT_TRUE(data[i] == known || data[i] == std::byte{0}) << "at " << offset + i;
      known = data[i];
    }
    return read;
  }

  absl::Status co_ask(ByteRange range, uint64_t offset) COROUTINE_CODE {
    BackendRequest request(backend_, "block status", offset, range.length);
    const auto status = co_block_status(request.root(), {offset, range.length});
    if (!status.ok()) return status.status();
    EXPECT_GT(status->length, 0u);
    EXPECT_LE(status->length, range.length);
    if (status->zero) {
      EXPECT_TRUE(std::ranges::all_of(part({range.offset, status->length}),
                                      [](std::byte byte) { return byte == std::byte{0}; }));
    }
    return absl::OkStatus();
  }

  Backend& backend_;
  const uint64_t start_;
  std::mt19937_64 random_;
  Bytes model_;
};

TEST_P(Conformance, RandomRequestsFromAllThreadsMatchAModelOfTheBytes) {
  const TestFile file(stack().folder, base() + kSize);
  const Bytes before_window = pattern(base(), 1);
  if (base() > 0) file.write(0, before_window);
  DriverWorld world(stack().iothreads, stack().engine);
  add_throttle_group(world);
  Backend& backend = world.serve(stack().options(file.path()));
  ASSERT_EQ(backend.root.node->size(), kSize);

  std::vector<std::unique_ptr<RegionUser>> users;
  std::vector<std::function<void()>> work;
  for (unsigned region = 0; region < kRegions; ++region) {
    users.push_back(std::make_unique<RegionUser>(backend, region * kRegion, 7 + region));
    work.emplace_back([user = users.back().get()] { user->co_use(150); });
  }
  world.run_all(work);
  expect_ok(world.flush(backend));

  for (const auto& user : users) {
    EXPECT_EQ(file.read(base() + user->start(), kRegion), user->model()) << user->start();
  }
  EXPECT_EQ(file.size(), base() + kSize);
  EXPECT_EQ(file.read(0, base()), before_window);
}

TEST_P(Conformance, ReadsOfTheLastBytesOfAnOddSizeAreExact) {
  const TestFile file(stack().folder, base() + 1000);
  const Bytes data = pattern(1000, 5);
  file.write(base(), data);
  DriverWorld world(stack().iothreads, stack().engine);
  add_throttle_group(world);
  Backend& backend = world.serve(stack().options(file.path()));
  EXPECT_EQ(world.read(backend, 0, 1000), data);
  EXPECT_EQ(world.read(backend, 999, 1), Bytes(1, data[999]));
  std::byte byte;
  EXPECT_EQ(status_errno(world.read(backend, 1000, std::span(&byte, 1))), EIO);
}

TEST_P(Conformance, WritersPastTheEndLoseNothing) {
  constexpr uint64_t kRecord = 3000;
  constexpr uint64_t kRecords = 16;  // each writer's
  const TestFile file(stack().folder, base() + 100);
  DriverWorld world(stack().iothreads, stack().engine);
  add_throttle_group(world);
  Backend& backend = world.serve(stack().options(file.path()));

  std::vector<std::function<void()>> work;
  for (uint64_t writer = 0; writer < 4; ++writer) {
    work.emplace_back([&backend, writer] {
      assert_in_coroutine();
      for (uint64_t record = 0; record < kRecords; ++record) {
        const uint64_t index = record * 4 + writer;
        const absl::Status written =
            co_write(backend, 100 + index * kRecord, pattern(kRecord, index));
        ASSERT_TRUE(written.ok()) << status_text(written);
      }
    });
  }
  world.run_all(work);
  const uint64_t size = 100 + 4 * kRecords * kRecord;
  EXPECT_EQ(backend.root.node->size(), size);
  for (uint64_t index = 0; index < 4 * kRecords; ++index) {
    EXPECT_EQ(world.read(backend, 100 + index * kRecord, kRecord), pattern(kRecord, index));
  }
  expect_ok(world.flush(backend));
  EXPECT_EQ(file.size(), base() + size);
}

TEST_P(Conformance, ResizingShrinksAndGrowsWithZeroes) {
  const TestFile file(stack().folder, base() + 100'000);
  DriverWorld world(stack().iothreads, stack().engine);
  add_throttle_group(world);
  Backend& backend = world.serve(stack().options(file.path()));
  const Bytes data = pattern(100'000, 3);
  expect_ok(world.write(backend, 0, data));
  expect_ok(world.resize(backend, 33'333));
  EXPECT_EQ(file.size(), base() + 33'333);
  expect_ok(world.resize(backend, 150'001));
  EXPECT_EQ(file.size(), base() + 150'001);
  EXPECT_EQ(backend.root.node->size(), 150'001u);
  EXPECT_EQ(world.read(backend, 0, 33'333), Bytes(data.begin(), data.begin() + 33'333));
  EXPECT_EQ(world.read(backend, 33'333, 150'001 - 33'333), Bytes(150'001 - 33'333));
}

TEST_P(Conformance, BlockStatusFindsTheHolesThatTheFilesystemKnows) {
  constexpr uint64_t kPage = 4096;
  constexpr uint64_t kUnit = 512;
  const uint64_t start = align_up(base(), kPage);
  const TestFile file(stack().folder, start + 128 * kPage);
  for (const uint64_t page : {3u, 4u, 64u, 100u}) {
    file.write(start + page * kPage, pattern(kPage, page));
  }
  DriverWorld world(stack().iothreads, stack().engine);
  add_throttle_group(world);
  Backend& backend = world.serve(stack().options(file.path()));

  const std::vector<bool> pages = file.data_pages();
  const uint64_t size = backend.root.node->size();
  uint64_t offset = 0;
  while (offset < size) {
    const auto status = world.status(backend, {offset, size - offset});
    ASSERT_TRUE(status.ok()) << status_text(status.status());
    ASSERT_GT(status->length, 0u);
    ASSERT_TRUE(is_aligned(status->length, kUnit));
    EXPECT_NE(status->data, status->zero);
    EXPECT_TRUE(status->allocated);
    for (uint64_t unit = offset; unit < offset + status->length; unit += kUnit) {
      EXPECT_EQ(status->data, pages[(base() + unit) / kPage]) << unit;
    }
    offset += status->length;
  }
}

}  // namespace
}  // namespace penstock
