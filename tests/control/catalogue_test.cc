// SPDX-License-Identifier: Apache-2.0
// Entries of docs/catalogue.md that are about whole commands; each test begins with its entry.
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <functional>
#include <random>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/graph/drain.h"
#include "block/io/child_io.h"
#include "control/qmp/command_table.h"
#include "drivers/faults/faults_controller.h"
#include "iothreads/co_event.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"
#include "tests/control/command_fixture.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kMebibyte = 1 << 20;
constexpr uint64_t kBlock = 4096;
constexpr Permissions kUser{kConsistentRead | kWrite, kAllPermissions};

Json suspended_at(const std::string& event) {
  return Json::array({{{"event", event}, {"suspend", "held"}}});
}

class Catalogue : public CommandFixture {
 protected:
  Catalogue() {
    for (const char* name : {"io0", "io1", "io2", "io3"}) {
      io_threads_.push_back(*IoThread::start(name));
    }
  }

  AioContext& io(size_t index) { return io_threads_[index % io_threads_.size()]->context(); }
  void add_null(const std::string& name) {
    must("blockdev-add", {{"driver", "null-co"}, {"node-name", name}, {"size", kMebibyte}});
  }
  // A disk whose first request of this kind is held.
  void add_held(const std::string& name, const std::string& event) {
    must("blockdev-add", {{"driver", "faults"},
                          {"node-name", name},
                          {"rules", suspended_at(event)},
                          {"file", {{"driver", "null-co"}, {"size", kMebibyte}}}});
  }
  FaultsController& faults(const std::string& name) {
    return on_control([&]() -> std::reference_wrapper<FaultsController> {
      assert_control_thread();
      return *faults_controller(*daemon_->graph.find(name));
    });
  }
  void await_held(const std::string& name) {
    FaultsController& controller = faults(name);
    run_sync(io(3), [&] {
      assert_in_coroutine();
      controller.co_wait_suspended("held");
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
    run_sync(io(3), [&] {
      assert_in_coroutine();
      event.co_wait();
    });
  }

  std::vector<std::unique_ptr<IoThread>> io_threads_;
};

TEST_F(Catalogue, B7_CommandsOnOtherDisksDoNotWaitForASuspendedRequest) {
  must("object-add", {{"qom-type", "iothread"}, {"id", "home"}});
  add_null("a");
  add_null("b");
  add_null("other");
  must("blockdev-add", {{"driver", "raw"}, {"node-name", "format"}, {"file", "b"}});
  add_held("c", "read_aio");
  Backend& a = attach("user of a", "a", kUser);
  Backend& b = attach("user of b", "format", kUser);
  Backend& c = attach("user of c", "c", kUser);
  CoEvent answered;
  io(0).spawn("held", [&] {
    assert_in_coroutine();
    std::vector<std::byte> data(kBlock);
    EXPECT_TRUE(co_read(c, 0, data).ok());
    answered.set();
  });
  await_held("c");

  std::atomic<bool> stop{false};
  std::atomic<uint64_t> requests{0}, failures{0};
  CoEvent ended;
  io(1).spawn("load", [&] {
    assert_in_coroutine();
    std::vector<std::byte> data(kBlock);
    while (!stop) {
      for (Backend* backend : {&a, &b}) {
        if (!co_read(*backend, 0, data).ok()) ++failures;
        ++requests;
      }
      co_pause();
    }
    ended.set();
  });
  const std::vector<std::pair<std::string, Json>> commands{
      {"blockdev-add", {{"driver", "null-co"}, {"node-name", "new"}}},
      {"blockdev-del", {{"node-name", "new"}}},
      {"x-penstock-insert-filter",
       {{"node-name", "b"}, {"filter", {{"driver", "faults"}, {"node-name", "filter"}}}}},
      {"x-blockdev-set-iothread", {{"node-name", "format"}, {"iothread", "home"}}},
      {"x-penstock-remove-filter", {{"node-name", "filter"}}},
      {"x-penstock-replace-child", {{"parent", "format"}, {"child", "file"}, {"node", "other"}}},
      {"x-penstock-replace-child", {{"parent", "format"}, {"child", "file"}, {"node", "b"}}},
      {"query-named-block-nodes", Json::object()},
      {"query-blockstats", Json::object()},
  };
  std::chrono::duration<double, std::milli> longest{0};
  for (int round = 0; round < 10; ++round) {
    for (const auto& [command, arguments] : commands) {
      const auto begin = Clock::now();
      must(command, arguments);
      longest = std::max<decltype(longest)>(longest, Clock::now() - begin);
    }
  }
  EXPECT_FALSE(answered.is_set());
  EXPECT_GT(requests, 0u);
  EXPECT_EQ(failures, 0u);
  // Far below each time after which a wait is given up.
  EXPECT_LT(longest, std::chrono::seconds(5));
  std::printf("longest command beside the held request: %.2f ms\n", longest.count());
  RecordProperty("longest_us", static_cast<int>(longest.count() * 1000));
  stop = true;
  await(ended);
  EXPECT_EQ(faults("c").resume("held"), 1u);
  await(answered);
  for (Backend* backend : {&a, &b, &c}) detach(*backend);
}

TEST_F(Catalogue, T1_13_AnOpenThatWaitsForItsStorageHoldsUpNoOtherCommand) {
  add_null("a");
  add_held("slow", "read_aio");
  CoEvent done;
  absl::Status answer;
  const std::string before = picture();
  const Json image{
      {"driver", "qcow2"}, {"node-name", "image"}, {"file", "slow"}, {"read-only", true}};
  start("blockdev-add", image, done, answer);
  await_held("slow");
  for (int round = 0; round < 10; ++round) {
    add_null("b");
    must("query-blockstats");
    must("blockdev-del", {{"node-name", "b"}});
    must("query-named-block-nodes");
  }
  // The name is taken, and the storage in use.
  EXPECT_EQ(status_errno(run("blockdev-add", image).status()), EEXIST);
  EXPECT_EQ(status_errno(run("blockdev-del", {{"node-name", "slow"}}).status()), EBUSY);
  EXPECT_FALSE(done.is_set());
  faults("slow").resume("held");
  await(done);
  EXPECT_EQ(status_errno(answer), EINVAL) << answer;  // zeroes are no image
  EXPECT_EQ(picture(), before);
  must("blockdev-del", {{"node-name", "slow"}});
}

TEST_F(Catalogue, T1_13_AnOpenThatWaitsForItsStorageCanBeCancelled) {
  add_held("slow", "read_aio");
  const std::string before = picture();
  const Json image{
      {"driver", "qcow2"}, {"node-name", "image"}, {"file", "slow"}, {"read-only", true}};
  const Json name{{"node-name", "image"}};
  EXPECT_TRUE(refuses("x-penstock-blockdev-cancel", name, ENOENT, {"'image'"}));
  CoEvent done;
  absl::Status answer;
  start("blockdev-add", image, done, answer);
  await_held("slow");
  must("x-penstock-blockdev-cancel", name);
  await(done);
  EXPECT_EQ(status_errno(answer), ECANCELED) << answer;
  EXPECT_TRUE(refuses("x-penstock-blockdev-cancel", name, ENOENT, {"'image'"}));
  // The storage is in use until it answers; then nothing of the image is left.
  EXPECT_EQ(status_errno(run("blockdev-add", image).status()), EEXIST);
  EXPECT_EQ(faults("slow").resume("held"), 1u);
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_TRUE(daemon_->openings.co_wait_none(Nanoseconds::max()));
  });
  EXPECT_EQ(picture(), before);
  must("blockdev-del", {{"node-name", "slow"}});
}

