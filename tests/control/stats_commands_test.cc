// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cerrno>
#include <vector>

#include "block/backend/backend_request.h"
#include "control/qmp/qmp_command.h"
#include "tests/control/command_fixture.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kBlock = 4096;
constexpr uint64_t kLatency = 2'000'000;  // nanoseconds
constexpr Permissions kUser{kConsistentRead | kWrite, kAllPermissions};

absl::Status co_request(Backend& backend, RequestKind kind, ByteRange range) {
  assert_in_coroutine();
  BackendRequest request(backend, "test", range.offset, range.length);
  if (!request.status().ok()) return request.status();
  std::vector<std::byte> bytes(range.length);
  const iovec memory = iovec_of(std::span<std::byte>(bytes));
  absl::Status status;
  if (kind == RequestKind::kRead) {
    status = co_preadv(request.root(), range.offset, IoVector(memory));
  } else if (kind == RequestKind::kWrite) {
    status = co_pwritev(request.root(), range.offset, IoVector(memory));
  } else if (kind == RequestKind::kUnmap) {
    status = co_discard(request.root(), range);
  } else {
    status = co_flush(request.root());
  }
  request.count(kind, range, status);
  return status;
}

class StatsCommandsTest : public CommandFixture {
 protected:
  Backend& add_disk(const std::string& node, const std::string& user, uint64_t latency = 0) {
    must("blockdev-add",
         {{"driver", "null-co"}, {"node-name", node}, {"size", 1 << 20}, {"latency-ns", latency}});
    return attach(user, node, kUser);
  }
  absl::Status request(Backend& backend, RequestKind kind, ByteRange range = {0, kBlock}) {
    return on_control([&] { return co_request(backend, kind, range); });
  }
  // The entry whose `key` is `value`, of query-blockstats.
  Json entry(const std::string& key, const std::string& value, bool query_nodes = false) {
    for (const Json& one : must("query-blockstats", {{"query-nodes", query_nodes}})) {
      if (one.value(key, "") == value) return one;
    }
    ADD_FAILURE() << "no " << key << " " << value;
    return Json::object();
  }
  Json stats(const std::string& device) { return entry("device", device)["stats"]; }
  void set_histogram(const Json& arguments) { must("block-latency-histogram-set", arguments); }
};

TEST_F(StatsCommandsTest, EachUserOfANodeHasItsNumbersByTheNamesThatQemuGivesThem) {
  Backend& disk = add_disk("node0", "export0");
  EXPECT_TRUE(request(disk, RequestKind::kRead, {0, 512}).ok());
  EXPECT_TRUE(request(disk, RequestKind::kRead, {512, 512}).ok());
  EXPECT_TRUE(request(disk, RequestKind::kWrite, {kBlock, kBlock}).ok());
  EXPECT_TRUE(request(disk, RequestKind::kUnmap, {0, 3 * kBlock}).ok());
  EXPECT_TRUE(request(disk, RequestKind::kFlush, {}).ok());
  EXPECT_FALSE(request(disk, RequestKind::kRead, {1 << 20, kBlock}).ok());
  const Json answer = entry("device", "export0");
  EXPECT_EQ(answer["node-name"], "node0");
  const Json expected = {{"rd_operations", 2},
                         {"rd_bytes", 1024},
                         {"rd_merged", 0},
                         {"rd_total_time_ns", 0},
                         {"failed_rd_operations", 1},
                         {"invalid_rd_operations", 0},
                         {"wr_operations", 1},
                         {"wr_bytes", kBlock},
                         {"wr_merged", 0},
                         {"wr_total_time_ns", 0},
                         {"wr_highest_offset", 2 * kBlock},
                         {"failed_wr_operations", 0},
                         {"invalid_wr_operations", 0},
                         {"unmap_operations", 1},
                         {"unmap_bytes", 3 * kBlock},
                         {"unmap_merged", 0},
                         {"unmap_total_time_ns", 0},
                         {"failed_unmap_operations", 0},
                         {"invalid_unmap_operations", 0},
                         {"flush_operations", 1},
                         {"flush_total_time_ns", 0},
                         {"failed_flush_operations", 0},
                         {"invalid_flush_operations", 0},
                         {"account_failed", true},
                         {"account_invalid", false},
                         {"timed_stats", Json::array()}};
  EXPECT_EQ(answer["stats"], expected);
}

TEST_F(StatsCommandsTest, ANodesNumbersAreThoseOfAllWhoUseItDirectly) {
  Backend& first = add_disk("node0", "export0");
  Backend& second = attach("export1", "node0", kUser);
  EXPECT_TRUE(request(first, RequestKind::kRead).ok());
  EXPECT_TRUE(request(second, RequestKind::kRead).ok());
  EXPECT_TRUE(request(second, RequestKind::kWrite, {kBlock, kBlock}).ok());
  const Json node = entry("node-name", "node0", true);
  EXPECT_FALSE(node.contains("device"));
  EXPECT_EQ(node["stats"]["rd_operations"], 2);
  EXPECT_EQ(node["stats"]["wr_bytes"], kBlock);
  EXPECT_EQ(node["stats"]["wr_highest_offset"], 2 * kBlock);
}

