// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <random>

#include "base/status.h"
#include "block/graph/drain.h"
#include "block/graph/graph.h"
#include "block/graph/redirect_users.h"
#include "drivers/faults/faults_controller.h"
#include "iothreads/co_event.h"
#include "iothreads/control_thread.h"
#include "iothreads/run_sync.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/overlay_driver.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Bytes = std::vector<std::byte>;
using nlohmann::json;

constexpr uint64_t kBlock = OverlayDriver::kCluster;
constexpr uint64_t kSize = 400 * kBlock + 100;
constexpr Permissions kGuest = {kConsistentRead | kWrite | kWriteUnchanged,
                                kConsistentRead | kWriteUnchanged};

// "cor" on "overlay" (test-overlay), whose "own" and "base" are files below faults.
class CopyOnRead : public testing::Test {
 protected:
  CopyOnRead() {
    world_.drivers().add(std::make_unique<OverlayDriverType>());
    base_file_.write(0, old_);
  }
  static json faults_above(const std::string& name, const TestFile& file) {
    return {{"driver", "faults"},
            {"node-name", name},
            {"file", {{"driver", "file"}, {"filename", file.path()}}}};
  }
  json options() const {
    return {{"driver", "copy-on-read"},
            {"node-name", "cor"},
            {"file",
             {{"driver", "test-overlay"},
              {"node-name", "overlay"},
              {"file", faults_above("own", own_file_)},
              {"backing", faults_above("base", base_file_)}}}};
  }
  void start() {
    backend_ = &world_.serve(options(), kGuest);
    overlay_ = &overlay_of(*world_.find("overlay"));
    own_ = faults_controller(*world_.find("own"));
    base_ = faults_controller(*world_.find("base"));
    own_->start_counting();
    base_->start_counting();
  }
  void drain() {
    run_sync(world_.context(0), [&] {
      assert_in_coroutine();
      DrainedSection section(world_.graph());
      EXPECT_TRUE(section.co_begin({"cor"}).ok());
      section.co_end();
    });
  }
  Bytes old(uint64_t offset, uint64_t length) const {
    const auto begin = old_.begin() + static_cast<ptrdiff_t>(offset);
    return Bytes(begin, begin + static_cast<ptrdiff_t>(length));
  }
  json facts() { return world_.find("cor")->driver->describe(); }
  static FaultRule rule(const std::string& text) { return parse_fault_rule(text).value(); }
  void expect_ok(const absl::Status& status) { EXPECT_TRUE(status.ok()) << status_text(status); }

  const Bytes old_ = pattern(kSize, 1);
  const TestFile own_file_{"/dev/shm", kSize};
  const TestFile base_file_{"/dev/shm", kSize};
  DriverWorld world_{4};
  Backend* backend_ = nullptr;
  OverlayDriver* overlay_ = nullptr;
  FaultsController* own_ = nullptr;
  FaultsController* base_ = nullptr;
};

TEST_F(CopyOnRead, WhatIsReadOnceIsThereWithoutTheBackingImage) {
  start();
  EXPECT_EQ(world_.read(*backend_, 3 * kBlock, 5 * kBlock), old(3 * kBlock, 5 * kBlock));
  EXPECT_EQ(overlay_->allocated_clusters(), 5u);
  EXPECT_EQ(own_file_.read(3 * kBlock, 5 * kBlock), old(3 * kBlock, 5 * kBlock));
  base_->add_rule(rule("read_aio:errno=EIO:always"));
  EXPECT_EQ(world_.read(*backend_, 3 * kBlock + 7, 5 * kBlock - 7),
            old(3 * kBlock + 7, 5 * kBlock - 7));
  EXPECT_EQ(facts(), nullptr);
}

TEST_F(CopyOnRead, OddRangesAndTheLastBytesAreRight) {
  start();
  EXPECT_EQ(world_.read(*backend_, kSize - 101, 101), old(kSize - 101, 101));
  EXPECT_EQ(world_.read(*backend_, 5, 3), old(5, 3));
  EXPECT_EQ(world_.read(*backend_, 0, kSize), old_);
  EXPECT_EQ(overlay_->allocated_clusters(), 401u);
  EXPECT_EQ(own_file_.read(0, kSize), old_);
  EXPECT_EQ(own_file_.size(), kSize);
}

