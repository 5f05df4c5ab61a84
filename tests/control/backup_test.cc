// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "iothreads/co_sleep.h"
#include "iothreads/coroutine.h"
#include "tests/control/job_fixture.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kSize = 8 << 20;
constexpr Permissions kUser{kConsistentRead | kWrite | kWriteUnchanged, kAllPermissions};

class BackupTest : public ControlJobFixture {
 protected:
  BackupTest() : source_(add_disk("disk", kSize)), target_(add_disk("copy", kSize)) {
    source_.write(0, pattern(kSize / 2, 1));
  }

  static Json backup(const Json& more = Json::object()) {
    Json arguments = {{"job-id", "b"}, {"device", "disk"}, {"target", "copy"}, {"sync", "full"}};
    if (more.is_object()) arguments.update(more);
    return arguments;
  }
  // One that does hardly anything before it is told otherwise.
  static Json slow(const Json& more = Json::object()) {
    Json arguments = backup({{"speed", 1}, {"x-perf", {{"max-workers", 2}}}});
    if (more.is_object()) arguments.update(more);
    return arguments;
  }
  void write(Backend& user, uint64_t offset, const std::vector<std::byte>& data) {
    run_sync(control_->context(), [&] {
      assert_in_coroutine();
      BackendRequest request(user, "write", offset, data.size());
      ASSERT_TRUE(request.status().ok());
      const iovec segment = iovec_of(std::span<const std::byte>(data));
      const absl::Status written = co_pwritev(request.root(), offset, IoVector(segment));
      EXPECT_TRUE(written.ok()) << status_text(written);
    });
  }
  std::vector<std::byte> all(const TestFile& file) { return file.read(0, kSize); }
  // The graph and the threads are as at the beginning, and the disk can be written.
  void expect_all_taken_back(const std::string& before) {
    EXPECT_EQ(shape(), before);
    EXPECT_EQ(must("query-jobs"), Json::array());
    for (const IoThreadRegistry::Facts& thread : on_control([&] {
           assert_control_thread();
           return daemon_->iothreads.list();
         })) {
      EXPECT_TRUE(thread.users.empty()) << thread.id;
    }
  }
  void let_go() { must("block-job-set-speed", {{"device", "b"}, {"speed", 0}}); }

  const TestFile& source_;
  const TestFile& target_;
};

TEST_F(BackupTest, CopiesADiskAndTakesItsFilterOut) {
  const std::string before = shape();
  must("blockdev-backup", backup());
  const Json event = wait_event("BLOCK_JOB_COMPLETED", "b");
  EXPECT_EQ(
      event,
      (Json{{"type", "backup"}, {"device", "b"}, {"len", kSize}, {"offset", kSize}, {"speed", 0}}));
  wait_status("b", "null");
  EXPECT_EQ(all(target_), all(source_));
  expect_all_taken_back(before);
}

TEST_F(BackupTest, HasWhatTheDiskHeldWhenTheCommandCame) {
  Backend& user = attach("user", "disk", kUser);
  const std::vector<std::byte> then = all(source_);
  const std::string before = shape();
  must("blockdev-backup", slow({{"filter-node-name", "cbw"}}));
  EXPECT_EQ(facts("cbw")["drv"], "copy-before-write");
  write(user, 0, pattern(100, 2));
  write(user, 3 * kMiB - 50, pattern(kMiB, 3));
  write(user, kSize - kMiB, pattern(kMiB, 4));
  const Json block_job = must("query-block-jobs")[0];
  EXPECT_EQ(block_job["device"], "b");
  EXPECT_EQ(block_job["type"], "backup");
  EXPECT_EQ(block_job["len"], kSize);
  EXPECT_EQ(block_job["speed"], 1);
  EXPECT_EQ(block_job["paused"], false);
  EXPECT_EQ(block_job["io-status"], "ok");
  EXPECT_EQ(block_job["status"], "running");
  EXPECT_LT(block_job["offset"], kSize);
  let_go();
  wait_status("b", "null");
  EXPECT_EQ(all(target_), then);
  EXPECT_NE(all(source_), then);
  EXPECT_EQ(shape(), before);
}