TEST_F(Catalogue, T1_13_ACancelledOpenThatSucceedsLeavesNoNode) {
  add_null("disk");
  const std::string before = picture();
  CoEvent done;
  absl::Status answer;
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    // What is opened above a drained node waits for the end of the drain.
    DrainedSection section(daemon_->graph);
    ASSERT_TRUE(section.co_begin({"disk"}).ok());
    start("blockdev-add", {{"driver", "raw"}, {"node-name", "image"}, {"file", "disk"}}, done,
          answer);
    while (!daemon_->openings.cancel("image").ok()) co_pause();
    done.co_wait();
    section.co_end();
    EXPECT_TRUE(daemon_->openings.co_wait_none(Nanoseconds::max()));
  });
  EXPECT_EQ(status_errno(answer), ECANCELED) << answer;
  EXPECT_EQ(picture(), before);
}

TEST_F(Catalogue, B41_AThrottledNodeIsMovedWithRequestsWaitingInIt) {
  constexpr int kRequests = 8;
  must("object-add", {{"qom-type", "iothread"}, {"id", "home"}});
  must("object-add",
       {{"qom-type", "throttle-group"}, {"id", "group"}, {"limits", {{"iops-total", 1}}}});
  must("blockdev-add", {{"driver", "throttle"},
                        {"node-name", "disk"},
                        {"throttle-group", "group"},
                        {"file", {{"driver", "null-co"}, {"size", kMebibyte}}}});
  Backend& user = attach("user", "disk", kUser);
  for (const Json& home : {Json("home"), Json(nullptr)}) {
    std::atomic<int> running{kRequests};
    CoEvent done;
    for (int request = 0; request < kRequests; ++request) {
      io(static_cast<size_t>(request)).spawn("read", [&] {
        assert_in_coroutine();
        std::vector<std::byte> data(kBlock);
        EXPECT_TRUE(co_read(user, 0, data).ok());
        if (--running == 0) done.set();
      });
    }
    while (must("x-penstock-query-throttle")[0]["waiting"] < kRequests - 1) {
    }
    must("x-blockdev-set-iothread", {{"node-name", "disk"}, {"iothread", home}});
    EXPECT_EQ(facts("disk")["x-penstock-iothread"], home);
    await(done);
  }
  detach(user);
  must("blockdev-del", {{"node-name", "disk"}});
  must("object-del", {{"id", "group"}});
}

