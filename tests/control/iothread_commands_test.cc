// SPDX-License-Identifier: Apache-2.0
// x-penstock-export-set-iothreads and x-penstock-iothread-del, with real mounts that are in use.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/status.h"
#include "control/mount_registry.h"
#include "control/qmp/command_table.h"
#include "drivers/faults/faults_controller.h"
#include "tests/control/export_fixture.h"

namespace penstock {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<std::string>;

// An export without a mount that has threads, and moves as the test says.
class ScriptedExport final : public DaemonExport {
 public:
  using Move = std::function<absl::Status(const Ids&)>;
  ScriptedExport(IoThreadRegistry& registry, const std::string& id, const std::string& thread,
                 Move move)
      : use_(registry, thread, "export '" + id + "'"), move_(std::move(move)) {}

  std::string type() const override { return "fuse"; }
  std::string node_name() const override GLOBAL_STATE_CODE { return "n"; }
  std::string mount_point() const override { return "/nowhere"; }
  Ids iothreads() const override GLOBAL_STATE_CODE { return {use_.id()}; }
  absl::Status co_set_iothreads(const Ids& ids) override CONTROL_COROUTINE_CODE {
    return move_(ids);
  }
  absl::Status co_stop(Mode) override CONTROL_COROUTINE_CODE {
    if (may_stop != nullptr) may_stop->co_wait();
    return absl::OkStatus();
  }

  CoEvent* may_stop = nullptr;  // its end waits for this

 private:
  IoThreadRegistry::Use use_;
  const Move move_;
};

class IoThreadCommands : public ExportFixture {
 protected:
  void SetUp() override {
    ExportFixture::SetUp();
    if (IsSkipped()) return;
    for (const char* id : {"io0", "io1", "io2"}) add_thread(id);
    add_node(true);
  }

  void add_thread(const std::string& id) {
    must("object-add", {{"qom-type", "iothread"}, {"id", id}});
  }
  Json set(const Ids& ids) { return {{"id", "e"}, {"iothreads", ids}}; }
  Ids threads_of_export(const std::string& id = "e") {
    return on_control([&] {
      assert_control_thread();
      return daemon_->exports.iothreads_of(id);
    });
  }
  Ids users_of(const std::string& thread) {
    return on_control([&] {
      assert_control_thread();
      Ids users = daemon_->iothreads.users_of(thread);
      std::sort(users.begin(), users.end());
      return users;
    });
  }
  bool has_thread(const std::string& id) {
    return on_control([&] {
      assert_control_thread();
      return daemon_->iothreads.has(id);
    });
  }
  Ids at_home_on(const std::string& thread) {
    return on_control([&] {
      assert_control_thread();
      Ids result;
      for (const Node* node : daemon_->graph.nodes()) {
        if (node->home.get() == daemon_->iothreads.context_of(thread)) result.push_back(node->name);
      }
      return result;
    });
  }
  // A refused command that leaves every thread with its users.
  testing::AssertionResult refuses_all_staying(const std::string& command, const Json& arguments,
                                               int error, const std::vector<std::string>& words) {
    std::vector<Ids> before;
    for (const char* id : {"io0", "io1", "io2"}) before.push_back(users_of(id));
    const auto result = refuses(command, arguments, error, words);
    if (!result) return result;
    std::vector<Ids> after;
    for (const char* id : {"io0", "io1", "io2"}) after.push_back(users_of(id));
    if (before == after) return result;
    return testing::AssertionFailure() << Json(before) << " became " << Json(after);
  }
  void add_scripted(const std::string& id, const std::string& thread, ScriptedExport::Move move) {
    on_control([&] {
      assert_control_thread();
      assert_in_coroutine();
      const absl::Status added =
          daemon_->exports.co_add(id, [&]() -> absl::StatusOr<std::unique_ptr<DaemonExport>> {
            return std::unique_ptr<DaemonExport>(
                new ScriptedExport(daemon_->iothreads, id, thread, std::move(move)));
          });
      ASSERT_TRUE(added.ok()) << added;
    });
  }

  // A command of another client, whose answer comes when it comes.
  void start(const std::string& command, const Json& arguments, CoEvent& done,
             absl::Status& answer) {
    control_->context().spawn("client", [this, command, arguments, &done, &answer] {
      assert_control_thread();
      assert_in_coroutine();
      answer = co_run_qmp_command(*daemon_, command, arguments).status();
      done.set();
    });
  }
  void await(CoEvent& event) {
    on_control([&] {
      assert_in_coroutine();
      event.co_wait();
    });
  }

