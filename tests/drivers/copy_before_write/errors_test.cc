// SPDX-License-Identifier: Apache-2.0
// Copies that fail or take too long, options, permissions, and snapshots that are broken.
#include <atomic>
#include <cerrno>

#include "tests/drivers/copy_before_write/snapshot_fixture.h"

namespace penstock {
namespace {

constexpr Permissions kSharing = {kConsistentRead | kWrite | kWriteUnchanged, kAllPermissions};

class CopyBeforeWriteErrors : public SnapshotFixture {
 protected:
  void fail(FaultsController& faults, const std::string& rule) {
    faults.add_rule(parse_fault_rule(rule).value());
  }
};

TEST_F(CopyBeforeWriteErrors, BreakGuestWriteFailsTheWriteAndTheNextOneCopiesAgain) {
  start();
  for (const auto& [faults, rule] :
       {std::pair{target_, "write_aio:errno=ENOSPC"}, std::pair{disk_, "read_aio:errno=ENOSPC"}}) {
    fail(*faults, rule);
    const auto failed = world_.write(*backend_, 100, pattern(512, 2));
    EXPECT_EQ(status_errno(failed), ENOSPC) << status_text(failed);
    EXPECT_NE(status_text(failed).find("copying the old data to node 'target' first"),
              std::string::npos)
        << status_text(failed);
    EXPECT_EQ(disk_file_.read(0, kSize), old_);
  }
  fail(*target_, "write_aio:errno=EIO");
  EXPECT_EQ(status_errno(world_.write_zeroes(*backend_, {100, 100})), EIO);
  fail(*target_, "write_aio:errno=EIO");
  EXPECT_EQ(status_errno(world_.discard(*backend_, {0, kCluster})), EIO);
  fail(*target_, "write_aio:errno=EIO");
  EXPECT_EQ(status_errno(world_.resize(*backend_, 100)), EIO);
  EXPECT_EQ(disk_file_.read(0, kSize), old_);
  EXPECT_EQ(filter_->remaining_bytes(), kSize);
  expect_ok(filter_->broken());
  expect_ok(world_.write(*backend_, 100, pattern(512, 2)));
  expect_copied({0});
  EXPECT_EQ(disk_file_.read(100, 512), pattern(512, 2));
}

TEST_F(CopyBeforeWriteErrors, BreakSnapshotLetsTheGuestWriteAndKeepsTheFirstReason) {
  start({{"on-cbw-error", "break-snapshot"}});
  fail(*target_, "write_aio:errno=ENOSPC");
  expect_ok(world_.write(*backend_, 100, pattern(512, 2)));
  EXPECT_EQ(disk_file_.read(100, 512), pattern(512, 2));
  EXPECT_EQ(status_errno(filter_->broken()), ENOSPC);
  EXPECT_EQ(status_errno(copy({0, kSize})), ENOSPC);
  EXPECT_TRUE(filter_->describe()["broken"].is_string());
  fail(*target_, "write_aio:errno=EIO:always");
  expect_ok(world_.write(*backend_, 0, pattern(kSize, 3)));
  EXPECT_EQ(status_errno(filter_->broken()), ENOSPC);
  EXPECT_EQ(target_->count("write_aio"), 1u);
  EXPECT_EQ(target_file_.read(0, kSize), Bytes(kSize));
}

TEST_F(CopyBeforeWriteErrors, ABreakDuringACopySpoilsThatCopyToo) {
  start({{"on-cbw-error", "break-snapshot"}});
  fail(*target_, "write_aio:errno=EIO:offset=0:length=512");
  fail(*disk_, "read_aio:suspend=held:offset=655360:length=512");
  world_.run_all({[&] {
                    assert_in_coroutine();
                    BackendRequest request(*backend_, "backup", 10 * kCluster, kCluster);
                    uint64_t moved = 0;
                    const auto late = filter_->co_copy({10 * kCluster, kCluster}, &moved);
                    EXPECT_EQ(status_errno(late), EIO) << status_text(late);
                  },
                  [&] {
                    assert_in_coroutine();
                    disk_->co_wait_suspended("held");
                    EXPECT_TRUE(co_write(*backend_, 0, pattern(512, 2)).ok());
                    EXPECT_TRUE(co_write(*backend_, 10 * kCluster, pattern(512, 2)).ok());
                    disk_->resume("held");
                  }});
  EXPECT_EQ(filter_->remaining_bytes(), kSize);
}

TEST_F(CopyBeforeWriteErrors, AFailedCopyOfTheRestBreaksNothing) {
  start({{"on-cbw-error", "break-snapshot"}});
  fail(*target_, "write_aio:errno=ENOSPC");
  EXPECT_EQ(status_errno(copy({0, kSize})), ENOSPC);
  expect_ok(filter_->broken());
  expect_ok(copy({0, kSize}));
  EXPECT_EQ(target_file_.read(0, kSize), old_);
}

TEST_F(CopyBeforeWriteErrors, AnAbandonedSnapshotCopiesNothingMore) {
  start();
  filter_->abandon(errno_status(ECANCELED, "the test"));
  expect_ok(world_.write(*backend_, 0, pattern(kSize, 3)));
  EXPECT_EQ(status_errno(copy({0, kSize})), ECANCELED);
  expect_copied({});
}

TEST_F(CopyBeforeWriteErrors, AWriteWaitsNoLongerThanTheTimeoutAndADrainForWhatItLeavesBehind) {
  start({{"cbw-timeout", 1}});
  fail(*target_, "write_aio:suspend=held");
  const auto late = world_.write(*backend_, 100, pattern(512, 2));
  EXPECT_EQ(status_errno(late), ETIMEDOUT) << status_text(late);
  EXPECT_EQ(target_->suspended("held"), 1u);
  EXPECT_EQ(disk_file_.read(0, kSize), old_);
  const auto held = drain("cbw", std::chrono::milliseconds(20));
  EXPECT_EQ(status_errno(held), ETIMEDOUT);
  EXPECT_NE(status_text(held).find("'copy before write' at offset 0, length 65536, in node"),
            std::string::npos)
      << status_text(held);
  target_->resume("held");
  expect_ok(drain("cbw"));
  expect_copied({0});
  expect_ok(world_.write(*backend_, 100, pattern(512, 2)));
  EXPECT_EQ(target_->count("write_aio"), 1u);
}

TEST_F(CopyBeforeWriteErrors, ATimeoutBreaksTheSnapshotIfThatIsWanted) {
  start({{"cbw-timeout", 1}, {"on-cbw-error", "break-snapshot"}});
  fail(*target_, "write_aio:suspend=held");
  expect_ok(world_.write(*backend_, 100, pattern(512, 2)));
  EXPECT_EQ(status_errno(filter_->broken()), ETIMEDOUT);
  target_->resume("held");
  expect_ok(drain("cbw"));
  EXPECT_EQ(filter_->remaining_bytes(), kSize);
}

TEST_F(CopyBeforeWriteErrors, CopiesWithinTheTimeoutAreAsWithout) {
  start({{"cbw-timeout", 600}});
  expect_ok(world_.write(*backend_, 1, pattern(kSize - 2, 3)));
  EXPECT_EQ(target_file_.read(0, kSize), old_);
  EXPECT_EQ(filter_->remaining_bytes(), 0u);
}

TEST_F(CopyBeforeWriteErrors, OptionsThatItDoesNotTakeAreRefused) {
  const auto refuse = [&](const json& changed, int error, const std::string& text) {
    const auto node = world_.open(changed);
    EXPECT_EQ(status_errno(node.status()), error) << node.status();
    EXPECT_NE(status_text(node.status()).find(text), std::string::npos) << node.status();
    EXPECT_EQ(world_.find("disk"), nullptr);
    EXPECT_EQ(world_.find("target"), nullptr);
  };
  refuse(options({{"bitmap", {{"node", "disk"}, {"name", "b"}}}}), EOPNOTSUPP, "\"bitmap\"");
  refuse(options({{"on-cbw-error", "ignore"}}), EINVAL, "\"break-guest-write\" or");
  refuse(options({{"cbw-timeout", -1}}), EINVAL, "cbw-timeout");
  refuse(options({{"copies", 2}}), EINVAL, "copies");
  json lonely = options();
  lonely.erase("target");
  refuse(lonely, EINVAL, "no \"target\" child");
  target_file_.truncate(kSize - 1);
  refuse(options(), EINVAL, "cannot hold");
}

TEST_F(CopyBeforeWriteErrors, WhileItIsUsedNobodyElseChangesItsChildren) {
  ASSERT_TRUE(world_.open(options()).ok());
  Node& disk = *world_.find("disk");
  // Without users it leaves those of the disk alone.
  const auto early = world_.attach(disk, kSharing);
  ASSERT_TRUE(early.ok()) << early.status();
  EXPECT_EQ(status_errno(world_.attach(*world_.find("cbw"), kSharing).status()), EBUSY);
  world_.detach(**early);
  const auto user = world_.attach(*world_.find("cbw"), kSharing);
  ASSERT_TRUE(user.ok()) << user.status();

  EXPECT_EQ(status_errno(world_.attach(disk, kSharing).status()), EBUSY);
  const auto resizer = world_.attach(disk, {kResize, kAllPermissions});
  EXPECT_EQ(status_errno(resizer.status()), EBUSY);
  EXPECT_NE(status_text(resizer.status()).find("'cbw'"), std::string::npos) << resizer.status();
  EXPECT_EQ(status_errno(world_.attach(*world_.find("target"), kSharing).status()), EBUSY);
  EXPECT_EQ(
      status_errno(world_.attach(*world_.find("target"), {kResize, kAllPermissions}).status()),
      EBUSY);
  EXPECT_TRUE(world_.attach(disk, {kConsistentRead, kAllPermissions}).ok());
  EXPECT_TRUE(world_.attach(*world_.find("target"), {kConsistentRead, kAllPermissions}).ok());
}

TEST_F(CopyBeforeWriteErrors, ASnapshotDoesNotOutliveItsUsers) {
  start();
  expect_ok(world_.write(*backend_, 0, pattern(512, 2)));
  world_.detach(*backend_);
  expect_ok(filter_->broken());
  const auto again = world_.attach(*world_.find("cbw"), kSharing);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(status_errno(filter_->broken()), ESTALE);
  expect_ok(world_.write(**again, 0, pattern(kSize, 2)));
  expect_copied({0});
}

TEST_F(CopyBeforeWriteErrors, ADiskThatChangedItsSizeBeforeTheFirstUserCameIsNoSnapshot) {
  ASSERT_TRUE(world_.open(options()).ok());
  learn_nodes();
  const auto grower = world_.attach(*world_.find("disk"), kWriter);
  ASSERT_TRUE(grower.ok()) << grower.status();
  expect_ok(world_.resize(**grower, kSize + 512));
  world_.detach(**grower);
  const auto user = world_.attach(*world_.find("cbw"), kSharing);
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(status_errno(filter_->broken()), EAGAIN);
  expect_ok(world_.write(**user, 0, pattern(512, 2)));
}

TEST_F(CopyBeforeWriteErrors, OnlyACopyBeforeWriteNodeHasItsDriver) {
  start();
  EXPECT_EQ(copy_before_write_of(*world_.find("disk")), nullptr);
  EXPECT_EQ(filter_->granularity(), kCluster);
  EXPECT_EQ(filter_->snapshot_size(), kSize);
}

}  // namespace
}  // namespace penstock