TEST_F(BackupTest, CancelledInAnyStateLeavesTheDiskInService) {
  Backend& user = attach("user", "disk", kUser);
  const std::string before = shape();
  uint64_t seed = 10;
  for (const char* state : {"running", "paused", "pending"}) {
    Json how = slow({{"auto-finalize", false}});
    if (std::string(state) == "pending") how["speed"] = 0;
    must("blockdev-backup", how);
    if (std::string(state) == "paused") must("job-pause", {{"id", "b"}});
    wait_status("b", state);
    must("job-cancel", {{"id", "b"}});
    const std::vector<std::byte> data = pattern(kMiB, ++seed);
    write(user, 5 * kMiB, data);
    EXPECT_EQ(wait_event("BLOCK_JOB_CANCELLED", "b")["type"], "backup");
    wait_status("b", "null");
    expect_all_taken_back(before);
    EXPECT_EQ(source_.read(5 * kMiB, kMiB), data) << state;
    write(user, 0, data);
  }
}

TEST_F(BackupTest, PausedItCopiesNothingUntilItIsResumed) {
  must("blockdev-backup", slow());
  must("job-pause", {{"id", "b"}});
  wait_status("b", "paused");
  EXPECT_TRUE(refuses("job-pause", {{"id", "b"}}, EPERM, {"Job is already paused"}));
  let_go();
  const Json before = job_facts("b");
  on_control([] {
    assert_in_coroutine();
    co_sleep(std::chrono::milliseconds(100));
  });
  EXPECT_EQ(job_facts("b"), before);
  EXPECT_TRUE(refuses("block-job-cancel", {{"device", "b"}}, EPERM, {"currently paused"}));
  must("job-resume", {{"id", "b"}});
  wait_status("b", "null");
  EXPECT_EQ(all(target_), all(source_));
}

TEST_F(BackupTest, WaitsToBeFinalizedAndDismissedIfThatIsWanted) {
  must("blockdev-backup", backup({{"auto-finalize", false}, {"auto-dismiss", false}}));
  EXPECT_EQ(wait_event("BLOCK_JOB_PENDING", "b"), (Json{{"type", "backup"}, {"id", "b"}}));
  must("job-finalize", {{"id", "b"}});
  wait_status("b", "concluded");
  EXPECT_EQ(job_facts("b")["current-progress"], kSize);
  EXPECT_TRUE(refuses("job-cancel", {{"id", "b"}}, EPERM,
                      {"Job 'b' in state 'concluded' cannot accept command verb 'cancel'"}));
  must("block-job-dismiss", {{"id", "b"}});
  EXPECT_TRUE(job_facts("b").is_null());
}

TEST_F(BackupTest, WhatCannotBeDoneIsRefusedAndLeavesNothing) {
  add_disk("small", kSize / 2);
  const auto refused = [&](const Json& more, int error, const std::string& word) {
    return refuses("blockdev-backup", backup(more), error, {word});
  };
  EXPECT_TRUE(refused({{"device", "x"}}, ENOENT, "Cannot find device='' nor node-name='x'"));
  EXPECT_TRUE(refused({{"target", "x"}}, ENOENT, "node-name='x'"));
  EXPECT_TRUE(refused({{"target", "disk"}}, EINVAL, "Source and target cannot be the same"));
  EXPECT_TRUE(refused({{"target", "disk-file"}}, EINVAL, "disk-file"));
  EXPECT_TRUE(refused({{"target", "small"}}, EINVAL, "cannot hold"));
  EXPECT_TRUE(refused({{"sync", "incremental"}}, EOPNOTSUPP, "bitmap"));
  EXPECT_TRUE(refused({{"sync", "some"}}, EINVAL, "'some'"));
  EXPECT_TRUE(refused({{"compress", true}}, EOPNOTSUPP, "'compress'"));
  EXPECT_TRUE(refused({{"bitmap", "b0"}}, EOPNOTSUPP, "'bitmap'"));
  EXPECT_TRUE(refused({{"on-source-error", "panic"}}, EINVAL, "'on-source-error'"));
  EXPECT_TRUE(refused({{"on-cbw-error", "panic"}}, EINVAL, "on-cbw-error"));
  EXPECT_TRUE(refused({{"speed", -1}}, EINVAL, "non-negative"));
  EXPECT_TRUE(refused({{"x-perf", {{"max-workers", 1000}}}}, EINVAL, "max-workers"));
  EXPECT_TRUE(refused({{"x-perf", {{"use-copy-range", true}}}}, EINVAL, "x-perf"));
  EXPECT_TRUE(refused({{"filter-node-name", "copy"}}, EEXIST, "copy"));
  Json unnamed = backup();
  unnamed.erase("job-id");
  EXPECT_TRUE(refuses("blockdev-backup", unnamed, EINVAL, {"An explicit job ID is required"}));
  Backend& writer = attach("writer", "copy", kUser);
  EXPECT_TRUE(refused({}, EBUSY, "'writer'"));
  detach(writer);
  EXPECT_EQ(must("query-jobs"), Json::array());
}

