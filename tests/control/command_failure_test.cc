// SPDX-License-Identifier: Apache-2.0
// Commands that a request holds up until their time is over: afterwards graph, permissions, image
// locks, homes, users of threads, and the bytes of the images are as they were.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"
#include "control/daemon_state.h"
#include "control/qmp/command_table.h"
#include "drivers/faults/faults_controller.h"
#include "gtest/gtest.h"
#include "iothreads/control_thread.h"
#include "iothreads/fake_world.h"
#include "tests/block/graph/graph_dump.h"
#include "tests/control/image_lock_probe.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<std::string>;

constexpr uint64_t kMebibyte = 1 << 20;
constexpr uint64_t kBlock = 4096;

// An export without a mount, which moves as it is told.
class MovingExport final : public DaemonExport {
 public:
  MovingExport(IoThreadRegistry& registry, const std::string& id) : registry_(registry) {
    uses_.emplace_back(registry, id, "export 'moving'");
  }

  std::string type() const override { return "fuse"; }
  std::string node_name() const override GLOBAL_STATE_CODE { return "disk"; }
  std::string mount_point() const override { return "/nowhere"; }
  Ids iothreads() const override GLOBAL_STATE_CODE {
    Ids ids;
    for (const IoThreadRegistry::Use& use : uses_) ids.push_back(use.id());
    return ids;
  }
  absl::Status co_set_iothreads(const Ids& ids) override CONTROL_COROUTINE_CODE {
    std::vector<IoThreadRegistry::Use> uses;
    for (const std::string& id : ids) {
      absl::StatusOr<IoThreadRegistry::Use> use = registry_.use(id, "export 'moving'");
      if (!use.ok()) return use.status();
      uses.push_back(std::move(*use));
    }
    uses_.swap(uses);
    ++moves_;
    return absl::OkStatus();
  }
  absl::Status co_stop(Mode) override CONTROL_COROUTINE_CODE { return absl::OkStatus(); }
  int moves() const { return moves_; }

 private:
  IoThreadRegistry& registry_;
  std::vector<IoThreadRegistry::Use> uses_;
  int moves_ = 0;
};

// "disk" (raw) on "faults" on "storage" (a file), with a writer; a virtual clock, so that 30
// seconds are soon over. Threads and files are real.
class CommandFailure : public testing::Test {
 protected:
  CommandFailure() {
    control([this] {
      assert_in_coroutine();
      assert_control_thread();
      daemon_ = std::make_unique<Daemon>(host_, Engine::kAuto, nullptr);
      for (const char* id : {"io0", "io1"}) {
        co_must("object-add", {{"qom-type", "iothread"}, {"id", id}});
      }
      co_must("blockdev-add", file("storage", image_));
      co_must("blockdev-add", file("other", second_));
      co_must("blockdev-add",
              {{"driver", "faults"},
               {"node-name", "faults"},
               {"rules", {{{"event", "write_aio"}, {"always", true}, {"suspend", "held"}}}},
               {"file", "storage"}});
      co_must("blockdev-add", disk_on("faults"));
      co_must("x-blockdev-set-iothread", {{"node-name", "faults"}, {"iothread", "io0"}});
      const Permissions writer{kConsistentRead | kWrite, kAllPermissions};
      backend_ = *daemon_->graph.co_attach_backend("writer", *daemon_->graph.find("disk"), writer);
    });
  }
  ~CommandFailure() override {
    control([this] {
      assert_in_coroutine();
      assert_control_thread();
      EXPECT_TRUE(daemon_->graph.co_detach_backend(*backend_).ok());
      const absl::Status ended = daemon_->co_shut_down();
      EXPECT_TRUE(ended.ok()) << ended;
      daemon_.reset();
    });
  }

  static Json file(const std::string& name, const TestFile& image) {
    return {{"driver", "file"}, {"node-name", name}, {"filename", image.path()}};
  }
  static Json disk_on(const std::string& node) {
    return {{"driver", "raw"}, {"node-name", "disk"}, {"file", node}};
  }

