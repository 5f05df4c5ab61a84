// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "drivers/throttle/throttle_groups.h"
#include "tests/control/command_fixture.h"

namespace penstock {
namespace {

using nlohmann::json;

class ThrottleObjects : public CommandFixture {
 protected:
  json group(const std::string& id, json properties = json::object()) {
    properties["qom-type"] = "throttle-group";
    properties["id"] = id;
    return properties;
  }
  json first_group() { return must("x-penstock-query-throttle").at(0); }
};

TEST_F(ThrottleObjects, AreMadeChangedListedAndRemoved) {
  must("object-add", group("g", {{"limits", {{"iops-total", 100}, {"iops-total-max", 200}}}}));
  EXPECT_EQ(first_group()["id"], "g");
  EXPECT_EQ(first_group()["limits"]["iops-total"], 100);
  must("x-penstock-set-throttle", {{"group", "g"}, {"limits", {{"bps-read", 4096}}}});
  EXPECT_EQ(first_group()["limits"]["iops-total-max"], 200);
  EXPECT_EQ(first_group()["limits"]["bps-read"], 4096);
  must("object-del", {{"id", "g"}});
  EXPECT_TRUE(must("x-penstock-query-throttle").empty());
}

TEST_F(ThrottleObjects, TakeFlatNamesToo) {
  must("object-add", group("g", {{"x-iops-read", 5}, {"x-iops-size", 512}}));
  EXPECT_EQ(first_group()["limits"]["iops-read"], 5);
  EXPECT_EQ(first_group()["limits"]["iops-size"], 512);
  must("object-del", {{"id", "g"}});
}

TEST_F(ThrottleObjects, RefuseNonsenseAndLeaveNothing) {
  EXPECT_TRUE(refuses("object-add", group("g", {{"limits", {{"iops-max", 1}}}}), EINVAL,
                      {"'iops-max' is unexpected"}));
  EXPECT_TRUE(refuses("object-add", group("g", {{"limits", 5}}), EINVAL, {"object"}));
  EXPECT_TRUE(refuses("object-add", group("g", {{"iops-total", 5}}), EINVAL, {"unexpected"}));
  EXPECT_TRUE(refuses("object-add", group("g", {{"limits", {{"bps-total", 1}, {"bps-read", 1}}}}),
                      EINVAL, {"same time"}));
  EXPECT_TRUE(must("x-penstock-query-throttle").empty());
  EXPECT_TRUE(refuses("object-del", {{"id", "g"}}, ENOENT, {"'g' not found"}));
  must("object-add", group("g", {{"limits", {{"iops-total", 5}}}}));
  EXPECT_TRUE(refuses("object-add", group("g"), EEXIST, {"'g'"}));
  EXPECT_TRUE(refuses("x-penstock-set-throttle", {{"group", "g"}, {"limits", {{"iops-read", 1}}}},
                      EINVAL, {"same time"}));
  EXPECT_TRUE(refuses("x-penstock-set-throttle", {{"group", "h"}, {"limits", json::object()}},
                      ENOENT, {"'h' does not exist"}));
  EXPECT_EQ(first_group()["limits"]["iops-read"], 0);
  must("object-del", {{"id", "g"}});
}

TEST_F(ThrottleObjects, InUseAreKept) {
  must("object-add", group("g"));
  must("blockdev-add", {{"driver", "throttle"},
                        {"node-name", "t"},
                        {"throttle-group", "g"},
                        {"file", {{"driver", "null-co"}, {"node-name", "disk"}}}});
  EXPECT_TRUE(refuses("object-del", {{"id", "g"}}, EBUSY, {"'g'", "node 't'"}));
  EXPECT_EQ(first_group()["nodes"], json::array({"t"}));
  must("blockdev-del", {{"node-name", "t"}});
  must("object-del", {{"id", "g"}});
}

}  // namespace
}  // namespace penstock
