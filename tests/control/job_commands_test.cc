// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "base/status.h"
#include "control/qmp/command_table.h"
#include "control/qmp/qmp_command.h"
#include "tests/control/job_fixture.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

class JobCommandsTest : public ControlJobFixture {
 protected:
  ~JobCommandsTest() override { ::unlink(path_.c_str()); }

  Json create(const Json& options) {
    Json all = {{"driver", "file"}, {"filename", path_}, {"size", kMiB}};
    if (options.is_object()) all.update(options);
    return {{"job-id", "make"}, {"options", all}};
  }
  // Runs one to its end, and tells its error.
  std::string result_of_create(const Json& options) {
    must("blockdev-create", create(options));
    wait_status("make", "concluded");
    const Json facts = job_facts("make");
    must("job-dismiss", {{"id", "make"}});
    return facts.value("error", "");
  }
  struct stat stat_of_file() {
    struct stat facts = {};
    EXPECT_EQ(::stat(path_.c_str(), &facts), 0);
    return facts;
  }

  const std::string path_ = "/dev/shm/penstock-create-" + std::to_string(::getpid());
};

TEST_F(JobCommandsTest, AFileIsCreatedByAJobThatStaysUntilItIsDismissed) {
  must("blockdev-create", create({}));
  wait_status("make", "concluded");
  const Json facts = job_facts("make");
  EXPECT_EQ(facts["type"], "create");
  EXPECT_EQ(facts["status"], "concluded");
  EXPECT_EQ(facts["current-progress"], facts["total-progress"]);
  EXPECT_FALSE(facts.contains("error"));
  EXPECT_EQ(stat_of_file().st_size, static_cast<off_t>(kMiB));
  EXPECT_EQ(stat_of_file().st_blocks, 0);
  // It is no block job, and its id is taken until it has gone.
  EXPECT_EQ(must("query-block-jobs"), Json::array());
  EXPECT_EQ(unseen("BLOCK_JOB_COMPLETED"), 0u);
  EXPECT_TRUE(refuses("blockdev-create", create({}), EEXIST, {"Job ID 'make' already in use"}));
  must("job-dismiss", {{"id", "make"}});
  wait_status("make", "null");
  EXPECT_EQ(must("query-jobs"), Json::array());
}

TEST_F(JobCommandsTest, SpaceIsAllocatedIfThatIsWanted) {
  for (const char* how : {"falloc", "full"}) {
    EXPECT_EQ(result_of_create({{"preallocation", how}, {"size", 40 * kMiB}}), "");
    EXPECT_GE(stat_of_file().st_blocks * 512, static_cast<off_t>(40 * kMiB)) << how;
  }
  EXPECT_EQ(result_of_create({}), "");
  EXPECT_EQ(stat_of_file().st_blocks, 0);
}

TEST_F(JobCommandsTest, AFileThatIsInUseIsLeftAsItIs) {
  EXPECT_EQ(result_of_create({{"preallocation", "full"}}), "");
  must("blockdev-add", {{"driver", "file"}, {"node-name", "used"}, {"filename", path_}});
  Backend& reader = attach("reader", "used", {kConsistentRead, kConsistentRead});
  EXPECT_NE(result_of_create({}), "");
  EXPECT_GE(stat_of_file().st_blocks * 512, static_cast<off_t>(kMiB));
  detach(reader);
}

TEST_F(JobCommandsTest, AFileThatCouldNotBeMadeIsNotLeft) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit usual = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &usual), 0);
  const rlimit small = {kMiB, usual.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string error = result_of_create({{"size", 2 * kMiB}});
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &usual), 0);
  EXPECT_NE(error.find(path_), std::string::npos) << error;
  EXPECT_NE(::access(path_.c_str(), F_OK), 0);
  EXPECT_NE(result_of_create({{"filename", "/dev/shm/nowhere/at/all"}}).find("nowhere"),
            std::string::npos);
}

TEST_F(JobCommandsTest, ACancelledCreationIsUndone) {
  on_control([this] {
    assert_control_thread();
    assert_in_coroutine();
    // Before its first step.
    EXPECT_TRUE(co_run_qmp_command(*daemon_, "blockdev-create", create({})).ok());
    EXPECT_TRUE(co_run_qmp_command(*daemon_, "job-pause", {{"id", "make"}}).ok());
  });
  wait_status("make", "paused");
  EXPECT_EQ(job_facts("make")["status"], "paused");
  must("job-cancel", {{"id", "make"}});
  wait_status("make", "concluded");
  EXPECT_EQ(job_facts("make")["error"], "Operation canceled");
  EXPECT_EQ(unseen("BLOCK_JOB_CANCELLED"), 0u);
  must("job-dismiss", {{"id", "make"}});
  EXPECT_NE(::access(path_.c_str(), F_OK), 0);
}

TEST_F(JobCommandsTest, WrongOptionsOfCreateAreRefused) {
  const auto refused = [&](const Json& options, int error, const std::string& word) {
    return refuses("blockdev-create", create(options), error, {word});
  };
  EXPECT_TRUE(refused({{"driver", "qcow2"}}, EOPNOTSUPP, "'qcow2'"));
  EXPECT_TRUE(refused({{"size", -1}}, EINVAL, "'options.size'"));
  EXPECT_TRUE(refused({{"size", "1M"}}, EINVAL, "'options.size'"));
  EXPECT_TRUE(refused({{"preallocation", "metadata"}}, EINVAL, "'preallocation'"));
  EXPECT_TRUE(refused({{"cluster-size", 1}}, EINVAL, "'cluster-size'"));
  Json bad_id = create({});
  bad_id["job-id"] = "#1";
  EXPECT_TRUE(refuses("blockdev-create", bad_id, EINVAL, {"Invalid job ID '#1'"}));
  EXPECT_EQ(must("query-jobs"), Json::array());
}

TEST_F(JobCommandsTest, AJobThatIsNotThereIsSaidSoInTheFieldsWords) {
  for (const char* command :
       {"job-pause", "job-resume", "job-cancel", "job-complete", "job-finalize", "job-dismiss"}) {
    EXPECT_TRUE(refuses(command, {{"id", "x"}}, ENOENT, {"Job not found"})) << command;
  }
  for (const char* command :
       {"block-job-pause", "block-job-resume", "block-job-cancel", "block-job-complete",
        "block-job-finalize", "block-job-dismiss", "block-job-set-speed"}) {
    const std::string name = command;
    const bool by_id = name == "block-job-finalize" || name == "block-job-dismiss";
    Json arguments = {{by_id ? "id" : "device", "x"}};
    if (name == "block-job-set-speed") arguments["speed"] = 1;
    const auto answer = run(command, arguments);
    EXPECT_EQ(qmp_error_class(answer.status()), "DeviceNotActive") << command;
    EXPECT_EQ(status_text(answer.status()), "Block job 'x' not found") << command;
  }
}

}  // namespace
}  // namespace penstock