TEST_F(Catalogue, B42_ANodeStaysUntilTheFlushInItHasEnded) {
  add_held("disk", "flush_to_disk");
  Backend& user = attach("user", "disk", kUser);
  CoEvent flushed, detached;
  io(0).spawn("flush", [&] {
    assert_in_coroutine();
    const std::vector<std::byte> data(kBlock);
    EXPECT_TRUE(co_write(user, 0, data).ok());
    BackendRequest request(user, "flush", 0, 0);
    EXPECT_TRUE(co_flush(request.root()).ok());
    flushed.set();
  });
  await_held("disk");
  EXPECT_EQ(status_errno(run("blockdev-del", {{"node-name", "disk"}}).status()), EBUSY);
  control_->context().spawn("detach", [&] {
    assert_control_thread();
    assert_in_coroutine();
    EXPECT_TRUE(daemon_->graph.co_detach_backend(user).ok());
    detached.set();
  });
  // It waits for the flush; meanwhile the node is still in use.
  for (int round = 0; round < 100; ++round) must("query-named-block-nodes");
  EXPECT_FALSE(detached.is_set());
  EXPECT_EQ(status_errno(run("blockdev-del", {{"node-name", "disk"}}).status()), EBUSY);
  EXPECT_EQ(faults("disk").resume("held"), 1u);
  await(flushed);
  await(detached);
  on_control([&] { backends_.clear(); });
  must("blockdev-del", {{"node-name", "disk"}});
}

