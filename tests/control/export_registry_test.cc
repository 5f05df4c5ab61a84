// SPDX-License-Identifier: Apache-2.0
// The life of exports in the registry, with exports that do what the test says.
#include "control/export_registry.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "control/event_hub.h"
#include "iothreads/control_thread.h"
#include "iothreads/iothread.h"
#include "iothreads/run_sync.h"

namespace penstock {
namespace {

using Mode = DaemonExport::Mode;

// What the test and its export share.
struct Script {
  bool is_busy = false;     // safe stops are refused
  absl::Status result;      // of the stop that ends it
  CoEvent may_stop;         // stops wait for this
  std::vector<Mode> stops;  // as they were asked for
  bool is_alive = false;
};

class ScriptedExport final : public DaemonExport {
 public:
  explicit ScriptedExport(std::shared_ptr<Script> script) : script_(std::move(script)) {
    script_->is_alive = true;
  }
  ~ScriptedExport() override { script_->is_alive = false; }

  std::string type() const override { return "fuse"; }
  std::string node_name() const override GLOBAL_STATE_CODE { return "node"; }
  std::string mount_point() const override { return "/nowhere"; }
  std::vector<std::string> iothreads() const override GLOBAL_STATE_CODE { return {}; }
  absl::Status co_stop(Mode mode) override CONTROL_COROUTINE_CODE {
    script_->stops.push_back(mode);
    script_->may_stop.co_wait();
    if (mode == Mode::kSafe && script_->is_busy) return errno_message(EBUSY, "files are open");
    return script_->result;
  }

 private:
  const std::shared_ptr<Script> script_;
};

class ExportRegistryTest : public testing::Test {
 protected:
  template <typename F>
  auto on_control(F&& function) {
    return run_sync(control_->context(), std::forward<F>(function));
  }

  ExportRegistryTest() {
    scope_ = std::make_unique<ControlThreadScope>(control_->context());
    script_->may_stop.set();
    on_control([this] {
      assert_control_thread();
      events_.subscribe([this](const nlohmann::json& event) {
        seen_.push_back(event["event"].get<std::string>() + " " +
                        event["data"]["id"].get<std::string>());
        // All is released by now.
        EXPECT_FALSE(script_->is_alive);
      });
    });
  }
  ~ExportRegistryTest() override {
    end_all();
    EXPECT_FALSE(script_->is_alive);
  }

  int add(const std::string& id, absl::Status started = absl::OkStatus(),
          const std::function<void()>& meanwhile = {}) {
    return on_control([&] {
      assert_in_coroutine();
      assert_control_thread();
      return status_errno(
          registry_.co_add(id, [&]() -> absl::StatusOr<std::unique_ptr<DaemonExport>> {
            if (meanwhile) meanwhile();
            if (!started.ok()) return started;
            return std::unique_ptr<DaemonExport>(new ScriptedExport(script_));
          }));
    });
  }
  absl::Status remove(const std::string& id, Mode mode) {
    return on_control([&] {
      assert_in_coroutine();
      assert_control_thread();
      return registry_.co_remove(id, mode);
    });
  }
  bool end_all() {
    return on_control([&] {
      assert_in_coroutine();
      assert_control_thread();
      registry_.end_all(Nanoseconds{0});
      return registry_.co_wait_empty(AioContext::current()->now() + std::chrono::seconds(30));
    });
  }
  std::vector<ExportRegistry::Facts> list() {
    return on_control([&] {
      assert_control_thread();
      return registry_.list();
    });
  }