TEST_F(BackupTest, NodesOfAJobAreNotClosedAndItsNameIsTold) {
  must("blockdev-backup", slow({{"filter-node-name", "cbw"}}));
  wait_status("b", "running");
  // The job looks at its source once it has begun to work.
  while (must("query-block-jobs")[0]["offset"] == 0) {
  }
  for (const char* node : {"disk", "copy", "cbw"}) {
    EXPECT_TRUE(refuses("blockdev-del", {{"node-name", node}}, EBUSY, {"job b"})) << node;
  }
  EXPECT_TRUE(refuses("blockdev-backup", slow(), EEXIST, {"Job ID 'b' already in use"}));
}

TEST_F(BackupTest, OneWhoseFilterIsTakenOutByHandFails) {
  Backend& user = attach("user", "disk", kUser);
  must("blockdev-backup", slow({{"filter-node-name", "cbw"}}));
  must("x-penstock-remove-filter", {{"node-name", "cbw"}});
  // Unless it has seen it already.
  (void)run("block-job-set-speed", {{"device", "b"}, {"speed", 0}});
  EXPECT_NE(wait_event("BLOCK_JOB_COMPLETED", "b").value("error", "").find("removed"),
            std::string::npos);
  wait_status("b", "null");
  write(user, 0, pattern(kMiB, 7));
}

TEST_F(BackupTest, WithSyncNoneOnlyWhatIsOverwrittenIsKept) {
  Backend& user = attach("user", "disk", kUser);
  const std::vector<std::byte> then = all(source_);
  must("blockdev-backup", backup({{"sync", "none"}}));
  write(user, kMiB, pattern(1000, 8));
  EXPECT_EQ(target_.read(kMiB, 1000),
            std::vector<std::byte>(then.begin() + kMiB, then.begin() + kMiB + 1000));
  EXPECT_EQ(target_.read(2 * kMiB, kMiB), std::vector<std::byte>(kMiB));
  must("job-cancel", {{"id", "b"}});
  wait_status("b", "null");
}

TEST_F(BackupTest, TwoBackupsOfOneDiskEachHaveTheirOwnMoment) {
  const TestFile& second = add_disk("copy2", kSize);
  Backend& user = attach("user", "disk", kUser);
  const std::vector<std::byte> first_state = all(source_);
  must("blockdev-backup", slow());
  write(user, kMiB, pattern(kMiB, 9));
  const std::vector<std::byte> second_state = all(source_);
  must("blockdev-backup", backup({{"job-id", "c"}, {"target", "copy2"}, {"speed", 1}}));
  write(user, 0, pattern(2 * kMiB, 10));
  let_go();
  wait_status("b", "null");
  must("block-job-set-speed", {{"device", "c"}, {"speed", 0}});
  wait_status("c", "null");
  EXPECT_EQ(all(target_), first_state);
  EXPECT_EQ(all(second), second_state);
}

class BackupErrorTest : public BackupTest {
 protected:
  // The target fails two writes.
  void add_bad_target() {
    must("blockdev-add", {{"driver", "faults"},
                          {"node-name", "bad"},
                          {"read-only", false},
                          {"file", "copy"},
                          {"rules", Json::array({"write_aio:nth=2:errno=ENOSPC"})}});
  }
  static Json bad(const Json& more) {
    Json arguments = backup({{"target", "bad"}, {"x-perf", {{"max-workers", 1}}}});
    if (more.is_object()) arguments.update(more);
    return arguments;
  }
};

TEST_F(BackupErrorTest, AnErrorOfTheTargetEndsTheJob) {
  add_bad_target();
  const std::string before = shape();
  must("blockdev-backup", bad({}));
  EXPECT_EQ(wait_event("BLOCK_JOB_ERROR", "b"),
            (Json{{"device", "b"}, {"operation", "write"}, {"action", "report"}}));
  const Json event = wait_event("BLOCK_JOB_COMPLETED", "b");
  EXPECT_NE(event.value("error", "").find("No space left"), std::string::npos) << event;
  wait_status("b", "null");
  EXPECT_EQ(shape(), before);
}

