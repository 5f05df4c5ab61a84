// SPDX-License-Identifier: Apache-2.0
// What commands make of a server's answers, strange ones included.
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cli/disk_status.h"
#include "cli/graph_text.h"
#include "control/server_view.h"

namespace penstock {
namespace {

using nlohmann::json;

// An export above a throttle above a qcow2 with a backing image that a job uses, too.
ServerView example() {
  return parse_server_view(json::parse(R"({
    "pid": 42,
    "nodes": [
      {"node-name": "base", "drv": "file", "file": "/i/base", "ro": true, "virtual-size": 1048576},
      {"node-name": "disk", "drv": "qcow2", "file": "/i/top", "virtual-size": 2097152},
      {"node-name": "f", "drv": "file", "file": "/i/top", "path": "/real/top",
       "virtual-size": 65536},
      {"node-name": "t", "drv": "throttle", "file": "/i/top", "filter": true,
       "virtual-size": 2097152, "iothread": "io0"},
      {"node-name": "lonely", "drv": "null-co", "virtual-size": 512}],
    "edges": [
      {"user": "export e", "name": "root", "child": "t", "role": "root",
       "perm": ["consistent-read", "write"], "shared-perm": ["consistent-read"]},
      {"user": "job j", "name": "root", "child": "base", "role": "root", "perm": [],
       "shared-perm": ["consistent-read", "write", "write-unchanged", "resize"]},
      {"parent": "t", "name": "file", "child": "disk", "role": "filtered", "perm": ["write"],
       "shared-perm": []},
      {"parent": "disk", "name": "file", "child": "f", "role": "image", "perm": ["resize"],
       "shared-perm": []},
      {"parent": "disk", "name": "backing", "child": "base", "role": "backing",
       "perm": ["consistent-read"], "shared-perm": ["write-unchanged"]}],
    "exports": [{"id": "e", "type": "fuse", "node-name": "t", "mountpoint": "/m",
                 "iothreads": ["io0"], "shutting-down": false}],
    "iothreads": [{"id": "io0", "thread-id": 7, "poll-max-ns": 50, "engine": "epoll",
                   "users": ["export 'e'"]}]})"));
}

TEST(ServerView, FindsFormatFiltersAndImage) {
  const ServerView view = example();
  ASSERT_EQ(view.filters_at("t").size(), 1u);
  EXPECT_EQ(view.filters_at("t")[0]->name, "t");
  ASSERT_NE(view.format_below("t"), nullptr);
  EXPECT_EQ(view.format_below("t")->name, "disk");
  EXPECT_EQ(view.format_below("disk")->name, "disk");
  EXPECT_EQ(image_of(view, "t"), "/i/top");
  EXPECT_EQ(image_path_of(view, "t"), "/real/top");
  EXPECT_EQ(image_path_of(view, "lonely"), "");
  EXPECT_TRUE(is_writable(view, view.exports[0]));
  EXPECT_EQ(view.subtree("t"), (std::vector<std::string>{"t", "disk", "f", "base"}));
}

TEST(ServerView, AnswersThatAreStrangeAreNoTrouble) {
  for (const char* text : {"null", "[]", "5", "{}", R"({"nodes": 1, "edges": {}, "exports": "x"})",
                           R"({"nodes": [1, {"node-name": 5, "virtual-size": -1}], "pid": "x"})"}) {
    const ServerView view = parse_server_view(json::parse(text));
    EXPECT_EQ(view.find_export("x"), nullptr);
    EXPECT_EQ(image_of(view, "x"), "");
    EXPECT_TRUE(graph_text(view, {}, false).find("export") == std::string::npos);
  }
}

TEST(ServerView, LoopsEnd) {
  const ServerView view = parse_server_view(json::parse(R"({
    "nodes": [{"node-name": "a", "filter": true}, {"node-name": "b", "filter": true}],
    "edges": [{"parent": "a", "name": "file", "child": "b", "role": "filtered"},
              {"parent": "b", "name": "file", "child": "a", "role": "filtered"},
              {"user": "u", "name": "root", "child": "a"}]})"));
  EXPECT_EQ(view.filters_at("a").size(), 2u);
  EXPECT_EQ(view.format_below("a"), nullptr);
  EXPECT_EQ(view.subtree("a").size(), 2u);
  EXPECT_EQ(part_with(view, "b").nodes.size(), 2u);
  EXPECT_NE(graph_text(view, {}, false).find("shown above"), std::string::npos);
}

TEST(GraphText, IsATreeWithUsersAtTheTop) {
  EXPECT_EQ(graph_text(example(), {}, false),
            "export e  fuse at /m, iothreads io0\n"
            "`- root: t  throttle, 2 MiB, rw, iothread io0  (rw--/r---)\n"
            "   `- file: disk  qcow2, 2 MiB, rw  (filtered -w--/----)\n"
            "      |- file: f  file, 64 KiB, rw  /i/top  (image ---s/----)\n"
            "      `- backing: base  file, 1 MiB, ro  /i/base  (r---/--u-)\n"
            "job j\n"
            "`- root: base  (----/rwus) shown above\n"
            "no user\n"
            "`- lonely  null-co, 512 B, rw\n");
}

TEST(GraphText, AUserOfSeveralNodesIsThereOnce) {
  const ServerView view = parse_server_view(json::parse(R"({
    "nodes": [{"node-name": "a", "drv": "x"}, {"node-name": "b", "drv": "x"}],
    "edges": [{"user": "job j", "name": "root", "child": "a"},
              {"user": "job j", "name": "root", "child": "b"}]})"));
  EXPECT_EQ(graph_text(view, {}, false),
            "job j\n"
            "|- root: a  x, 0 B, rw  (----/----)\n"
            "`- root: b  x, 0 B, rw  (----/----)\n");
}

TEST(GraphText, HasUnicodeLinesWhereTheyAreShown) {
  const std::string text = graph_text(example(), {}, true);
  EXPECT_NE(text.find("      ├─ file: f"), std::string::npos);
  EXPECT_NE(text.find("      └─ backing: base"), std::string::npos);
}

TEST(GraphText, APartIsWhatIsConnected) {
  const ServerView view = example();
  const std::string of_lonely = graph_text(view, part_with(view, "lonely"), false);
  EXPECT_EQ(of_lonely, "no user\n`- lonely  null-co, 512 B, rw\n");
  const std::string of_base = graph_text(view, part_with(view, "base"), false);
  EXPECT_NE(of_base.find("export e"), std::string::npos);
  EXPECT_EQ(of_base.find("lonely"), std::string::npos);
}

TEST(GraphDot, QuotesWhatOthersChose) {
  const ServerView view = parse_server_view(
      json::parse(R"({"nodes": [{"node-name": "a\"b\\\n", "drv": "file", "file": "x\u001b"}]})"));
  const std::string text = graph_dot(view, {});
  EXPECT_NE(text.find(R"("node a\"b\\\\x0a" [label="a\"b\\\\x0a\nfile, 0 B, rw\nx\\x1b"];)"),
            std::string::npos)
      << text;
}

