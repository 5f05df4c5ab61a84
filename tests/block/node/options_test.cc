// SPDX-License-Identifier: Apache-2.0
#include "block/node/options.h"

#include <cerrno>

#include "base/status.h"
#include "gtest/gtest.h"

namespace penstock {
namespace {

NodeOptions with(nlohmann::json driver_options) {
  NodeOptions options;
  options.driver = "raw";
  options.driver_options = std::move(driver_options);
  return options;
}

TEST(OptionReader, ReadsValuesAndFallbacks) {
  OptionReader reader(with({{"name", "a"}, {"offset", 512}, {"size", "64K"}, {"on", true}}));
  EXPECT_EQ(*reader.take_string("name", ""), "a");
  EXPECT_EQ(*reader.take_size("offset", 0), 512u);
  EXPECT_EQ(*reader.take_size("size", 0), 65536u);
  EXPECT_EQ(*reader.take_size("absent", 7), 7u);
  EXPECT_TRUE(*reader.take_bool("on", false));
  EXPECT_TRUE(reader.finish().ok());
}

TEST(OptionReader, NamesTheOptionThatIsWrong) {
  OptionReader reader(with({{"offset", -1},
                            {"size", "12Q"},
                            {"large", "99999999999999999999"},
                            {"on", "maybe"},
                            {"name", 3}}));
  for (const char* name : {"offset", "size", "large"}) {
    const auto size = reader.take_size(name, 0);
    EXPECT_EQ(status_errno(size.status()), EINVAL) << name;
    EXPECT_NE(status_text(size.status()).find(name), std::string::npos);
  }
  EXPECT_EQ(status_errno(reader.take_bool("on", false).status()), EINVAL);
  EXPECT_EQ(status_errno(reader.take_string("name", "").status()), EINVAL);
  EXPECT_EQ(status_errno(reader.take_required_string("filename").status()), EINVAL);
}

TEST(OptionReader, RefusesOptionsThatNobodyTook) {
  const OptionReader reader(with({{"ofset", 1}}));
  EXPECT_EQ(status_errno(reader.finish()), EINVAL);
  EXPECT_NE(status_text(reader.finish()).find("ofset"), std::string::npos);
}

}  // namespace
}  // namespace penstock