TEST_F(BackupErrorTest, OrStopsItUntilItIsResumed) {
  add_bad_target();
  must("blockdev-backup", bad({{"on-target-error", "enospc"}}));
  EXPECT_EQ(wait_event("BLOCK_JOB_ERROR", "b")["action"], "stop");
  wait_status("b", "paused");
  EXPECT_EQ(must("query-block-jobs")[0]["io-status"], "nospace");
  must("job-resume", {{"id", "b"}});
  EXPECT_FALSE(wait_event("BLOCK_JOB_COMPLETED", "b").contains("error"));
  wait_status("b", "null");
  EXPECT_EQ(all(target_), all(source_));
}

TEST_F(BackupErrorTest, OrIsTriedAgain) {
  add_bad_target();
  must("blockdev-backup", bad({{"on-target-error", "ignore"}}));
  EXPECT_EQ(wait_event("BLOCK_JOB_ERROR", "b")["action"], "ignore");
  EXPECT_FALSE(wait_event("BLOCK_JOB_COMPLETED", "b").contains("error"));
  wait_status("b", "null");
  EXPECT_EQ(all(target_), all(source_));
}

TEST_F(BackupErrorTest, AnErrorOfTheSourceIsARead) {
  must("blockdev-add", {{"driver", "faults"},
                        {"node-name", "bad"},
                        {"read-only", false},
                        {"file", "disk"},
                        {"rules", Json::array({"read_aio:nth=2"})}});
  must("blockdev-backup", backup({{"device", "bad"}, {"on-target-error", "stop"}}));
  EXPECT_EQ(wait_event("BLOCK_JOB_ERROR", "b"),
            (Json{{"device", "b"}, {"operation", "read"}, {"action", "report"}}));
  wait_status("b", "null");
}

TEST_F(BackupErrorTest, AGroupFailsTogether) {
  add_bad_target();
  add_disk("disk2", kSize);
  add_disk("copy2", kSize);
  const std::string before = shape();
  const Json good = {{"job-id", "good"},
                     {"device", "disk2"},
                     {"target", "copy2"},
                     {"sync", "full"},
                     {"auto-dismiss", false}};
  must("transaction",
       {{"actions", Json::array({Json{{"type", "blockdev-backup"}, {"data", bad({})}},
                                 Json{{"type", "blockdev-backup"}, {"data", good}}})},
        {"properties", {{"completion-mode", "grouped"}}}});
  EXPECT_TRUE(wait_event("BLOCK_JOB_COMPLETED", "b").contains("error"));
  wait_event("BLOCK_JOB_CANCELLED", "good");
  wait_status("good", "concluded");
  EXPECT_EQ(job_facts("good")["error"], "Operation canceled");
  must("job-dismiss", {{"id", "good"}});
  EXPECT_EQ(shape(), before);
}

TEST_F(BackupTest, ATransactionThatFailsHasStartedNoneOfItsJobs) {
  const Json once = {{"type", "blockdev-backup"}, {"data", backup()}};
  EXPECT_TRUE(refuses("transaction", {{"actions", Json::array({once, Json{{"type", "abort"}}})}},
                      ECANCELED, {}));
  EXPECT_TRUE(refuses("transaction", {{"actions", Json::array({once, once})}}, EEXIST,
                      {"Job ID 'b' already in use"}));
  EXPECT_EQ(must("query-jobs"), Json::array());
  must("blockdev-backup", backup());
  // The jobs that were not started have gone too: only this one tells of its work.
  wait_event("BLOCK_JOB_COMPLETED", "b");
  EXPECT_EQ(all(target_), all(source_));
}

// What the fixture takes down at the end includes running jobs.
TEST_F(BackupTest, TheEndOfTheDaemonIsTheEndOfItsJobs) {
  must("blockdev-backup", slow());
  wait_status("b", "running");
  on_control([&] {
    assert_control_thread();
    assert_in_coroutine();
    EXPECT_TRUE(daemon_->co_end_exports().ok());
  });
  EXPECT_EQ(must("query-jobs"), Json::array());
  EXPECT_TRUE(refuses("blockdev-backup", slow(), ESHUTDOWN, {"ending"}));
}

}  // namespace
}  // namespace penstock