TEST_F(Catalogue, B43_OfManyDeletionsOfOneNodeOneSucceeds) {
  constexpr int kClients = 8;
  for (int round = 0; round < 50; ++round) {
    must("blockdev-add", {{"driver", "raw"},
                          {"node-name", "disk"},
                          {"file", {{"driver", "null-co"}, {"node-name", "storage"}}}});
    std::vector<absl::Status> answers(kClients);
    std::vector<std::unique_ptr<CoEvent>> done;
    for (absl::Status& answer : answers) {
      done.push_back(std::make_unique<CoEvent>());
      start("blockdev-del", {{"node-name", "disk"}}, *done.back(), answer);
    }
    for (auto& event : done) await(*event);
    int deleted = 0;
    for (const absl::Status& answer : answers) {
      if (answer.ok()) ++deleted;
      const int error = status_errno(answer);
      EXPECT_TRUE(answer.ok() || error == ENOENT || error == EBUSY) << answer;
    }
    EXPECT_EQ(deleted, 1);
    EXPECT_TRUE(node_names().empty()) << picture();
  }
}

// Each name is added as often as it is deleted, or once more; then it is there.
TEST_F(Catalogue, T1_4_CommandsOfAHundredClientsHaveAnOrder) {
  constexpr int kClients = 100;
  constexpr size_t kNames = 6;
  std::array<int, kNames> added{}, deleted{}, inserted{}, removed{};
  std::atomic<int> running{kClients};
  CoEvent done;
  for (unsigned client = 0; client < kClients; ++client) {
    control_->context().spawn("client", [&, client] {
      assert_control_thread();
      assert_in_coroutine();
      std::mt19937 random(client);
      for (int i = 0; i < 20; ++i) {
        const size_t index = random() % kNames;
        const std::string name = "node" + std::to_string(index);
        const Json filter{{"driver", "faults"}, {"node-name", "filter" + std::to_string(index)}};
        const auto did = [&](const std::string& command, const Json& arguments) {
          assert_control_thread();
          assert_in_coroutine();
          return co_run_qmp_command(*daemon_, command, arguments).ok() ? 1 : 0;
        };
        switch (random() % 4) {
          case 0:
            added[index] += did("blockdev-add", {{"driver", "null-co"}, {"node-name", name}});
            break;
          case 1:
            deleted[index] += did("blockdev-del", {{"node-name", name}});
            break;
          case 2:
            inserted[index] +=
                did("x-penstock-insert-filter", {{"node-name", name}, {"filter", filter}});
            break;
          default:
            removed[index] += did("x-penstock-remove-filter", {{"node-name", filter["node-name"]}});
        }
        co_pause();
      }
      if (--running == 0) done.set();
    });
  }
  await(done);
  const std::vector<std::string> names = node_names();
  const auto there = [&](const std::string& name) {
    return static_cast<int>(std::count(names.begin(), names.end(), name));
  };
  int all = 0;
  for (size_t i = 0; i < kNames; ++i) {
    EXPECT_EQ(added[i] - deleted[i], there("node" + std::to_string(i)));
    EXPECT_EQ(inserted[i] - removed[i], there("filter" + std::to_string(i)));
    all += added[i] + inserted[i];
  }
  EXPECT_GT(all, 20);
}