TEST_F(StatsCommandsTest, TimeIsKeptFromTheFirstQuestionOn) {
  Backend& disk = add_disk("node0", "export0", kLatency);
  EXPECT_TRUE(request(disk, RequestKind::kRead).ok());
  EXPECT_EQ(stats("export0")["rd_total_time_ns"], 0);
  EXPECT_TRUE(request(disk, RequestKind::kRead).ok());
  EXPECT_GE(stats("export0")["rd_total_time_ns"].get<uint64_t>(), kLatency);
}

TEST_F(StatsCommandsTest, AHistogramIsSetForAllKindsOrForOneAndTakenAway) {
  Backend& disk = add_disk("node0", "export0", kLatency);
  set_histogram({{"id", "export0"},
                 {"boundaries", {1'000, kLatency}},
                 {"boundaries-write", {60'000'000'000u}}});
  EXPECT_TRUE(request(disk, RequestKind::kRead).ok());
  EXPECT_TRUE(request(disk, RequestKind::kWrite).ok());
  Json now = stats("export0");
  EXPECT_EQ(now["rd_latency_histogram"],
            (Json{{"boundaries", {1'000, kLatency}}, {"bins", {0, 0, 1}}}));
  EXPECT_EQ(now["wr_latency_histogram"],
            (Json{{"boundaries", {60'000'000'000u}}, {"bins", {1, 0}}}));
  EXPECT_EQ(now["flush_latency_histogram"]["bins"], (Json{0, 0, 0}));
  EXPECT_FALSE(now.contains("unmap_latency_histogram"));

  set_histogram({{"id", "node0"}, {"boundaries-read", {5}}});
  now = stats("export0");
  EXPECT_EQ(now["rd_latency_histogram"]["bins"], (Json{0, 0}));
  EXPECT_EQ(now["wr_latency_histogram"]["bins"], (Json{1, 0})) << "left as it was";

  set_histogram({{"id", "export0"}});
  now = stats("export0");
  for (const char* kind : {"rd", "wr", "flush"}) {
    EXPECT_FALSE(now.contains(std::string(kind) + "_latency_histogram"));
  }
}

TEST_F(StatsCommandsTest, WhatIsNoHistogramIsRefusedAndChangesNothing) {
  add_disk("node0", "export0");
  set_histogram({{"id", "export0"}, {"boundaries", {10, 20}}});
  const std::string command = "block-latency-histogram-set";
  EXPECT_TRUE(refuses(command, {{"id", "export0"}, {"boundaries", {20, 10}}}, EINVAL,
                      {"export0", "10 comes after 20"}));
  EXPECT_TRUE(refuses(command,
                      {{"id", "export0"}, {"boundaries-read", {5}}, {"boundaries-flush", {0}}},
                      EINVAL, {"set flush boundaries fail"}));
  EXPECT_TRUE(refuses(command, {{"id", "export0"}, {"boundaries", Json::array()}}, EINVAL,
                      {"at least one boundary"}));
  EXPECT_TRUE(refuses(command, {{"id", "export0"}, {"boundaries", {"x"}}}, EINVAL,
                      {"'boundaries' expects a list of rising numbers"}));
  EXPECT_TRUE(
      refuses(command, {{"id", "export0"}, {"boundaries", {-1}}}, EINVAL, {"'boundaries'"}));
  EXPECT_EQ(stats("export0")["rd_latency_histogram"]["boundaries"], (Json{10, 20}));

  const absl::StatusOr<Json> unknown = run(command, {{"id", "nobody"}});
  EXPECT_EQ(qmp_error_class(unknown.status()), "DeviceNotFound");
  EXPECT_TRUE(refuses(command, {{"id", "nobody"}}, ENOENT, {"'nobody' not found"}));
}

// The catalogue's B58, through the commands.
TEST_F(StatsCommandsTest, QuestionsAndNewHistogramsBesideIoLoseNothing) {
  constexpr uint64_t kRequests = 20'000;
  Backend& disk = add_disk("node0", "export0");
  absl::StatusOr<std::unique_ptr<IoThread>> thread = IoThread::start("io0");
  ASSERT_TRUE(thread.ok());
  std::atomic<bool> done{false};
  std::atomic<uint64_t> failures{0};
  (*thread)->context().spawn("load", [&] {
    assert_in_coroutine();
    for (uint64_t i = 0; i < kRequests; ++i) {
      const RequestKind kind = i % 2 == 0 ? RequestKind::kRead : RequestKind::kWrite;
      if (!co_request(disk, kind, {0, 512}).ok()) ++failures;
      if (i % 16 == 0) co_pause();
    }
    done.store(true);
  });
  uint64_t seen = 0;
  for (uint64_t round = 0; !done.load(); ++round) {
    const uint64_t now = stats("export0")["rd_operations"].get<uint64_t>();
    EXPECT_GE(now, seen);
    seen = now;
    Json arguments = {{"id", "export0"}};
    if (round % 2 == 0) arguments["boundaries"] = {1'000, 1'000'000};
    set_histogram(arguments);
  }
  thread->reset();
  EXPECT_EQ(failures.load(), 0u);
  const Json last = stats("export0");
  EXPECT_EQ(last["rd_operations"], kRequests / 2);
  EXPECT_EQ(last["wr_bytes"], kRequests / 2 * 512);
}

}  // namespace
}  // namespace penstock
