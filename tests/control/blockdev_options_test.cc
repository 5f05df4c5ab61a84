// SPDX-License-Identifier: Apache-2.0
#include "control/blockdev_options.h"

#include <cerrno>

#include "base/status.h"
#include "drivers/register_drivers.h"
#include "gtest/gtest.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

class BlockdevOptionsTest : public testing::Test {
 protected:
  BlockdevOptionsTest() { register_drivers(drivers_); }

  BlockdevOptions parse(const Json& arguments) {
    auto options = parse_blockdev_options(drivers_, arguments);
    EXPECT_TRUE(options.ok()) << status_text(options.status());
    return options.ok() ? *std::move(options) : BlockdevOptions();
  }
  std::string refusal(const Json& arguments, int error_number = EINVAL) {
    const auto options = parse_blockdev_options(drivers_, arguments);
    EXPECT_EQ(status_errno(options.status()), error_number) << arguments;
    return status_text(options.status());
  }

  DriverRegistry drivers_;
};

TEST_F(BlockdevOptionsTest, DefaultsAreThoseOfQemu) {
  const NodeOptions node = parse({{"driver", "file"}, {"filename", "/a"}}).node;
  EXPECT_EQ(node.driver, "file");
  EXPECT_EQ(node.node_name, "");
  EXPECT_FALSE(node.read_only);
  EXPECT_FALSE(node.force_share);
  EXPECT_FALSE(node.cache_direct);
  EXPECT_FALSE(node.discard_unmap);
  EXPECT_FALSE(node.goes_with_parents);
  EXPECT_EQ(node.driver_options, (Json{{"filename", "/a"}}));
}

TEST_F(BlockdevOptionsTest, GeneralOptionsAreTakenAndTheRestIsTheDrivers) {
  const NodeOptions node = parse({{"driver", "null-co"},
                                  {"node-name", "n-0.a_b"},
                                  {"read-only", true},
                                  {"force-share", true},
                                  {"discard", "unmap"},
                                  {"detect-zeroes", "off"},
                                  {"cache", {{"direct", true}, {"no-flush", false}}},
                                  {"size", 4096},
                                  {"anything", {{"nested", 1}}}})
                               .node;
  EXPECT_EQ(node.node_name, "n-0.a_b");
  EXPECT_TRUE(node.read_only);
  EXPECT_TRUE(node.force_share);
  EXPECT_TRUE(node.cache_direct);
  EXPECT_TRUE(node.discard_unmap);
  EXPECT_EQ(node.driver_options, (Json{{"size", 4096}, {"anything", {{"nested", 1}}}}));
}

TEST_F(BlockdevOptionsTest, ChildrenAreDescribedNamedOrNone) {
  const NodeOptions node =
      parse({{"driver", "qcow2"},
             {"file", {{"driver", "file"}, {"node-name", "f"}, {"filename", "/a"}}},
             {"backing", nullptr},
             {"data-file", "other"}})
          .node;
  const auto& file = node.children.at("file");
  ASSERT_NE(file.inline_options, nullptr);
  EXPECT_EQ(file.inline_options->node_name, "f");
  EXPECT_TRUE(file.inline_options->goes_with_parents);
  EXPECT_EQ(node.children.at("backing").inline_options, nullptr);
  EXPECT_EQ(node.children.at("backing").reference, "");
  EXPECT_EQ(node.children.at("data-file").reference, "other");
}

TEST_F(BlockdevOptionsTest, ChildrenInheritUnlessTheySayOtherwise) {
  const Json file = {{"driver", "file"}, {"filename", "/a"}};
  Json other = file;
  other["cache"] = {{"direct", false}};
  other["discard"] = "ignore";
  const NodeOptions node = parse({{"driver", "qcow2"},
                                  {"read-only", true},
                                  {"force-share", true},
                                  {"discard", "unmap"},
                                  {"cache", {{"direct", true}}},
                                  {"file", other},
                                  {"data-file", file}})
                               .node;
  const NodeOptions& said = *node.children.at("file").inline_options;
  EXPECT_TRUE(said.read_only);
  EXPECT_TRUE(said.force_share);
  EXPECT_FALSE(said.cache_direct);
  EXPECT_FALSE(said.discard_unmap);
  const NodeOptions& inherited = *node.children.at("data-file").inline_options;
  EXPECT_TRUE(inherited.cache_direct);
  EXPECT_TRUE(inherited.discard_unmap);
}