TEST_F(Catalogue, T1_10_ARequestEndsOnTheThreadWhereItBegan) {
  const TestFile memory{"/dev/shm", kMebibyte}, storage{"/var/tmp", kMebibyte};
  must("object-add", {{"qom-type", "throttle-group"},
                      {"id", "group"},
                      {"limits", {{"iops-total", 100'000}, {"iops-total-max", 200'000}}}});
  const auto file = [](const TestFile& of, bool direct) -> Json {
    return {{"driver", "file"}, {"filename", of.path()}, {"cache", {{"direct", direct}}}};
  };
  std::vector<Json> disks{
      {{"driver", "null-co"}, {"size", kMebibyte}, {"latency-ns", 20'000}},
      file(memory, false),
      file(storage, true),
      {{"driver", "raw"}, {"file", {{"driver", "null-co"}, {"size", kMebibyte}}}},
      {{"driver", "faults"},
       {"rules", {"read_aio:always:delay-ns=20000"}},
       {"file", {{"driver", "null-co"}, {"size", kMebibyte}}}},
      {{"driver", "throttle"},
       {"throttle-group", "group"},
       {"file", {{"driver", "null-co"}, {"size", kMebibyte}}}},
  };
  for (Json& disk : disks) {
    SCOPED_TRACE(disk.dump());
    disk["node-name"] = "disk";
    must("blockdev-add", disk);
    Backend& user = attach("user", "disk", kUser);
    std::atomic<uint64_t> elsewhere{0}, failures{0};
    std::atomic<int> running{static_cast<int>(2 * io_threads_.size())};
    CoEvent done;
    for (size_t worker = 0; worker < 2 * io_threads_.size(); ++worker) {
      AioContext& home = io(worker);
      home.spawn("worker", [&, worker] {
        assert_in_coroutine();
        std::vector<std::byte> data(4 * kBlock);
        for (unsigned i = 0; i < 100; ++i) {
          const auto aligned = std::span(data).subspan(
              kBlock - reinterpret_cast<uintptr_t>(data.data()) % kBlock, kBlock);
          const uint64_t offset = (worker * 100 + i) % 200 * kBlock;
          const bool reads = i % 4 != 0;
          const absl::Status status =
              reads ? co_read(user, offset, aligned) : co_write(user, offset, aligned);
          if (!status.ok()) ++failures;
          if (AioContext::current() != &home) ++elsewhere;
        }
        if (--running == 0) done.set();
      });
    }
    await(done);
    EXPECT_EQ(failures, 0u);
    EXPECT_EQ(elsewhere, 0u);
    detach(user);
    must("blockdev-del", {{"node-name", "disk"}});
  }
  must("object-del", {{"id", "group"}});
}

// Filters inserted and taken out again under load leave the bytes alone, however many there are.
TEST_F(Catalogue, B25_TwoHundredFiltersComeAndGoUnderLoad) {
  constexpr int kFilters = 200;
  constexpr int kAtOnce = 16;
  const TestFile image{"/dev/shm", kMebibyte};
  must("blockdev-add", {{"driver", "file"}, {"node-name", "disk"}, {"filename", image.path()}});
  Backend& user = attach("user", "disk", kUser);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> requests{0}, failures{0}, wrong{0};
  constexpr int kWorkers = 4;
  std::atomic<int> running{kWorkers};
  CoEvent ended;
  for (int worker = 0; worker < kWorkers; ++worker) {
    io(static_cast<size_t>(worker % 2)).spawn("load", [&, worker] {
      assert_in_coroutine();
      const uint64_t offset = static_cast<uint64_t>(worker) * kBlock;
      std::vector<std::byte> data(kBlock);
      for (uint64_t round = 1; !stop; ++round) {
        const std::vector<std::byte> written = pattern(kBlock, round * kWorkers + offset);
        if (!co_write(user, offset, written).ok()) ++failures;
        if (!co_read(user, offset, data).ok()) ++failures;
        if (data != written) ++wrong;
        requests += 2;
        co_pause();
      }
      if (--running == 0) ended.set();
    });
  }
  const auto name_of = [](int number) { return "filter" + std::to_string(number); };
  const auto remove = [&](int number) {
    must("x-penstock-remove-filter", {{"node-name", name_of(number)}});
  };
  int inserted = 0, removed = 0;
  for (; inserted < kFilters && !HasFailure(); ++inserted) {
    const Json filter{{"driver", "faults"}, {"node-name", name_of(inserted)}};
    must("x-penstock-insert-filter", {{"node-name", "disk"}, {"filter", filter}});
    if (inserted - removed >= kAtOnce) remove(removed++);
  }
  while (removed < inserted) remove(removed++);
  stop = true;
  await(ended);
  EXPECT_GT(requests, 0u);
  EXPECT_EQ(failures, 0u);
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(node_names(), (std::vector<std::string>{"disk"}));
  detach(user);
}

}  // namespace
}  // namespace penstock