TEST_F(CopyOnRead, WhatIsWrittenIsReadBackAndNotCopied) {
  start();
  expect_ok(world_.write(*backend_, kBlock, pattern(2 * kBlock, 2)));
  const uint64_t before = own_->count("write_aio");
  EXPECT_EQ(world_.read(*backend_, kBlock, 2 * kBlock), pattern(2 * kBlock, 2));
  EXPECT_EQ(own_->count("write_aio"), before);
  // Around it the rest comes up.
  EXPECT_EQ(world_.read(*backend_, 0, kBlock), old(0, kBlock));
  EXPECT_EQ(overlay_->allocated_clusters(), 3u);
  EXPECT_EQ(world_.read(*backend_, kBlock, 2 * kBlock), pattern(2 * kBlock, 2));
}

TEST_F(CopyOnRead, ZeroesAreNotCopied) {
  base_file_.truncate(0);
  base_file_.truncate(kSize);
  base_file_.write(8 * kBlock, pattern(kBlock, 1));
  start();
  Bytes expected(16 * kBlock);
  std::ranges::copy(pattern(kBlock, 1), expected.begin() + 8 * kBlock);
  EXPECT_EQ(world_.read(*backend_, 0, 16 * kBlock), expected);
  EXPECT_EQ(overlay_->allocated_clusters(), 1u);
}

TEST_F(CopyOnRead, AReaderWithoutTheRightToWriteMakesCopiesByTheFiltersOwnEdge) {
  const auto node = world_.open(options());
  ASSERT_TRUE(node.ok()) << node.status();
  const auto reader = world_.attach(**node, {kConsistentRead, kAllPermissions});
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(world_.read(**reader, 0, kBlock), old(0, kBlock));
  EXPECT_EQ(overlay_of(*world_.find("overlay")).allocated_clusters(), 1u);
  EXPECT_EQ(status_errno(world_.write(**reader, 0, old(0, 10))), EPERM);
}

TEST_F(CopyOnRead, WhoDoesNotShareWritingWhatIsThereKeepsItOut) {
  json overlay = options()["file"];
  ASSERT_TRUE(world_.open(overlay).ok());
  ASSERT_TRUE(world_.attach(*world_.find("overlay"), {0, kConsistentRead}).ok());
  ASSERT_TRUE(
      world_.open({{"driver", "copy-on-read"}, {"node-name", "cor"}, {"file", "overlay"}}).ok());
  const auto refused = world_.attach(*world_.find("cor"), {kConsistentRead, kAllPermissions});
  EXPECT_EQ(status_errno(refused.status()), EBUSY) << refused.status();
}

TEST_F(CopyOnRead, AReadOnlyImageIsReadWithoutCopying) {
  json all = options();
  all["read-only"] = all["file"]["read-only"] = true;
  for (const char* child : {"file", "backing"}) {
    all["file"][child]["read-only"] = all["file"][child]["file"]["read-only"] = true;
  }
  Backend& reader = world_.serve(all, {kConsistentRead, kAllPermissions});
  EXPECT_EQ(world_.read(reader, 0, kSize), old_);
  EXPECT_EQ(overlay_of(*world_.find("overlay")).allocated_clusters(), 0u);
  EXPECT_EQ(facts(), nullptr);
}

TEST_F(CopyOnRead, AFullDiskFailsNoReadAndIsTriedAgainAfterAChange) {
  start();
  own_->add_rule(rule("write_aio:errno=ENOSPC:always"));
  EXPECT_EQ(world_.read(*backend_, 0, 8 * kBlock), old(0, 8 * kBlock));
  EXPECT_EQ(facts()["failed-copies"], 1);
  EXPECT_NE(facts()["last-failure"].get<std::string>().find("No space left"), std::string::npos)
      << facts();
  own_->clear_rules();
  drain();
  EXPECT_EQ(world_.read(*backend_, 0, 8 * kBlock), old(0, 8 * kBlock));
  EXPECT_EQ(overlay_->allocated_clusters(), 8u);
}