TEST_F(BlockdevOptionsTest, ABackingFileIsReadOnlyUnlessItSaysOtherwise) {
  Json backing = {{"driver", "raw"}, {"file", {{"driver", "file"}, {"filename", "/b"}}}};
  Json arguments = {{"driver", "qcow2"}, {"file", "f"}, {"backing", backing}};
  NodeOptions below = *parse(arguments).node.children.at("backing").inline_options;
  EXPECT_TRUE(below.read_only);
  EXPECT_TRUE(below.children.at("file").inline_options->read_only);
  arguments["backing"]["read-only"] = false;
  below = *parse(arguments).node.children.at("backing").inline_options;
  EXPECT_FALSE(below.read_only);
}

TEST_F(BlockdevOptionsTest, AutoReadOnlyGivesASecondChoice) {
  const Json file = {{"driver", "file"}, {"filename", "/a"}};
  Json arguments = {{"driver", "raw"}, {"file", file}};
  EXPECT_FALSE(parse(arguments).read_only_instead.has_value());
  arguments["auto-read-only"] = true;
  const BlockdevOptions options = parse(arguments);
  EXPECT_FALSE(options.node.read_only);
  ASSERT_TRUE(options.read_only_instead.has_value());
  EXPECT_TRUE(options.read_only_instead->read_only);
  EXPECT_TRUE(options.read_only_instead->children.at("file").inline_options->read_only);
  arguments["read-only"] = true;
  EXPECT_FALSE(parse(arguments).read_only_instead.has_value());
}

TEST_F(BlockdevOptionsTest, WhatIsWrongIsNamedByItsPath) {
  EXPECT_EQ(refusal(Json::object()), "Parameter 'driver' is missing");
  EXPECT_EQ(refusal({{"driver", "raw"}, {"file", Json::object()}}),
            "Parameter 'file.driver' is missing");
  EXPECT_EQ(refusal({{"driver", "null-co"}, {"read-only", "on"}}),
            "Invalid parameter type for 'read-only', expected: boolean");
  EXPECT_EQ(refusal({{"driver", "null-co"}, {"cache", {{"direct", 1}}}}),
            "Invalid parameter type for 'cache.direct', expected: boolean");
  EXPECT_EQ(refusal({{"driver", "null-co"}, {"cache", {{"writeback", true}}}}),
            "Parameter 'cache.writeback' is unexpected");
  EXPECT_EQ(refusal({{"driver", "raw"}, {"file", 7}}),
            "Invalid parameter type for 'file', expected: BlockdevRef");
  EXPECT_NE(refusal({{"driver", "raw"},
                     {"file", {{"driver", "file"}, {"filename", "/a"}, {"discard", "maybe"}}}})
                .find("Parameter 'file.discard' does not accept value 'maybe'"),
            std::string::npos);
  EXPECT_NE(refusal({{"driver", "null-co"}, {"detect-zeroes", "unmap"}}).find("'detect-zeroes'"),
            std::string::npos);
  EXPECT_NE(refusal({{"driver", "null-co"}, {"cache", {{"no-flush", true}}}}).find("no-flush"),
            std::string::npos);
  EXPECT_NE(refusal({{"driver", "nonesuch"}}, ENOENT).find("nonesuch"), std::string::npos);
  EXPECT_EQ(refusal(Json::array()), "Invalid parameter type for 'options', expected: object");
}

TEST_F(BlockdevOptionsTest, DriversTakeTheirOwnChildrenOnly) {
  EXPECT_NE(refusal({{"driver", "null-co"}, {"file", "f"}}).find("'file'"), std::string::npos);
  EXPECT_NE(refusal({{"driver", "raw"}, {"file", "f"}, {"backing", nullptr}}).find("'backing'"),
            std::string::npos);
}

TEST_F(BlockdevOptionsTest, NodeNamesFollowQemusRule) {
  for (const char* name : {"a", "Z9", "a-b.c_d"}) EXPECT_TRUE(is_node_name(name)) << name;
  for (const char* name : {"", "9a", "-a", "#block0", "a b", "a/b", "\xc3\xa4"}) {
    EXPECT_FALSE(is_node_name(name)) << name;
  }
  EXPECT_TRUE(is_node_name(std::string(31, 'a')));
  EXPECT_FALSE(is_node_name(std::string(32, 'a')));
  EXPECT_NE(refusal({{"driver", "null-co"}, {"node-name", "9a"}}).find("Invalid node-name: '9a'"),
            std::string::npos);
}

TEST_F(BlockdevOptionsTest, NestingIsLimited) {
  Json arguments = {{"driver", "null-co"}};
  for (int i = 0; i < 64; ++i) arguments = {{"driver", "raw"}, {"file", arguments}};
  parse(arguments);
  arguments = {{"driver", "raw"}, {"file", arguments}};
  EXPECT_NE(refusal(arguments).find("64 deep"), std::string::npos);
}

}  // namespace
}  // namespace penstock
