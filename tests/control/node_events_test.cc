// SPDX-License-Identifier: Apache-2.0
// BLOCK_IO_ERROR and X_PENSTOCK_BLOCK_RESIZED, by exports that are in use.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/status.h"
#include "iothreads/thread_mutex.h"
#include "tests/control/export_fixture.h"

namespace penstock {
namespace {

using Json = nlohmann::json;
using std::chrono::milliseconds;

class NodeEventsTest : public ExportFixture {
 protected:
  void SetUp() override {
    ExportFixture::SetUp();
    if (IsSkipped()) return;
    std::filesystem::create_directory(path("mnt2"));
    on_control([&] {
      assert_control_thread();
      daemon_->events.subscribe([this](const Json& event) {
        const std::string name = event["event"];
        if (name == "BLOCK_EXPORT_DELETED") return;
        const ThreadLock lock(mutex_);
        events_.push_back(event);
        events_.back().erase("timestamp");
      });
    });
  }

  // A node "n" on the image below a filter that fails.
  void add_faulty(const Json& rules) {
    must("blockdev-add",
         {{"driver", "faults"},
          {"node-name", "n"},
          {"rules", rules},
          {"file", {{"driver", "file"}, {"node-name", "f"}, {"filename", path("disk.img")}}}});
  }
  static Json rule(const char* event, const char* error) {
    return {{"event", event}, {"always", true}, {"errno", error}};
  }

  std::vector<Json> events() {
    const ThreadLock lock(mutex_);
    return events_;
  }
  std::vector<Json> wait_events(size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (events().size() < count && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(2));  // polls what the control thread does
    }
    EXPECT_GE(events().size(), count);
    return events();
  }
  static Json resized(const std::string& node, uint64_t size) {
    return {{"event", "X_PENSTOCK_BLOCK_RESIZED"}, {"data", {{"node-name", node}, {"size", size}}}};
  }
  int read_error(const std::string& file) {
    const UniqueFd fd(open(file.c_str(), O_RDONLY | O_DIRECT));
    AlignedBuffer buffer(4096, 4096);
    return pread(fd.get(), buffer.data(), 4096, 0) < 0 ? errno : 0;
  }
  int write_error(uint64_t offset = 0) {
    const UniqueFd fd(open(disk().c_str(), O_WRONLY));
    return pwrite(fd.get(), "x", 1, static_cast<off_t>(offset)) < 0 ? errno : 0;
  }
  void expect_size(const std::string& file, uint64_t size) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::filesystem::file_size(file) != size &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(2));
    }
    EXPECT_EQ(std::filesystem::file_size(file), size);
  }

  ThreadMutex mutex_{"test"};
  std::vector<Json> events_ GUARDED_BY(mutex_);
};

TEST_F(NodeEventsTest, a_failed_request_is_told_with_what_it_was) {
  add_faulty({rule("read_aio", "EIO"), rule("write_aio", "ENOSPC")});
  add_export({{"writable", true}});
  EXPECT_EQ(read_error(disk()), EIO);
  Json data = wait_events(1)[0]["data"];
  EXPECT_EQ(events()[0]["event"], "BLOCK_IO_ERROR");
  EXPECT_NE(data["reason"].get<std::string>().find("Input/output error"), std::string::npos);
  data.erase("reason");
  const Json expected = {{"node-name", "n"},    {"qom-path", ""},     {"device", ""},
                         {"operation", "read"}, {"action", "report"}, {"nospace", false}};
  EXPECT_EQ(data, expected);
  EXPECT_EQ(write_error(), ENOSPC);
  data = wait_events(2)[1]["data"];
  EXPECT_EQ(data["operation"], "write");
  EXPECT_EQ(data["nospace"], true);
}

TEST_F(NodeEventsTest, what_a_driver_cannot_do_is_no_failure) {
  add_faulty({rule("discard", "EOPNOTSUPP"), rule("write_zeroes", "EOPNOTSUPP")});
  add_export({{"writable", true}});
  const UniqueFd fd(open(disk().c_str(), O_RDWR));
  (void)fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
  EXPECT_EQ(write_error(), 0);
  on_control([] {});
  EXPECT_TRUE(events().empty());
}