  std::unique_ptr<IoThread> control_ = *IoThread::start("control");
  std::unique_ptr<ControlThreadScope> scope_;
  EventHub events_;
  ExportRegistry registry_{events_};
  std::vector<std::string> seen_;
  std::shared_ptr<Script> script_ = std::make_shared<Script>();
};

TEST_F(ExportRegistryTest, an_export_is_there_until_removed_and_the_event_comes_last_and_once) {
  EXPECT_EQ(add("e"), 0);
  EXPECT_EQ(list().size(), 1u);
  EXPECT_TRUE(remove("e", Mode::kSafe).ok());
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(seen_, std::vector<std::string>{"BLOCK_EXPORT_DELETED e"});
}

TEST_F(ExportRegistryTest, an_id_is_taken_from_the_moment_it_is_asked_for) {
  EXPECT_EQ(add("e", absl::OkStatus(),
                [&] {
                  assert_in_coroutine();
                  assert_control_thread();
                  ASSERT_EQ(registry_.list().size(), 1u);
                  EXPECT_EQ(registry_.list().front().of, nullptr);
                  const auto never = []() -> absl::StatusOr<std::unique_ptr<DaemonExport>> {
                    ADD_FAILURE() << "started";
                    return absl::UnknownError("");
                  };
                  EXPECT_EQ(status_errno(registry_.co_add("e", never)), EEXIST);
                  EXPECT_EQ(status_errno(registry_.co_remove("e", Mode::kHard)), EBUSY);
                }),
            0);
  EXPECT_EQ(add("e"), EEXIST);
  EXPECT_TRUE(seen_.empty());
}

TEST_F(ExportRegistryTest, a_failed_start_leaves_nothing_and_tells_nobody) {
  EXPECT_EQ(add("e", errno_status(ENOTDIR, "mounting")), ENOTDIR);
  EXPECT_TRUE(list().empty());
  EXPECT_TRUE(seen_.empty());
  EXPECT_EQ(add("e"), 0);
}

TEST_F(ExportRegistryTest, a_busy_export_stays_in_safe_mode_and_goes_in_hard_mode) {
  script_->is_busy = true;
  EXPECT_EQ(add("e"), 0);
  EXPECT_EQ(status_errno(remove("e", Mode::kSafe)), EBUSY);
  ASSERT_EQ(list().size(), 1u);
  EXPECT_FALSE(list().front().shutting_down);
  EXPECT_TRUE(seen_.empty());
  EXPECT_TRUE(remove("e", Mode::kHard).ok());
  EXPECT_TRUE(list().empty());
}

TEST_F(ExportRegistryTest, a_second_removal_waits_for_nothing) {
  script_->may_stop.reset();
  EXPECT_EQ(add("e"), 0);
  CoEvent first_done;
  control_->context().spawn("first removal", [&] {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_TRUE(registry_.co_remove("e", Mode::kHard).ok());
    first_done.set();
  });
  EXPECT_EQ(status_errno(remove("e", Mode::kHard)), EBUSY);
  EXPECT_EQ(status_errno(remove("e", Mode::kSafe)), EBUSY);
  ASSERT_EQ(list().size(), 1u);
  EXPECT_TRUE(list().front().shutting_down);
  script_->may_stop.set();
  on_control([&] {
    assert_in_coroutine();
    first_done.co_wait();
  });
  EXPECT_EQ(script_->stops.size(), 1u);
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(ExportRegistryTest, what_a_failed_flush_lost_is_told_and_the_export_is_gone) {
  script_->result = errno_status(EIO, "flushing");
  EXPECT_EQ(add("e"), 0);
  const absl::Status status = remove("e", Mode::kSafe);
  EXPECT_EQ(status_errno(status), EIO);
  EXPECT_NE(status_text(status).find("removed"), std::string::npos) << status;
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(ExportRegistryTest, an_export_that_somebody_unmounted_goes_by_itself) {
  EXPECT_EQ(add("e"), 0);
  on_control([&] {
    assert_control_thread();
    registry_.ended("e");
  });
  on_control([] {});  // behind the removal in the queue
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(script_->stops, std::vector<Mode>{Mode::kHard});
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(ExportRegistryTest, an_export_that_is_unmounted_while_it_starts_goes_too) {
  EXPECT_EQ(add("e", absl::OkStatus(),
                [&] {
                  assert_control_thread();
                  registry_.ended("e");
                }),
            0);
  on_control([] {});
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(seen_.size(), 1u);
}

TEST_F(ExportRegistryTest, an_unmount_during_a_refused_removal_is_not_lost) {
  script_->is_busy = true;
  script_->may_stop.reset();
  EXPECT_EQ(add("e"), 0);
  absl::Status removed;
  CoEvent done;
  control_->context().spawn("removal", [&] {
    assert_in_coroutine();
    assert_control_thread();
    removed = registry_.co_remove("e", Mode::kSafe);
    done.set();
  });
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    registry_.ended("e");
    script_->may_stop.set();
    done.co_wait();
  });
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(script_->stops, (std::vector<Mode>{Mode::kSafe, Mode::kHard}));
}

TEST_F(ExportRegistryTest, at_the_end_all_go_and_none_comes) {
  script_->is_busy = true;
  EXPECT_EQ(add("e"), 0);
  EXPECT_TRUE(end_all());
  EXPECT_TRUE(list().empty());
  EXPECT_EQ(add("late"), ESHUTDOWN);
}

TEST_F(ExportRegistryTest, an_export_that_starts_during_the_end_is_ended_too) {
  EXPECT_EQ(add("e", absl::OkStatus(),
                [&] {
                  assert_control_thread();
                  registry_.end_all(Nanoseconds{0});
                }),
            ESHUTDOWN);
  EXPECT_TRUE(end_all());
  EXPECT_FALSE(script_->is_alive);
}

}  // namespace
}  // namespace penstock