TEST_F(CopyOnRead, AnImageThatTakesNoWritesIsTriedOnce) {
  start();
  own_->add_rule(rule("write_aio:errno=EROFS:always"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(world_.read(*backend_, 0, kBlock), old(0, kBlock));
  EXPECT_EQ(facts()["failed-copies"], 1);
  EXPECT_EQ(own_->count("write_aio"), 1u);
}

TEST_F(CopyOnRead, AnErrorOfTheBackingImageIsTheReads) {
  start();
  base_->add_rule(rule("read_aio:errno=EBADMSG:always"));
  Bytes bytes(kBlock);
  EXPECT_EQ(status_errno(world_.read(*backend_, 0, bytes)), EBADMSG);
  EXPECT_EQ(overlay_->allocated_clusters(), 0u);
}

TEST_F(CopyOnRead, TheBottomOptionIsRefused) {
  json bottom = options();
  bottom["bottom"] = "base";
  const auto node = world_.open(bottom);
  EXPECT_EQ(status_errno(node.status()), EOPNOTSUPP);
  EXPECT_NE(status_text(node.status()).find("\"bottom\""), std::string::npos) << node.status();
}

TEST_F(CopyOnRead, WithoutABackingImageNothingIsTracked) {
  Backend& backend = world_.serve({{"driver", "copy-on-read"},
                                   {"node-name", "cor"},
                                   {"file", faults_above("disk", base_file_)}});
  EXPECT_EQ(world_.read(backend, 0, kSize), old_);
  EXPECT_FALSE(world_.find("disk")->tracker.tracked_phase());
}

// Any filter's promise: what grows the disk between the opening of the filter and the moment when
// it is put in is seen through it.
TEST_F(CopyOnRead, PutInAboveADiskThatHasGrownSinceItShowsAllOfIt) {
  Backend& backend = world_.serve(faults_above("disk", base_file_));
  run_sync(world_.context(0), [&] {
    assert_in_coroutine();
    const CoControlHop hop;
    assert_control_thread();
    const json filter = {{"driver", "copy-on-read"}, {"node-name", "cor"}, {"file", "disk"}};
    EXPECT_TRUE(world_.graph().co_open(options_from_json(filter)).ok());
  });
  expect_ok(world_.write(backend, kSize, pattern(1000, 3)));
  run_sync(world_.context(0), [&] {
    assert_in_coroutine();
    const CoControlHop hop;
    assert_control_thread();
    expect_ok(co_run_change(world_.graph(), std::make_unique<RedirectUsers>("disk", "cor")));
  });
  EXPECT_EQ(backend.root.node->name, "cor");
  EXPECT_EQ(backend.root.node->size(), kSize + 1000);
  EXPECT_EQ(world_.read(backend, kSize, 1000), pattern(1000, 3));
}

// The old data is read, then the guest writes, then the copy would be written.
TEST_F(CopyOnRead, AWriteDuringACopyIsNeverOverwrittenByIt) {
  start();
  for (uint64_t round = 0; round < 2; ++round) {
    const uint64_t offset = round * 16 * kBlock;
    // Held after the old data was read: first before it is written, then while it is read.
    FaultsController& held = round == 0 ? *own_ : *base_;
    held.add_rule(rule(round == 0 ? "write_aio:suspend=held" : "read_aio:suspend=held"));
    std::atomic<bool> written{false};
    CoEvent comes;
    world_.run_all({[&] {
                      assert_in_coroutine();
                      Bytes bytes(4 * kBlock);
                      EXPECT_TRUE(co_read(*backend_, offset, bytes).ok());
                    },
                    [&] {
                      assert_in_coroutine();
                      held.co_wait_suspended("held");
                      comes.set();
                      EXPECT_TRUE(co_write(*backend_, offset + kBlock, pattern(kBlock, 7)).ok());
                      written.store(true);
                    },
                    [&] {
                      assert_in_coroutine();
                      comes.co_wait();
                      for (int i = 0; i < 100; ++i) co_pause();
                      EXPECT_FALSE(written.load());
                      held.resume("held");
                    }});
    EXPECT_EQ(world_.read(*backend_, offset + kBlock, kBlock), pattern(kBlock, 7));
    EXPECT_EQ(world_.read(*backend_, offset, kBlock), old(offset, kBlock));
    EXPECT_EQ(world_.read(*backend_, offset + 2 * kBlock, 2 * kBlock),
              old(offset + 2 * kBlock, 2 * kBlock));
  }
}

TEST_F(CopyOnRead, ADrainWaitsForACopy) {
  start();
  own_->add_rule(rule("write_aio:suspend=held"));
  world_.run_all({[&] {
                    assert_in_coroutine();
                    Bytes bytes(kBlock);
                    EXPECT_TRUE(co_read(*backend_, 0, bytes).ok());
                  },
                  [&] {
                    assert_in_coroutine();
                    own_->co_wait_suspended("held");
                    DrainedSection section(world_.graph());
                    const auto late = section.co_begin({"cor"}, std::chrono::milliseconds(20));
                    EXPECT_EQ(status_errno(late), ETIMEDOUT);
                    own_->resume("held");
                    EXPECT_TRUE(section.co_begin({"cor"}).ok());
                    section.co_end();
                  }});
}

// Writers of interleaved blocks and readers of everything, on all threads.
TEST_F(CopyOnRead, BytesAreAsInAModelWhoeverReadsAndWrites) {
  constexpr uint64_t kUsers = 8;
  start();
  // Between the reading and the writing of a copy there is time for others.
  own_->add_rule(rule("write_aio:always:delay-ns=200000"));
  std::vector<Bytes> models(kUsers, old_);
  std::vector<std::function<void()>> work;
  for (uint64_t user = 0; user < kUsers; ++user) {
    work.emplace_back([&, user] {
      assert_in_coroutine();
      std::mt19937_64 random(user);
      Bytes& model = models[user];
      // Pieces of 512 bytes: each belongs to one user, and a cluster to all of them.
      const auto mine = [&](uint64_t piece) { return piece % kUsers == user; };
      for (int step = 0; step < 400 && !testing::Test::HasFailure(); ++step) {
        const uint64_t first = random() % (kSize / 512);
        if (random() % 3 == 0) {
          const uint64_t piece = std::min(first / kUsers * kUsers + user, kSize / 512 - 1);
          if (!mine(piece)) continue;
          const Bytes data = pattern(512, random());
          std::ranges::copy(data, model.begin() + static_cast<ptrdiff_t>(piece * 512));
          ASSERT_TRUE(co_write(*backend_, piece * 512, data).ok());
          continue;
        }
        const uint64_t pieces = std::min<uint64_t>(1 + random() % 64, kSize / 512 - first);
        Bytes bytes(pieces * 512);
        ASSERT_TRUE(co_read(*backend_, first * 512, bytes).ok());
        for (uint64_t piece = first; piece < first + pieces; ++piece) {
          if (!mine(piece)) continue;
          const auto got = bytes.begin() + static_cast<ptrdiff_t>((piece - first) * 512);
          EXPECT_TRUE(
              std::equal(got, got + 512, model.begin() + static_cast<ptrdiff_t>(piece * 512)))
              << "piece " << piece;
        }
      }
    });
  }
  work.emplace_back([&] {
    assert_in_coroutine();
    for (int i = 0; i < 10; ++i) {
      DrainedSection section(world_.graph());
      EXPECT_TRUE(section.co_begin({"cor"}).ok());
      section.co_end();
      for (int pause = 0; pause < 20; ++pause) co_pause();
    }
  });
  world_.run_all(work);
  Bytes expected = old_;
  for (uint64_t piece = 0; piece < kSize / 512; ++piece) {
    const Bytes& model = models[piece % kUsers];
    std::copy_n(model.begin() + static_cast<ptrdiff_t>(piece * 512), 512,
                expected.begin() + static_cast<ptrdiff_t>(piece * 512));
  }
  EXPECT_TRUE(world_.read(*backend_, 0, kSize) == expected);
  // By now everything is the image's own.
  EXPECT_TRUE(own_file_.read(0, kSize) == expected);
}

}  // namespace
}  // namespace penstock
