// SPDX-License-Identifier: Apache-2.0
// Entries of docs/catalogue.md that need a real mount; each test begins with its entry.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/status.h"
#include "block/graph/drain.h"
#include "control/qmp/command_table.h"
#include "iothreads/iothread.h"
#include "tests/control/export_fixture.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

class CatalogueExports : public ExportFixture {
 protected:
  void resize(uint64_t size) { must("block_resize", {{"node-name", "n"}, {"size", size}}); }
  // An export of a throttle above the node; the group lets through so many requests a second.
  void add_throttled_export(int iops) {
    add_node(true);
    must("object-add",
         {{"qom-type", "throttle-group"}, {"id", "g"}, {"limits", {{"iops-total", iops}}}});
    must("blockdev-add",
         {{"driver", "throttle"}, {"node-name", "t"}, {"throttle-group", "g"}, {"file", "n"}});
    add_export({{"node-name", "t"}, {"writable", true}});
  }
  uint64_t waiting() { return must("x-penstock-query-throttle")[0]["waiting"]; }
};

// What is beyond the end after a shrink is not there: no bytes to read, no room to write.
TEST_F(CatalogueExports, B24_RequestsBeyondTheEndAfterAShrinkGetTheRightAnswer) {
  constexpr off_t kSmall = 64 * 1024;
  add_node(true);
  add_export({{"writable", true}});
  const UniqueFd file(open(disk().c_str(), O_RDWR | O_DIRECT));
  ASSERT_TRUE(file.valid());
  AlignedBuffer buffer(8192, 4096);
  char* const bytes = reinterpret_cast<char*>(buffer.data());
  EXPECT_EQ(pread(file.get(), bytes, 4096, kSmall + 8192), 4096);
  resize(kSmall);
  EXPECT_EQ(pread(file.get(), bytes, 4096, kSmall + 8192), 0);
  EXPECT_EQ(pread(file.get(), bytes, 4096, kSmall), 0);
  EXPECT_EQ(pread(file.get(), bytes, 8192, kSmall - 4096), 4096);
  EXPECT_EQ(bytes[0], 'a');
  EXPECT_EQ(pwrite(file.get(), bytes, 4096, kSmall), -1);
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_EQ(pwrite(file.get(), bytes, 8192, kSmall - 4096), 4096);
  EXPECT_EQ(lseek(file.get(), 0, SEEK_END), kSmall);
  // What comes back is zeroes, not what was there once.
  resize(kSize);
  EXPECT_EQ(pread(file.get(), bytes, 4096, kSmall + 8192), 4096);
  EXPECT_EQ(std::string(bytes, 4096), std::string(4096, '\0'));
}

// A reader meets shrinking and growing at any moment: it gets a prefix of what it asked for.
TEST_F(CatalogueExports, B24_AReaderBesideResizesNeverGetsAnError) {
  add_node(true);
  add_export({{"writable", true}});
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::thread reader([&] {
    const UniqueFd file(open(disk().c_str(), O_RDONLY | O_DIRECT));
    AlignedBuffer buffer(16384, 4096);
    for (off_t at = 0; !stop; at = (at + 16384) % static_cast<off_t>(kSize)) {
      const ssize_t got = pread(file.get(), buffer.data(), 16384, at);
      if (got < 0 || got > 16384) ++failures;
    }
  });
  for (int round = 0; round < 100; ++round) {
    resize(round % 2 == 0 ? kSize / 4 : kSize);
  }
  stop = true;
  reader.join();
  EXPECT_EQ(failures, 0);
}