  // Runs `meanwhile` while two threads write and verify their own halves of the disk.
  void under_load(const std::function<void()>& meanwhile) {
    std::atomic<bool> done{false};
    std::atomic<uint64_t> rounds{0};
    std::vector<std::thread> users;
    for (size_t half : {0, 1}) {
      users.emplace_back([&, half] {
        const UniqueFd file(open(disk().c_str(), O_RDWR | O_DIRECT));
        AlignedBuffer buffer(4096, 4096);
        for (unsigned round = 0; round == 0 || !done; ++round) {
          const off_t at = static_cast<off_t>(half * kSize / 2 + round * 4096 % (kSize / 2));
          memset(buffer.data(), static_cast<int>(round % 251 + half), 4096);
          ASSERT_EQ(pwrite(file.get(), buffer.data(), 4096, at), 4096) << strerror(errno);
          memset(buffer.data(), 0, 4096);
          ASSERT_EQ(pread(file.get(), buffer.data(), 4096, at), 4096) << strerror(errno);
          for (size_t i : {size_t{0}, size_t{4095}}) {
            ASSERT_EQ(buffer.data()[i], static_cast<std::byte>(round % 251 + half));
          }
          ++rounds;
        }
      });
    }
    meanwhile();
    done = true;
    for (std::thread& user : users) user.join();
    EXPECT_GT(rounds, 0u);
  }
};

TEST_F(IoThreadCommands, an_export_moves_while_it_is_written_and_its_old_threads_are_free) {
  add_export({{"writable", true}, {"iothread", "io0"}});
  under_load([&] {
    for (int round = 0; round < 20; ++round) {
      must("x-penstock-export-set-iothreads", set({"io1", "io2"}));
      EXPECT_EQ(threads_of_export(), (Ids{"io1", "io2"}));
      EXPECT_EQ(users_of("io0"), Ids{});
      EXPECT_EQ(users_of("io1"), Ids{"export 'e'"});
      must("x-penstock-export-set-iothreads", set({"io0", "io1"}));
      EXPECT_EQ(users_of("io1"), Ids{"export 'e'"}) << "once, though it stayed";
      must("x-penstock-export-set-iothreads", set({"io2"}));
    }
    must("object-del", {{"id", "io0"}});
    must("object-del", {{"id", "io1"}});
    EXPECT_TRUE(refuses("object-del", {{"id", "io2"}}, EBUSY, {"export 'e'"}));
  });
}

TEST_F(IoThreadCommands, an_empty_list_gives_an_export_the_default_threads) {
  add_export({{"iothread", "io0"}});
  must("x-penstock-export-set-iothreads", set({}));
  const Ids defaults = threads_of_export();
  ASSERT_FALSE(defaults.empty());
  for (const std::string& id : defaults) EXPECT_EQ(id.front(), '#');
  EXPECT_EQ(users_of("io0"), Ids{});
  must("x-penstock-export-set-iothreads", set({}));
  EXPECT_EQ(threads_of_export(), defaults);
  EXPECT_EQ(users_of(defaults.front()), Ids{"export 'e'"});
  EXPECT_EQ(first_bytes(disk(), 2), "aa");
}

TEST_F(IoThreadCommands, the_list_of_mounts_follows) {
  add_export({{"iothread", "io0"}});
  must("x-penstock-export-set-iothreads", set({"io0", "io1", "io2"}));
  for (const MountState& each : read_mount_registry()) {
    if (each.mount_point == path("mnt")) {
      EXPECT_EQ(each.iothreads, 3u);
    }
  }
}

TEST_F(IoThreadCommands, what_cannot_move_is_refused_and_stays) {
  add_export({{"iothread", "io0"}});
  const char kSet[] = "x-penstock-export-set-iothreads";
  EXPECT_TRUE(refuses_all_staying(kSet, {{"id", "x"}, {"iothreads", {"io1"}}}, ENOENT, {"'x'"}));
  EXPECT_TRUE(refuses_all_staying(kSet, set({"io1", "io9"}), ENOENT, {"'io9'", "object-add"}));
  EXPECT_TRUE(refuses_all_staying(kSet, set({"io1", "io1"}), EINVAL, {"'io1'", "twice"}));
  EXPECT_TRUE(refuses_all_staying(kSet, {{"id", "e"}, {"iothreads", {1}}}, EINVAL, {"iothreads"}));
  EXPECT_TRUE(refuses_all_staying(kSet, {{"id", "e"}, {"iothreads", "io1"}}, EINVAL, {"array"}));
  EXPECT_EQ(threads_of_export(), Ids{"io0"});
  add_scripted("f", "io1", [](const Ids&) { return errno_status(ENOMEM, "making a queue"); });
  EXPECT_TRUE(refuses_all_staying(kSet, {{"id", "f"}, {"iothreads", {"io0"}}}, ENOMEM, {"queue"}));
}

TEST_F(IoThreadCommands, an_iothread_goes_after_its_users_have_moved_where_they_were_told) {
  add_export({{"writable", true}, {"iothread", {"io0", "io1"}}});
  must("x-blockdev-set-iothread", {{"node-name", "n"}, {"iothread", "io0"}});
  EXPECT_TRUE(refuses("object-del", {{"id", "io0"}}, EBUSY, {"export 'e'", "node 'n'"}));
  under_load([&] {
    must("x-penstock-iothread-del", {{"id", "io0"}, {"move-to", "io2"}});
    EXPECT_EQ(threads_of_export(), (Ids{"io2", "io1"}));
    EXPECT_EQ(at_home_on("io2"), Ids{"n"});
    EXPECT_FALSE(has_thread("io0"));
    // Where it is already it gets no second queue.
    must("x-penstock-iothread-del", {{"id", "io2"}, {"move-to", "io1"}});
    EXPECT_EQ(threads_of_export(), Ids{"io1"});
    EXPECT_EQ(at_home_on("io1"), Ids{"n"});
  });
}

TEST_F(IoThreadCommands, without_a_place_an_export_uses_its_others_then_the_default_ones) {
  add_export({{"writable", true}, {"iothread", {"io0", "io1"}}});
  must("x-blockdev-set-iothread", {{"node-name", "n"}, {"iothread", "io0"}});
  under_load([&] {
    must("x-penstock-iothread-del", {{"id", "io0"}});
    EXPECT_EQ(threads_of_export(), Ids{"io1"});
    EXPECT_EQ(at_home_on("io1"), Ids{});
    must("x-penstock-iothread-del", {{"id", "io1"}});
    const Ids defaults = threads_of_export();
    ASSERT_FALSE(defaults.empty());
    EXPECT_EQ(defaults.front().front(), '#');
  });
  const auto refused = run("x-penstock-iothread-del", {{"id", threads_of_export().front()}});
  EXPECT_EQ(status_errno(refused.status()), EINVAL) << refused.status();
  must("x-penstock-iothread-del", {{"id", "io2"}});
}

TEST_F(IoThreadCommands, an_iothread_is_removed_only_by_names_that_fit) {
  add_export({{"iothread", "io0"}});
  const char kDel[] = "x-penstock-iothread-del";
  EXPECT_TRUE(refuses_all_staying(kDel, {{"id", "io9"}}, ENOENT, {"'io9'"}));
  EXPECT_TRUE(refuses_all_staying(kDel, {{"id", "io0"}, {"move-to", "io9"}}, ENOENT, {"'io9'"}));
  EXPECT_TRUE(refuses_all_staying(kDel, {{"id", "io0"}, {"move-to", "io0"}}, EINVAL, {"itself"}));
}

TEST_F(IoThreadCommands, a_user_that_cannot_move_keeps_the_thread_and_the_others_move_back) {
  add_export({{"writable", true}, {"iothread", {"io0", "io1"}}});
  must("x-blockdev-set-iothread", {{"node-name", "n"}, {"iothread", "io0"}});
  std::optional<IoThreadRegistry::Use> use;
  on_control([&] {
    assert_control_thread();
    use.emplace(daemon_->iothreads, "io0", "job 'backup'");
  });
  under_load([&] {
    for (const Json& where : {Json{{"id", "io0"}}, Json{{"id", "io0"}, {"move-to", "io2"}}}) {
      const auto answer = run("x-penstock-iothread-del", where);
      EXPECT_EQ(status_errno(answer.status()), EBUSY) << answer.status();
      EXPECT_NE(status_text(answer.status()).find("job 'backup'"), std::string::npos);
      EXPECT_EQ(threads_of_export(), (Ids{"io0", "io1"}));
      EXPECT_EQ(at_home_on("io0"), Ids{"n"});
      EXPECT_EQ(users_of("io0").size(), 3u);
      EXPECT_EQ(users_of("io2"), Ids{});
    }
  });
  on_control([&] { use.reset(); });
  must("x-penstock-iothread-del", {{"id", "io0"}});
}

TEST_F(IoThreadCommands, when_one_export_cannot_move_those_before_it_move_back) {
  add_export({{"writable", true}, {"iothread", {"io0", "io1"}}});
  must("x-blockdev-set-iothread", {{"node-name", "n"}, {"iothread", "io0"}});
  std::optional<int> taken;
  add_scripted("z", "io0", [&](const Ids& ids) -> absl::Status {
    assert_control_thread();
    EXPECT_EQ(ids, Ids{"io2"});
    // Nobody new gets it meanwhile.
    taken = status_errno(daemon_->iothreads.use("io0", "latecomer").status());
    return errno_status(ETIMEDOUT, "the request 'read' holds it");
  });
  under_load([&] {
    EXPECT_TRUE(refuses_all_staying("x-penstock-iothread-del", {{"id", "io0"}, {"move-to", "io2"}},
                                    ETIMEDOUT, {"'io0'", "the request 'read'"}));
  });
  EXPECT_EQ(taken, EBUSY);
  EXPECT_EQ(threads_of_export(), (Ids{"io0", "io1"}));
  must("x-blockdev-set-iothread", {{"node-name", "n"}, {"iothread", "io0"}});
}

TEST_F(IoThreadCommands, an_export_that_is_removed_while_it_moves_goes) {
  for (int round = 0; round < 6; ++round) {
    add_export({{"writable", true}, {"iothread", "io0"}});
    std::thread mover([&] {
      for (int move = 0; move < 20; ++move) {
        const auto answer = run("x-penstock-export-set-iothreads",
                                set(move % 2 == 0 ? Ids{"io1", "io2"} : Ids{"io0"}));
        if (answer.ok()) continue;
        const int error = status_errno(answer.status());
        EXPECT_TRUE(error == EBUSY || error == ENOENT || error == ESHUTDOWN) << answer.status();
        break;
      }
    });
    const auto removed = run("block-export-del", {{"id", "e"}, {"mode", "hard"}});
    EXPECT_TRUE(removed.ok()) << removed.status();
    mover.join();
    for (const char* id : {"io0", "io1", "io2"}) EXPECT_EQ(users_of(id), Ids{});
  }
}

// A move waits for the requests that the old threads have taken.
TEST_F(IoThreadCommands, a_removal_does_not_wait_for_a_move_that_waits) {
  must("blockdev-add", {{"driver", "faults"},
                        {"node-name", "slow"},
                        {"rules", {{{"event", "read_aio"}, {"suspend", "held"}}}},
                        {"file", {{"driver", "null-co"}, {"size", kSize}}}});
  add_export({{"node-name", "slow"}, {"iothread", "io0"}});
  FaultsController* faults = nullptr;
  on_control([&] {
    assert_control_thread();
    faults = faults_controller(*daemon_->graph.find("slow"));
  });
  std::thread reader([&] {
    const UniqueFd file(open(disk().c_str(), O_RDONLY | O_DIRECT));
    AlignedBuffer buffer(4096, 4096);
    // The answer comes, or the mount has gone.
    (void)pread(file.get(), buffer.data(), 4096, 0);
  });
  on_control([&] {
    assert_in_coroutine();
    faults->co_wait_suspended("held");
  });
  CoEvent moved, removed;
  absl::Status move, removal;
  start("x-penstock-export-set-iothreads", set({"io1"}), moved, move);
  const auto refused = run("block-export-del", {{"id", "e"}});
  EXPECT_EQ(status_errno(refused.status()), EBUSY) << refused.status();
  EXPECT_NE(status_text(refused.status()).find("is in use by"), std::string::npos);
  EXPECT_FALSE(moved.is_set());

  start("block-export-del", {{"id", "e"}, {"mode", "hard"}}, removed, removal);
  while (is_mounted("mnt")) std::this_thread::yield();
  EXPECT_FALSE(removed.is_set());
  on_control([&] { EXPECT_EQ(faults->resume("held"), 1u); });
  await(removed);
  await(moved);
  EXPECT_TRUE(removal.ok()) << removal;
  reader.join();
  for (const char* id : {"io0", "io1"}) EXPECT_EQ(users_of(id), Ids{});
  EXPECT_EQ(must("query-block-exports"), Json::array());
}

TEST_F(IoThreadCommands, an_iothread_goes_when_an_export_that_is_ending_has_let_go_of_it) {
  CoEvent may_stop, ended, removed;
  absl::Status end, removal;
  add_scripted("z", "io0", [](const Ids&) { return errno_status(EIO, "it does not move"); });
  on_control([&] {
    assert_control_thread();
    const DaemonExport* const ending = daemon_->exports.list().front().of;
    const_cast<ScriptedExport*>(static_cast<const ScriptedExport*>(ending))->may_stop = &may_stop;
  });
  start("block-export-del", {{"id", "z"}}, ended, end);
  start("x-penstock-iothread-del", {{"id", "io0"}}, removed, removal);
  must("query-iothreads");
  EXPECT_FALSE(removed.is_set());
  on_control([&] { may_stop.set(); });
  await(ended);
  await(removed);
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_TRUE(removal.ok()) << removal;
  EXPECT_FALSE(has_thread("io0"));
}

}  // namespace
}  // namespace penstock
