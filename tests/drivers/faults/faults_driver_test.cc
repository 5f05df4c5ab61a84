// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>

#include "base/status.h"
#include "drivers/faults/faults_controller.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Bytes = std::vector<std::byte>;
using nlohmann::json;

constexpr uint64_t kSize = 64 * 1024;

class Faults : public testing::Test {
 protected:
  Backend& serve(json more = json::object()) {
    more["driver"] = "faults";
    more["file"] = {{"driver", "file"}, {"filename", file_.path()}};
    Backend& backend = world_.serve(more);
    faults_ = faults_controller(*backend.root.node);
    return backend;
  }
  void add_rule(const std::string& text) { faults_->add_rule(parse_fault_rule(text).value()); }

  const TestFile file_{"/dev/shm", kSize};
  DriverWorld world_{2};
  FaultsController* faults_ = nullptr;
};

TEST_F(Faults, OnlyAFaultsNodeHasAController) {
  EXPECT_EQ(faults_controller(*world_.serve({{"driver", "null-co"}}).root.node), nullptr);
  serve();
  EXPECT_NE(faults_, nullptr);
}

TEST_F(Faults, TheNthReadFailsOnceWithTheErrnoOfTheRule) {
  Backend& backend =
      serve({{"rules", {{{"event", "read_aio"}, {"nth", 2}, {"errno", "EBADMSG"}}}}});
  Bytes data(512);
  EXPECT_TRUE(world_.read(backend, 0, data).ok());
  EXPECT_EQ(status_errno(world_.read(backend, 0, data)), EBADMSG);
  EXPECT_TRUE(world_.read(backend, 0, data).ok());
}

TEST_F(Faults, ARuleForARangeLeavesOtherRequestsAlone) {
  Backend& backend = serve({{"rules", {"write_aio:offset=8192:length=512:errno=ENOSPC:always"}}});
  EXPECT_TRUE(world_.write(backend, 0, pattern(8192, 1)).ok());
  for (int i = 0; i < 2; ++i) {
    const absl::Status full = world_.write(backend, 8000, pattern(400, 2));
    EXPECT_EQ(status_errno(full), ENOSPC) << status_text(full);
  }
  EXPECT_TRUE(world_.write(backend, 8704, pattern(512, 3)).ok());
  const Bytes before = pattern(8192, 1);
  EXPECT_EQ(file_.read(8000, 192), Bytes(before.begin() + 8000, before.end()));
}

TEST_F(Faults, EveryKindOfRequestCanFail) {
  Backend& backend = serve();
  add_rule("write_zeroes:errno=EIO");
  EXPECT_EQ(status_errno(world_.write_zeroes(backend, {0, 4096})), EIO);
  add_rule("discard:errno=EIO");
  EXPECT_EQ(status_errno(world_.discard(backend, {0, 4096})), EIO);
  add_rule("resize:errno=EFBIG");
  EXPECT_EQ(status_errno(world_.resize(backend, 1 << 20)), EFBIG);
  EXPECT_EQ(file_.size(), kSize);
  add_rule("flush_to_disk:errno=EIO");
  EXPECT_TRUE(world_.write(backend, 0, pattern(512, 1)).ok());
  EXPECT_EQ(status_errno(world_.flush(backend)), EIO);
}

