// SPDX-License-Identifier: Apache-2.0
#include "control/json_image_name.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "base/status.h"

namespace penstock {
namespace {

TEST(JsonImageName, NestedAndFlatKeysMeanTheSame) {
  for (const char* text :
       {R"(json:{"driver":"qcow2","file":{"driver":"file","filename":"a"}})",
        R"(json:{"driver":"qcow2","file.driver":"file","file.filename":"a"})",
        R"(json:{"driver":"qcow2","file":{"driver":"file"},"file.filename":"a"})"}) {
    const auto name = parse_json_image_name(text);
    ASSERT_TRUE(name.ok()) << text << name.status();
    EXPECT_EQ(name->driver, "qcow2");
    ASSERT_NE(name->file, nullptr);
    EXPECT_EQ(name->file->driver, "file");
    EXPECT_EQ(name->file->filename, "a");
    EXPECT_FALSE(name->no_backing);
  }
}

TEST(JsonImageName, DevicesAndLockingAreWhatManagementWrites) {
  const auto name = parse_json_image_name(
      R"(json:{"driver":"qcow2","file":{"driver":"host_device","filename":"a","locking":"off"}})");
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(name->file->driver, "file");
  EXPECT_EQ(name->file->filename, "a");
  EXPECT_TRUE(parse_json_image_name(R"(json:{"filename":"a","locking":"auto"})").ok());
}

TEST(JsonImageName, WindowsOfRawAndBackingAreRead) {
  const auto raw = parse_json_image_name(
      R"(json:{"driver":"raw","offset":512,"size":"1M","file":{"filename":"a"}})");
  ASSERT_TRUE(raw.ok()) << raw.status();
  EXPECT_EQ(raw->offset, 512u);
  EXPECT_EQ(raw->size, uint64_t{1} << 20);
  const auto none = parse_json_image_name(
      R"(json:{"driver":"qcow2","file":{"driver":"file","filename":"a"},"backing":null})");
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->no_backing);
  const auto deep = parse_json_image_name(
      R"(json:{"file.filename":"a","backing.driver":"qcow2","backing.file.filename":"b"})");
  ASSERT_TRUE(deep.ok()) << deep.status();
  ASSERT_NE(deep->backing, nullptr);
  EXPECT_EQ(deep->backing->file->filename, "b");
}

TEST(JsonImageName, OtherShapesAreRefusedByTheirKey) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"json:", "no JSON object"},
      {"json:[]", "no JSON object"},
      {"json:{", "no JSON object"},
      {"json:{\"driver\":\"\xff\"}", "no JSON object"},
      {"json:{}", "'filename'"},
      {R"(json:{"driver":1})", "'driver'"},
      {R"(json:{"driver":"nbd","host":"h"})", "'host'"},
      {R"(json:{"driver":"qcow2"})", "'file'"},
      {R"(json:{"driver":"qcow2","filename":"a"})", "'filename'"},
      {R"(json:{"driver":"qcow2","file":"node"})", "'file'"},
      {R"(json:{"driver":"qcow2","backing":"node","file.filename":"a"})", "'backing'"},
      {R"(json:{"driver":"qcow2","offset":1,"file.filename":"a"})", "'offset'"},
      {R"(json:{"driver":"raw","size":-1,"file.filename":"a"})", "'size'"},
      {R"(json:{"driver":"file","filename":"a","backing":null})", "nothing but its filename"},
      {R"(json:{"file":1,"file.filename":"a"})", "'file.filename'"},
      {R"(json:{"filename":"a","locking":1})", "'locking'"},
      {R"(json:{"filename":"a","locking":"maybe"})", "'locking'"},
      {R"(json:{"driver":"qcow2","locking":"on","file.filename":"a"})", "'locking'"},
      {"json:{\"\x7f\\u001b\":1}", "\\x1b"},
  };
  for (const auto& each : cases) {
    const auto name = parse_json_image_name(each.text);
    EXPECT_EQ(status_errno(name.status()), EINVAL) << each.text;
    EXPECT_NE(status_text(name.status()).find(each.message), std::string::npos) << name.status();
  }
}

TEST(JsonImageName, DeepNestingIsRefused) {
  std::string text = R"({"filename":"a"})";
  for (int i = 0; i < 100; ++i) text = R"({"driver":"raw","file":)" + text + "}";
  EXPECT_EQ(status_errno(parse_json_image_name("json:" + text).status()), EINVAL);
  const std::string open(5000, '[');
  EXPECT_EQ(status_errno(parse_json_image_name("json:" + open).status()), EINVAL);
}

}  // namespace
}  // namespace penstock
