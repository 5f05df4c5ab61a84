// SPDX-License-Identifier: Apache-2.0
// x-penstock-query-graph, qom-get and qom-set.
#include <algorithm>
#include <cerrno>

#include "tests/control/command_fixture.h"

namespace penstock {
namespace {

using nlohmann::json;

class GraphQuery : public CommandFixture {
 protected:
  void add_disk() {
    must("blockdev-add",
         {{"driver", "raw"},
          {"node-name", "disk"},
          {"file", {{"driver", "null-co"}, {"node-name", "data"}, {"size", 4096}}}});
  }
  void remove_disk() { must("blockdev-del", {{"node-name", "disk"}}); }

  static json find(const json& list, const char* key, const std::string& value) {
    const auto found = std::find_if(list.begin(), list.end(), [&](const json& each) {
      return each.contains(key) && each[key] == value;
    });
    return found == list.end() ? json() : *found;
  }
};

TEST_F(GraphQuery, TellsNodesEdgesAndUsers) {
  add_disk();
  Backend& backend = attach("somebody", "disk", {kConsistentRead, kConsistentRead | kResize});
  const json graph = must("x-penstock-query-graph");
  EXPECT_GT(graph["pid"], 0);
  const json node = find(graph["nodes"], "node-name", "disk");
  EXPECT_EQ(node["drv"], "raw");
  EXPECT_EQ(node["virtual-size"], 4096);
  EXPECT_EQ(node["filter"], false);
  EXPECT_TRUE(node["iothread"].is_null());
  const json root = find(graph["edges"], "user", "somebody");
  EXPECT_EQ(root["child"], "disk");
  EXPECT_EQ(root["role"], "root");
  EXPECT_EQ(root["perm"], json::array({"consistent-read"}));
  EXPECT_EQ(root["shared-perm"], json::array({"consistent-read", "resize"}));
  const json below = find(graph["edges"], "parent", "disk");
  EXPECT_EQ(below["child"], "data");
  EXPECT_EQ(below["name"], "file");
  EXPECT_TRUE(graph["exports"].empty());
  detach(backend);
  remove_disk();
}

TEST_F(GraphQuery, KnowsFiltersAndIoThreads) {
  add_disk();
  must("object-add", {{"qom-type", "iothread"}, {"id", "io0"}});
  must("x-blockdev-set-iothread", {{"node-name", "disk"}, {"iothread", "io0"}});
  must("x-penstock-insert-filter",
       {{"node-name", "disk"}, {"filter", {{"driver", "faults"}, {"node-name", "f"}}}});
  const json graph = must("x-penstock-query-graph");
  EXPECT_EQ(find(graph["nodes"], "node-name", "f")["filter"], true);
  EXPECT_EQ(find(graph["edges"], "parent", "f")["role"], "filtered");
  EXPECT_EQ(find(graph["nodes"], "node-name", "disk")["iothread"], "io0");
  const json thread = find(graph["iothreads"], "id", "io0");
  EXPECT_FALSE(thread["users"].empty());
  EXPECT_GT(thread["thread-id"], 0);
  must("x-penstock-remove-filter", {{"node-name", "f"}});
  remove_disk();
}

class Qom : public GraphQuery {
 protected:
  void SetUp() override {
    must("object-add",
         {{"qom-type", "throttle-group"}, {"id", "g"}, {"limits", {{"iops-total", 100}}}});
  }
  void TearDown() override { must("object-del", {{"id", "g"}}); }

  json limits(const std::string& path) {
    return must("qom-get", {{"path", path}, {"property", "limits"}});
  }
  static json change(const json& value) {
    return {{"path", "/objects/g"}, {"property", "limits"}, {"value", value}};
  }
};

TEST_F(Qom, LimitsAreReadAndChangedByPathOrId) {
  EXPECT_EQ(limits("/objects/g")["iops-total"], 100);
  EXPECT_EQ(must("qom-set", change({{"bps-read", 4096}})), json::object());
  EXPECT_EQ(limits("g")["bps-read"], 4096);
  EXPECT_EQ(limits("g")["iops-total"], 100);
}

TEST_F(Qom, WhatDoesNotFitIsRefusedAndChangesNothing) {
  const json before = limits("g");
  EXPECT_TRUE(refuses("qom-set", change({{"iops-read", 1}}), EINVAL, {"same time"}));
  EXPECT_TRUE(refuses("qom-set", change(5), EINVAL, {"object"}));
  EXPECT_TRUE(refuses("qom-set", {{"path", "/objects/g"}, {"property", "x"}, {"value", 1}}, EINVAL,
                      {"'/objects/g.x' not found", "'limits'"}));
  EXPECT_TRUE(refuses("qom-get", {{"path", "/objects/none"}, {"property", "limits"}}, ENOENT,
                      {"Device '/objects/none' not found"}));
  EXPECT_EQ(limits("g"), before);
}

TEST_F(Qom, IoThreadsHaveNoPropertiesToChange) {
  must("object-add", {{"qom-type", "iothread"}, {"id", "io0"}});
  EXPECT_TRUE(refuses("qom-get", {{"path", "/objects/io0"}, {"property", "poll-max-ns"}}, EINVAL,
                      {"not found", "iothread"}));
  must("object-del", {{"id", "io0"}});
}

}  // namespace
}  // namespace penstock