TEST_F(Faults, AReadErrorInsideAReadModifyWriteFailsTheWriteAndChangesNothing) {
  file_.write(0, pattern(kSize, 9));
  Backend& backend = serve({{"align", 4096}});
  for (const char* rule :
       {"read_aio:errno=EIO", "pwritev_rmw_head:errno=EIO", "pwritev_rmw_after_head:errno=EIO",
        "pwritev_rmw_tail:errno=EIO", "pwritev_rmw_after_tail:errno=EIO"}) {
    add_rule(rule);
    const absl::Status written = world_.write(backend, 5000, pattern(10'000, 4));
    EXPECT_EQ(status_errno(written), EIO) << rule << " " << status_text(written);
    EXPECT_EQ(file_.read(0, kSize), pattern(kSize, 9)) << rule;
  }
  EXPECT_TRUE(world_.write(backend, 5000, pattern(10'000, 4)).ok());
  EXPECT_EQ(file_.read(5000, 10'000), pattern(10'000, 4));
}

TEST_F(Faults, TheLastBytesOfAnOddSizeAreWrittenWithoutTheRightToResize) {
  file_.truncate(10'001);
  const json options = {{"driver", "faults"},
                        {"align", 4096},
                        {"file", {{"driver", "file"}, {"filename", file_.path()}}}};
  Backend& backend =
      world_.serve(options, {kConsistentRead | kWrite | kWriteUnchanged, kConsistentRead});
  const absl::Status written = world_.write(backend, 9'000, pattern(1'001, 6));
  EXPECT_TRUE(written.ok()) << status_text(written);
  EXPECT_EQ(file_.read(9'000, 4096), pattern(1'001, 6));
}

TEST_F(Faults, ASuspendedRequestWaitsAndOthersPass) {
  Backend& backend = serve();
  add_rule("write_aio:suspend=held");
  bool written = false;
  world_.run_all({[&] {
                    assert_in_coroutine();
                    EXPECT_TRUE(co_write(backend, 0, pattern(512, 1)).ok());
                    written = true;
                  },
                  [&] {
                    assert_in_coroutine();
                    faults_->co_wait_suspended("held");
                    EXPECT_EQ(faults_->suspended("held"), 1u);
                    EXPECT_EQ(file_.read(0, 512), Bytes(512));
                    EXPECT_TRUE(co_write(backend, 4096, pattern(512, 2)).ok());
                    EXPECT_EQ(faults_->resume("other"), 0u);
                    EXPECT_EQ(faults_->resume("held"), 1u);
                  }});
  EXPECT_TRUE(written);
  EXPECT_EQ(faults_->suspended("held"), 0u);
  EXPECT_EQ(file_.read(0, 512), pattern(512, 1));
}

TEST_F(Faults, ADelayComesBeforeTheRequest) {
  Backend& backend = serve({{"rules", {"read_aio:delay-ns=20000000"}}});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(world_.read(backend, 0, 512).size(), 512u);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(20));
}

TEST_F(Faults, EventsAreCountedOnDemand) {
  Backend& backend = serve();
  EXPECT_EQ(world_.read(backend, 0, 512).size(), 512u);
  EXPECT_EQ(faults_->count("read_aio"), 0u);
  faults_->start_counting();
  EXPECT_EQ(world_.read(backend, 0, 512).size(), 512u);
  EXPECT_TRUE(world_.discard(backend, {0, 4096}).ok());
  EXPECT_EQ(faults_->count("read_aio"), 1u);
  EXPECT_EQ(faults_->count("pdiscard"), 1u);
}

TEST_F(Faults, RulesComeAndGoUnderLoad) {
  Backend& backend = serve();
  std::vector<std::function<void()>> work;
  for (int user = 0; user < 6; ++user) {
    work.emplace_back([&backend] {
      assert_in_coroutine();
      Bytes data(512);
      for (int i = 0; i < 500; ++i) {
        const absl::Status read = co_read(backend, 512 * static_cast<uint64_t>(i % 100), data);
        EXPECT_TRUE(read.ok() || status_errno(read) == ENXIO) << status_text(read);
      }
    });
  }
  work.emplace_back([this] {
    assert_in_coroutine();
    for (int i = 0; i < 200; ++i) {
      add_rule(i % 2 == 0 ? "read_aio:errno=ENXIO:always" : "read_aio:nth=5:delay-ns=1000");
      co_pause();
      faults_->clear_rules();
    }
  });
  world_.run_all(work);
}

TEST_F(Faults, MistakesInTheOptionsAreNamed) {
  const json file = {{"driver", "file"}, {"filename", file_.path()}};
  for (const json& wrong : {json{{"align", 3}}, json{{"align", 0}}, json{{"align", 1 << 21}},
                            json{{"rules", "read_aio"}}, json{{"rules", {"nothing"}}},
                            json{{"rules", {5}}}, json{{"rule", 1}}}) {
    json options = wrong;
    options["driver"] = "faults";
    options["file"] = file;
    EXPECT_EQ(status_errno(world_.open(options).status()), EINVAL) << wrong.dump();
  }
}

}  // namespace
}  // namespace penstock