TEST_F(NodeEventsTest, of_many_failures_four_are_told_at_once_and_the_others_counted) {
  add_faulty(Json::array({rule("read_aio", "EIO")}));
  add_export();
  const auto begin = std::chrono::steady_clock::now();
  uint64_t failed = 0;
  while (std::chrono::steady_clock::now() < begin + milliseconds(400)) {
    ASSERT_EQ(read_error(disk()), EIO);
    ++failed;
  }
  ASSERT_GT(failed, 8u);
  const std::vector<Json> seen = wait_events(5);
  uint64_t told = 0;
  for (const Json& event : seen) told += 1 + event["data"].value("x-penstock-left-out", 0u);
  const auto taken = std::chrono::steady_clock::now() - begin;
  // Everything in one second, unless the machine was slow.
  if (taken < milliseconds(1900)) {
    EXPECT_EQ(seen.size(), 5u);
    EXPECT_EQ(told, failed);
    EXPECT_EQ(seen[4]["data"]["x-penstock-left-out"], failed - 5);
  }
}

TEST_F(NodeEventsTest, the_rest_is_told_at_the_end) {
  add_faulty(Json::array({rule("read_aio", "EIO")}));
  add_export();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(read_error(disk()), EIO);
  ASSERT_TRUE(shut_down().ok());
  uint64_t told = 0;
  for (const Json& event : events()) told += 1 + event["data"].value("x-penstock-left-out", 0u);
  EXPECT_EQ(told, 20u);
}

TEST_F(NodeEventsTest, a_resize_is_told_once_and_every_export_of_the_node_has_the_new_size) {
  add_node(true);
  add_export({{"writable", true}});
  add_export({{"id", "e2"}, {"mountpoint", path("mnt2")}});
  EXPECT_EQ(std::filesystem::file_size(path("mnt2/disk")), kSize);
  must("block_resize", {{"node-name", "n"}, {"size", 2 * kSize}});
  EXPECT_EQ(events(), std::vector<Json>{resized("n", 2 * kSize)});
  expect_size(disk(), 2 * kSize);
  expect_size(path("mnt2/disk"), 2 * kSize);
  must("block_resize", {{"node-name", "n"}, {"size", 2 * kSize}});
  EXPECT_EQ(events().size(), 1u) << "nothing changed";
  must("block_resize", {{"node-name", "n"}, {"size", kSize}});
  expect_size(path("mnt2/disk"), kSize);
  EXPECT_EQ(events().back(), resized("n", kSize));
}

TEST_F(NodeEventsTest, growth_by_a_write_or_truncate_reaches_the_other_exports_of_the_node) {
  add_node(true);
  add_export({{"writable", true}, {"growable", true}});
  add_export({{"id", "e2"}, {"mountpoint", path("mnt2")}});
  // The kernel keeps this size until it is told.
  EXPECT_EQ(std::filesystem::file_size(path("mnt2/disk")), kSize);
  EXPECT_EQ(write_error(3 * kSize - 1), 0);
  expect_size(path("mnt2/disk"), 3 * kSize);
  EXPECT_EQ(wait_events(1).back(), resized("n", 3 * kSize));
  EXPECT_EQ(truncate(disk().c_str(), 2 * kSize), 0);
  expect_size(path("mnt2/disk"), 2 * kSize);
  EXPECT_EQ(wait_events(2).back(), resized("n", 2 * kSize));
}

TEST_F(NodeEventsTest, growth_by_many_writes_ends_with_the_last_size) {
  add_node(true);
  add_export({{"writable", true}, {"growable", true}});
  add_export({{"id", "e2"}, {"mountpoint", path("mnt2")}});
  EXPECT_EQ(std::filesystem::file_size(path("mnt2/disk")), kSize);
  for (uint64_t i = 0; i < 300; ++i) ASSERT_EQ(write_error(kSize + i), 0);
  expect_size(path("mnt2/disk"), kSize + 300);
  while (events().empty() || events().back() != resized("n", kSize + 300)) {
    ASSERT_LT(events().size(), 100u);
    std::this_thread::sleep_for(milliseconds(2));  // polls what the control thread does
  }
}

}  // namespace
}  // namespace penstock