  void control(const std::function<void()>& function) {
    bool ended = false;
    world_.context(0).spawn("test", [&] {
      function();
      ended = true;
    });
    run_until([&] { return ended; });
  }
  // Answers of the thread pool come from outside of the world, at any time.
  void run_until(const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!world_.run_until(done)) {
      if (std::chrono::steady_clock::now() > limit) std::abort();
      std::this_thread::yield();
    }
  }
  void co_must(const std::string& command, const Json& arguments) CONTROL_COROUTINE_CODE {
    const auto answer = co_run_qmp_command(*daemon_, command, arguments);
    EXPECT_TRUE(answer.ok()) << command << " " << arguments << ": " << answer.status();
  }

  std::string state() GLOBAL_STATE_CODE {
    std::string text = dump_graph(daemon_->graph);
    text += "locks " + first_locks_.held() + " and " + second_locks_.held() + "\n";
    for (const char* id : {"io0", "io1"}) {
      Ids users = daemon_->iothreads.users_of(id);
      std::sort(users.begin(), users.end());
      text += std::string(id) + ": " + Json(users).dump() + "\n";
    }
    return text;
  }

  // The command fails while a write is held, and changes nothing; then the write ends well.
  void fails_while_a_write_is_held(const std::string& command, const Json& arguments) {
    SCOPED_TRACE(command);
    const std::vector<std::byte> old = image_.read(0, kMebibyte);
    const std::vector<std::byte> written = pattern(kBlock, 7);
    bool done = false;
    world_.context(1).spawn("write", [&] {
      assert_in_coroutine();
      EXPECT_TRUE(co_write(*backend_, 5 * kBlock, written).ok());
      done = true;
    });
    control([&] {
      assert_in_coroutine();
      assert_control_thread();
      FaultsController& faults = *faults_controller(*daemon_->graph.find("faults"));
      faults.co_wait_suspended("held");
      const std::string before = state();
      const auto answer = co_run_qmp_command(*daemon_, command, arguments);
      EXPECT_EQ(status_errno(answer.status()), ETIMEDOUT) << answer.status();
      EXPECT_NE(status_text(answer.status()).find("'writer'"), std::string::npos)
          << answer.status();
      EXPECT_EQ(state(), before);
      EXPECT_EQ(image_.size(), kMebibyte);
      EXPECT_EQ(image_.read(0, kMebibyte), old);
      EXPECT_EQ(second_.size(), kMebibyte);
      EXPECT_EQ(faults.resume("held"), 1u);
    });
    run_until([&] { return done; });
    EXPECT_EQ(image_.read(5 * kBlock, kBlock), written);
    EXPECT_EQ(second_.read(0, kMebibyte), std::vector<std::byte>(kMebibyte));
  }
  // Nothing is in its way any more.
  void works(const std::string& command, const Json& arguments) {
    control([&] {
      assert_in_coroutine();
      assert_control_thread();
      co_must(command, arguments);
    });
  }
  void fails_then_works(const std::string& command, const Json& arguments) {
    fails_while_a_write_is_held(command, arguments);
    works(command, arguments);
  }

  const TestFile image_{"/dev/shm", kMebibyte};
  const TestFile second_{"/dev/shm", kMebibyte};
  const ImageLockProbe first_locks_{image_.path()};
  const ImageLockProbe second_locks_{second_.path()};
  TestHost host_;
  FakeWorld world_{2, 1};
  ControlThreadScope scope_{world_.context(0)};
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(CommandFailure, AReopenThatCannotDrainChangesNothing) {
  fails_then_works("blockdev-reopen", {{"options", {disk_on("other")}}});
}

TEST_F(CommandFailure, AReplacementThatCannotDrainChangesNothing) {
  fails_then_works("x-penstock-replace-child",
                   {{"parent", "disk"}, {"child", "file"}, {"node", "other"}});
}

TEST_F(CommandFailure, AFilterThatCannotDrainIsNeitherInsertedNorRemoved) {
  fails_then_works(
      "x-penstock-insert-filter",
      {{"node-name", "disk"}, {"filter", {{"driver", "copy-on-read"}, {"node-name", "new"}}}});
  works("x-penstock-remove-filter", {{"node-name", "new"}});
  fails_while_a_write_is_held("x-penstock-remove-filter", {{"node-name", "faults"}});
}

TEST_F(CommandFailure, AResizeBelowAFilterThatCannotDrainCutsNothing) {
  fails_then_works("block_resize", {{"node-name", "storage"}, {"size", kMebibyte / 2}});
  EXPECT_EQ(image_.size(), kMebibyte / 2);
}

TEST_F(CommandFailure, AMoveThatCannotDrainLeavesHomesAndUsersOfThreads) {
  fails_while_a_write_is_held("x-blockdev-set-iothread",
                              {{"node-name", "disk"}, {"iothread", "io1"}});
  fails_then_works("x-blockdev-set-iothread", {{"node-name", "disk"}, {"iothread", nullptr}});
}

TEST_F(CommandFailure, ATransactionThatCannotDrainChangesNothing) {
  const Json insert = {{"node-name", "disk"},
                       {"filter", {{"driver", "faults"}, {"node-name", "new"}}}};
  fails_then_works(
      "transaction",
      {{"actions",
        {{{"type", "x-penstock-insert-filter"}, {"data", insert}},
         {{"type", "blockdev-reopen"}, {"data", {{"options", {disk_on("other")}}}}}}}});
  works("x-penstock-remove-filter", {{"node-name", "new"}});
}

TEST_F(CommandFailure, AThreadStaysIfItsNodesCannotMoveAndExportsThatHadMovedComeBack) {
  MovingExport* moving = nullptr;
  control([&] {
    assert_in_coroutine();
    assert_control_thread();
    const absl::Status added =
        daemon_->exports.co_add("moving", [&]() -> absl::StatusOr<std::unique_ptr<DaemonExport>> {
          auto made = std::make_unique<MovingExport>(daemon_->iothreads, "io0");
          moving = made.get();
          return made;
        });
    ASSERT_TRUE(added.ok()) << added;
  });
  fails_while_a_write_is_held("x-penstock-iothread-del", {{"id", "io0"}, {"move-to", "io1"}});
  EXPECT_EQ(moving->moves(), 2) << "there and back";
  works("x-penstock-iothread-del", {{"id", "io0"}, {"move-to", "io1"}});
}

}  // namespace
}  // namespace penstock
