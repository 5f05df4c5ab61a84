// SPDX-License-Identifier: Apache-2.0
// The snapshot is what the disk held at one point in time, under requests of several threads.
#include <atomic>
#include <functional>
#include <memory>
#include <random>

#include "block/graph/graph.h"
#include "block/graph/redirect_users.h"
#include "tests/drivers/copy_before_write/snapshot_fixture.h"
#include "tests/drivers/overlay_driver.h"

namespace penstock {
namespace {

using Bytes = std::vector<std::byte>;

// One user of its own region of the disk, who knows what it must hold.
class Writer {
 public:
  Writer(Backend& backend, ByteRange region, uint64_t seed, Bytes model)
      : backend_(backend), region_(region), random_(seed), model_(std::move(model)) {}

  absl::Status co_step() COROUTINE_CODE {
    const uint64_t longest = below(8) == 0 ? 200'000 : 9'000;
    ByteRange range{below(region_.length), 0};
    range.length = 1 + below(std::min(longest, region_.length - range.offset));
    const uint64_t offset = region_.offset + range.offset;
    const std::span<std::byte> known = std::span(model_).subspan(range.offset, range.length);
    switch (below(8)) {
      case 0: {
        std::ranges::fill(known, std::byte{0});
        BackendRequest request(backend_, "zeroing", offset, range.length);
        return co_write_zeroes(request.root(), {offset, range.length}, kMayUnmap);
      }
      case 1:
      case 2:
      case 3: {
        Bytes bytes(range.length);
        const absl::Status read = co_read(backend_, offset, bytes);
        EXPECT_TRUE(std::ranges::equal(bytes, known)) << "at " << offset;
        return read;
      }
      default:
        std::ranges::copy(pattern(range.length, random_()), known.begin());
        return co_write(backend_, offset, known);
    }
  }
  const Bytes& model() const { return model_; }
  ByteRange region() const { return region_; }

 private:
  uint64_t below(uint64_t limit) { return random_() % limit; }

  Backend& backend_;
  const ByteRange region_;
  std::mt19937_64 random_;
  Bytes model_;
};

class Snapshots : public SnapshotFixture {
 protected:
  static constexpr uint64_t kWriters = 8;

  // The disk alone, with a backend that writes.
  void serve_disk(const json& disk) {
    backend_ = &world_.serve(disk, {kConsistentRead | kWrite | kWriteUnchanged, kAllPermissions});
    // Regions meet inside clusters.
    const uint64_t length = kSize / kWriters;
    for (uint64_t i = 0; i < kWriters; ++i) {
      const ByteRange region{i * length, length};
      writers_.push_back(std::make_unique<Writer>(*backend_, region, i + 1,
                                                  disk_file_.read(region.offset, length)));
    }
  }
  static NodeOptions filter_options(json more) {
    more["driver"] = "copy-before-write";
    more["node-name"] = "cbw";
    more["target"] = "target";
    return options_from_json(more);
  }
  void insert() {
    control([&] {
      assert_in_coroutine();
      assert_control_thread();
      expect_ok(world_.graph().co_insert_filter(filter_options({}), "disk").status());
    });
  }
  void check_disk() {
    for (const auto& writer : writers_) {
      EXPECT_EQ(disk_file_.read(writer->region().offset, writer->region().length), writer->model());
    }
  }