// Requests that wait in a filter while the node below it shrinks or grows came before it, and are
// done before it; those that come afterwards meet the new end.
TEST_F(CatalogueExports, B24_RequestsWaitingInAThrottleAreDoneBeforeTheNodeBelowIsResized) {
  constexpr int kUsers = 8;
  add_throttled_export(1);
  for (const uint64_t size : {kSize / 2, kSize}) {
    const uint64_t other = kSize / 2 + kSize - size;
    std::vector<std::thread> users;
    std::atomic<int> served{0};
    for (int user = 0; user < kUsers; ++user) {
      users.emplace_back([&, user] {
        const UniqueFd file(open(disk().c_str(), O_RDWR | O_DIRECT));
        AlignedBuffer buffer(4096, 4096);
        // The last blocks there are.
        const off_t at = static_cast<off_t>(other) - (user + 1) * 4096;
        const ssize_t done = user % 2 == 0 ? pread(file.get(), buffer.data(), 4096, at)
                                           : pwrite(file.get(), buffer.data(), 4096, at);
        EXPECT_EQ(done, 4096) << strerror(errno);
        ++served;
      });
    }
    // One may pass, for the first time.
    while (waiting() + static_cast<uint64_t>(served) < kUsers) {
    }
    resize(size);
    for (std::thread& user : users) user.join();
    EXPECT_EQ(served, kUsers);
  }
  must("x-penstock-set-throttle", {{"group", "g"}, {"limits", {{"iops-total", 0}}}});
  const UniqueFd file(open(disk().c_str(), O_RDWR | O_DIRECT));
  AlignedBuffer buffer(4096, 4096);
  EXPECT_EQ(pread(file.get(), buffer.data(), 4096, kSize - 4096), 4096);
  resize(kSize / 2);
  EXPECT_EQ(pread(file.get(), buffer.data(), 4096, kSize - 4096), 0);
  EXPECT_EQ(pwrite(file.get(), buffer.data(), 4096, kSize - 4096), -1);
  EXPECT_EQ(errno, ENOSPC);
}

// Users above a filter meet shrinking and growing of the node below at any moment.
TEST_F(CatalogueExports, B24_UsersAboveAFilterBesideResizesGetOnlyRightAnswers) {
  add_throttled_export(20'000);
  std::atomic<bool> stop{false};
  std::vector<std::string> failures[2];
  std::vector<std::thread> users;
  for (const bool writes : {false, true}) {
    users.emplace_back([&, writes] {
      const UniqueFd file(open(disk().c_str(), O_RDWR | O_DIRECT));
      AlignedBuffer buffer(16384, 4096);
      for (off_t at = 0; !stop; at = (at + 16384) % static_cast<off_t>(kSize)) {
        const ssize_t done = writes ? pwrite(file.get(), buffer.data(), 16384, at)
                                    : pread(file.get(), buffer.data(), 16384, at);
        if (done >= 0 && done <= 16384 && (!writes || done > 0)) continue;
        if (writes && done < 0 && errno == ENOSPC) continue;
        failures[writes].push_back(std::string(strerror(errno)) + " at " + std::to_string(at));
      }
    });
  }
  for (int round = 0; round < 100; ++round) resize(round % 2 == 0 ? kSize / 4 : kSize);
  stop = true;
  for (std::thread& user : users) user.join();
  for (const auto& texts : failures) EXPECT_EQ(texts, std::vector<std::string>{});
}

// A removal that meets a drained node waits for the end of the drain, and a drain that meets an
// ending export for its last request.
TEST_F(CatalogueExports, B39_AnExportIsRemovedWhileItsNodeIsDrainedFromAnIoThread) {
  add_node(true);
  const std::unique_ptr<IoThread> io = *IoThread::start("io");
  Graph& graph = daemon_->graph;
  for (int round = 0; round < 20; ++round) {
    add_export({{"writable", true}});
    {
      const UniqueFd file(open(disk().c_str(), O_RDWR));
      ASSERT_EQ(pwrite(file.get(), "written", 7, 0), 7);
    }
    absl::Status answer;
    CoEvent removed;
    run_sync(io->context(), [&] {
      assert_in_coroutine();
      DrainedSection section(graph);
      EXPECT_TRUE(section.co_begin({"n"}).ok());
      control_->context().spawn("client", [&] {
        assert_in_coroutine();
        assert_control_thread();
        answer = co_run_qmp_command(*daemon_, "block-export-del", {{"id", "e"}}).status();
        removed.set();
      });
      // Sections that begin and end at any moment of the removal.
      for (int drains = 0; drains < round; ++drains) {
        DrainedSection inner(graph);
        EXPECT_TRUE(inner.co_begin({"n"}).ok());
        inner.co_end();
      }
      section.co_end();
      while (!removed.is_set()) {
        DrainedSection beside(graph);
        EXPECT_TRUE(beside.co_begin({"n"}).ok());
        beside.co_end();
      }
    });
    EXPECT_TRUE(answer.ok()) << answer;
    EXPECT_FALSE(is_mounted("mnt"));
    EXPECT_EQ(facts("n")["x-penstock-users"], Json::array());
  }
  EXPECT_EQ(first_bytes(path("disk.img"), 8), "writtena");
}

}  // namespace
}  // namespace penstock