TEST(GraphText, PermissionsAreLetters) {
  EXPECT_EQ(permission_letters({}), "----");
  EXPECT_EQ(permission_letters({"resize", "consistent-read"}), "r--s");
  EXPECT_EQ(permission_letters({"steam"}), "----");
}

DiskStatus sample(uint64_t operations, uint64_t bytes, uint64_t time, int64_t milliseconds) {
  DiskStatus disk;
  disk.socket = "/s";
  disk.pid = 1;
  disk.shown.id = "e";
  disk.counters[0] = {.operations = operations,
                      .bytes = bytes,
                      .failed = 0,
                      .time = time,
                      .latencies = std::nullopt};
  disk.taken_at = std::chrono::steady_clock::time_point(std::chrono::milliseconds(milliseconds));
  return disk;
}

TEST(DiskRates, AreOfTheTimeBetweenTwoSamples) {
  const auto rates = rates_between(sample(10, 1000, 50, 1000), sample(30, 5000, 250, 3000));
  ASSERT_TRUE(rates.has_value());
  EXPECT_DOUBLE_EQ(rates->seconds, 2);
  EXPECT_DOUBLE_EQ(rates->of[0].operations, 10);
  EXPECT_DOUBLE_EQ(rates->of[0].bytes, 2000);
  EXPECT_EQ(rates->of[0].mean, 10u);
  EXPECT_FALSE(rates->of[0].p99.has_value());
  EXPECT_FALSE(rates->of[1].mean.has_value());
}

TEST(DiskRates, ThereAreNoneBetweenDifferentDisks) {
  const DiskStatus before = sample(10, 1000, 50, 1000);
  EXPECT_FALSE(rates_between(before, sample(5, 5000, 250, 3000)).has_value());
  EXPECT_FALSE(rates_between(before, sample(30, 5000, 250, 1000)).has_value());
  DiskStatus other = sample(30, 5000, 250, 3000);
  other.pid = 2;
  EXPECT_FALSE(rates_between(before, other).has_value());
}

TEST(DiskStatus, TextsAreAlignedAndPrintable) {
  DiskStatus disk = sample(12, 1 << 20, 0, 0);
  disk.shown.mount_point = "/m\n";
  disk.shown.node = "n";
  disk.shown.iothreads = {"io0", "io1"};
  disk.engines = {"io_uring"};
  disk.image = "/i/\x1b";
  disk.format = "raw";
  disk.size = 1 << 30;
  disk.filters.push_back({{"node-name", "t"}, {"driver", "throttle"}});
  disk.jobs.push_back({{"id", "j"},
                       {"type", "backup"},
                       {"status", "running"},
                       {"current-progress", 1},
                       {"total-progress", 3}});
  EXPECT_EQ(disk_status_text(disk, std::nullopt),
            "/m\\x0a\n"
            "  image      /i/\\x1b\n"
            "  format     raw, read-only, 1 GiB\n"
            "  server     PID 1, export e of node n\n"
            "  iothreads  io0, io1 (io_uring)\n"
            "  filters    t (throttle)\n"
            "  job        j (backup, running, 33 %)\n"
            "            requests  bytes  failed\n"
            "  reads           12  1 MiB       0\n"
            "  writes           0    0 B       0\n"
            "  discards         0    0 B       0\n"
            "  flushes          0              0\n");
  const auto facts = disk_status_json(disk, std::nullopt);
  EXPECT_EQ(facts["mode"], "ro");
  EXPECT_EQ(facts["jobs"][0]["id"], "j");
  EXPECT_FALSE(facts.contains("rates"));
}

}  // namespace
}  // namespace penstock