  std::vector<std::unique_ptr<Writer>> writers_;
};

// Writers on all threads, before, while and after the filter is put below them; at the moment of
// that the disk is looked at past everything. Copiers copy the rest meanwhile.
TEST_F(Snapshots, TheCopyIsWhatTheDiskHeldWhenTheFilterWasPutInUnderLoad) {
  serve_disk(faults_above("disk", disk_file_));
  ASSERT_TRUE(world_.open(faults_above("target", target_file_)).ok());
  for (int round = 0; round < 3; ++round) {
    Bytes moment;
    std::atomic<bool> finished{false};
    std::vector<std::function<void()>> work;
    for (const auto& writer : writers_) {
      work.emplace_back([&finished, &writer = *writer] {
        assert_in_coroutine();
        while (!finished.load() && !testing::Test::HasFailure()) {
          const auto status = writer.co_step();
          ASSERT_TRUE(status.ok()) << status_text(status);
          co_pause();
        }
      });
    }
    work.emplace_back([&] {
      assert_in_coroutine();
      for (int i = 0; i < 20; ++i) co_pause();
      {
        const CoControlHop hop;
        assert_control_thread();
        Graph& graph = world_.graph();
        NodeOptions filter = filter_options({{"cbw-timeout", round == 1 ? 600 : 0}});
        filter.children["file"].reference = "disk";
        const auto opened = graph.co_open(filter);
        ASSERT_TRUE(opened.ok()) << opened.status();
        // As co_insert_filter(), but held at the moment.
        DrainedSection section(graph);
        ASSERT_TRUE(section.co_begin({"disk"}).ok());
        moment = disk_file_.read(0, kSize);
        const auto moved = co_run_change(graph, std::make_unique<RedirectUsers>("disk", "cbw"));
        section.end();
        EXPECT_TRUE(moved.ok()) << status_text(moved);
        filter_ = copy_before_write_of(*graph.find("cbw"));
      }
      uint64_t at = 0;
      while (const auto next = filter_->next_uncopied(at, 3 * kCluster)) {
        BackendRequest request(*backend_, "backup", next->offset, next->length);
        uint64_t moved = 0;
        const auto copied = filter_->co_copy(*next, &moved);
        ASSERT_TRUE(copied.ok()) << status_text(copied);
        at = next->end();
        co_pause();
      }
      EXPECT_EQ(filter_->remaining_bytes(), 0u);
      finished.store(true);
    });
    world_.run_all(work);
    expect_ok(filter_->broken());
    EXPECT_TRUE(target_file_.read(0, kSize) == moment) << "round " << round;
    check_disk();
    control([&] {
      assert_in_coroutine();
      assert_control_thread();
      expect_ok(world_.graph().co_remove_filter("cbw"));
    });
  }
}

// The target fails now and then, both ways of meeting that.
TEST_F(Snapshots, FaultsBelowNeverLetOldDataOfTheDiskOrTheCopyBeWrong) {
  serve_disk(faults_above("disk", disk_file_));
  ASSERT_TRUE(world_.open(faults_above("target", target_file_)).ok());
  const Bytes moment = disk_file_.read(0, kSize);
  insert();
  learn_nodes();
  std::mt19937_64 random(11);
  for (int i = 0; i < 12; ++i) {
    const std::string nth = std::to_string(1 + random() % 6);
    target_->add_rule(parse_fault_rule("write_aio:errno=EIO:nth=" + nth).value());
    disk_->add_rule(parse_fault_rule("read_aio:errno=EIO:nth=" + nth).value());
  }
  std::vector<std::function<void()>> work;
  std::atomic<int> failed{0};
  for (uint64_t i = 0; i < kWriters; ++i) {
    work.emplace_back([&, i] {
      assert_in_coroutine();
      std::mt19937_64 mine(i);
      // Every block is written once, with what tells who did; a failed write changed nothing.
      for (uint64_t block = i; block < kSize / 4096; block += kWriters) {
        const auto status = co_write(*backend_, block * 4096, pattern(4096, 1000 + block));
        if (!status.ok()) {
          EXPECT_EQ(status_errno(status), EIO) << status_text(status);
          EXPECT_EQ(disk_file_.read(block * 4096, 4096),
                    Bytes(moment.begin() + static_cast<ptrdiff_t>(block * 4096),
                          moment.begin() + static_cast<ptrdiff_t>(block * 4096 + 4096)));
          failed.fetch_add(1);
        }
      }
    });
  }
  world_.run_all(work);
  EXPECT_GT(failed.load(), 0);
  target_->clear_rules();
  disk_->clear_rules();
  expect_ok(copy({0, kSize}));
  EXPECT_TRUE(target_file_.read(0, kSize) == moment);
}

TEST_F(Snapshots, OnlyWhatTheTopImageHasIsCopiedIfThatIsWanted) {
  world_.drivers().add(std::make_unique<OverlayDriverType>());
  const TestFile base("/dev/shm", kSize);
  base.write(0, old_);
  const json overlay = {{"driver", "test-overlay"},
                        {"node-name", "disk"},
                        {"file", {{"driver", "file"}, {"filename", disk_file_.path()}}},
                        {"backing", {{"driver", "file"}, {"filename", base.path()}}}};
  backend_ = &world_.serve(overlay, {kConsistentRead | kWrite | kWriteUnchanged, kAllPermissions});
  ASSERT_TRUE(world_.open(faults_above("target", target_file_)).ok());
  for (const uint64_t cluster : {2u, 3u, 7u}) {
    expect_ok(world_.write(*backend_, cluster * kCluster + 5000, pattern(100, 4)));
  }
  const Bytes moment = world_.read(*backend_, 0, kSize);
  insert();
  filter_ = copy_before_write_of(*world_.find("cbw"));
  filter_->set_skip_unallocated(true);
  expect_ok(world_.write(*backend_, 7 * kCluster, pattern(kCluster, 8)));
  expect_ok(world_.write(*backend_, 9 * kCluster, pattern(kCluster, 8)));
  uint64_t copied = 0;
  expect_ok(copy({0, kSize}, &copied));
  EXPECT_EQ(copied, 2 * kCluster);
  EXPECT_EQ(filter_->remaining_bytes(), 0u);
  Bytes expected(kSize);
  for (const uint64_t cluster : {2u, 3u, 7u}) {
    std::copy_n(moment.begin() + static_cast<ptrdiff_t>(cluster * kCluster), kCluster,
                expected.begin() + static_cast<ptrdiff_t>(cluster * kCluster));
  }
  EXPECT_TRUE(target_file_.read(0, kSize) == expected);
}

}  // namespace
}  // namespace penstock
