// SPDX-License-Identifier: Apache-2.0
#include "drivers/faults/fault_rule.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/status.h"

namespace penstock {
namespace {

TEST(FaultRule, TextFormSaysEventKeysAndValues) {
  const auto rule = parse_fault_rule(
      "write_aio:nth=3:offset=4096:length=512:errno=ENOSPC:delay-ns=1000:suspend=here:always");
  ASSERT_TRUE(rule.ok()) << status_text(rule.status());
  EXPECT_EQ(rule->event, "write_aio");
  EXPECT_EQ(rule->nth, 3u);
  EXPECT_FALSE(rule->once);
  EXPECT_EQ(rule->range, (ByteRange{4096, 512}));
  EXPECT_EQ(rule->error_number, ENOSPC);
  EXPECT_EQ(rule->delay, Nanoseconds(1000));
  EXPECT_EQ(rule->suspend, "here");
}

TEST(FaultRule, ARuleThatSaysNothingFailsOnceWithEio) {
  const auto rule = parse_fault_rule("flush_to_disk");
  ASSERT_TRUE(rule.ok());
  EXPECT_EQ(rule->error_number, EIO);
  EXPECT_EQ(rule->nth, 1u);
  EXPECT_TRUE(rule->once);
  EXPECT_FALSE(rule->range.has_value());
}

TEST(FaultRule, JsonTakesErrnoAsNameOrNumberAndOnceOff) {
  const auto named = fault_rule_from_json({{"event", "read_aio"}, {"errno", "EBADMSG"}});
  ASSERT_TRUE(named.ok());
  EXPECT_EQ(named->error_number, EBADMSG);
  const auto numbered =
      fault_rule_from_json({{"event", "read_aio"}, {"errno", 5}, {"once", false}});
  ASSERT_TRUE(numbered.ok());
  EXPECT_EQ(numbered->error_number, EIO);
  EXPECT_FALSE(numbered->once);
}

TEST(FaultRule, SecondSpellingsOfEventsAreTaken) {
  EXPECT_EQ(parse_fault_rule("pdiscard")->event, "discard");
  EXPECT_EQ(parse_fault_rule("truncate")->event, "resize");
}

TEST(FaultRule, MistakesAreNamed) {
  for (const auto& [text, named] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "there is no event"},
           {"reed_aio", "reed_aio"},
           {"read_aio:errno=EWHAT", "errno"},
           {"read_aio:nth=0", "nth"},
           {"read_aio:nth=-1", "nth"},
           {"read_aio:sector=1", "sector"},
           {"read_aio:always=5", "always"},
           {"read_aio:suspend=", "suspend"},
           {"read_aio:offset=18446744073709551615:length=2", "range"}}) {
    const auto rule = parse_fault_rule(text);
    EXPECT_EQ(status_errno(rule.status()), EINVAL) << text;
    EXPECT_NE(status_text(rule.status()).find(named), std::string::npos)
        << text << ": " << status_text(rule.status());
  }
}

}  // namespace
}  // namespace penstock
