// SPDX-License-Identifier: Apache-2.0
// The pieces that commands make their output of.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "base/status.h"
#include "cli/filter_options.h"
#include "cli/latency.h"
#include "cli/progress.h"
#include "cli/text_table.h"

namespace penstock {
namespace {

using nlohmann::json;

TEST(TextTable, ColumnsAreAsWideAsTheirWidestCell) {
  TextTable table("lrl");
  table.add({"A", "B", "C"});
  table.add({"long", "1", ""});
  table.add({"x", "1000", "end"});
  EXPECT_EQ(table.text(1),
            " A        B  C\n"
            " long     1\n"
            " x     1000  end\n");
}

TEST(TextTable, CharactersBeyondAsciiTakeOneColumn) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("\xc3\xa9t\xc3\xa9"), 3u);
  TextTable table("ll");
  table.add({"\xc3\xa9", "1"});
  table.add({"ab", "2"});
  EXPECT_EQ(table.text(), "\xc3\xa9   1\nab  2\n");
}

TEST(Latency, BoundariesRise) {
  const std::vector<uint64_t> boundaries = latency_boundaries();
  ASSERT_GT(boundaries.size(), 10u);
  ASSERT_LT(boundaries.size(), 200u);
  EXPECT_EQ(boundaries.front(), 1000u);
  EXPECT_EQ(boundaries.back(), 10'000'000'000u);
  for (size_t i = 1; i < boundaries.size(); ++i) EXPECT_LT(boundaries[i - 1], boundaries[i]);
}

TEST(Latency, APercentileLiesInItsBin) {
  const Histogram histogram{.boundaries = {10, 20, 40}, .bins = {0, 98, 2, 0}};
  const std::optional<uint64_t> median = percentile(histogram, 0.5);
  ASSERT_TRUE(median.has_value());
  EXPECT_GE(*median, 10u);
  EXPECT_LE(*median, 20u);
  const std::optional<uint64_t> p99 = percentile(histogram, 0.99);
  ASSERT_TRUE(p99.has_value());
  EXPECT_EQ(*p99, 30u);
}

TEST(Latency, PercentilesAtTheEnds) {
  EXPECT_EQ(percentile({.boundaries = {10}, .bins = {0, 5}}, 0.99), 10u);
  EXPECT_EQ(percentile({.boundaries = {10}, .bins = {4, 0}}, 1.0), 10u);
  EXPECT_FALSE(percentile({.boundaries = {10}, .bins = {0, 0}}, 0.99).has_value());
  EXPECT_FALSE(percentile({}, 0.99).has_value());
  EXPECT_FALSE(percentile({.boundaries = {10}, .bins = {1}}, 0.99).has_value());
}

TEST(Latency, TheDifferenceOfTwoReadings) {
  const Histogram before{.boundaries = {10}, .bins = {1, 2}};
  const Histogram after{.boundaries = {10}, .bins = {4, 2}};
  const auto between = histogram_between(before, after);
  ASSERT_TRUE(between.has_value());
  EXPECT_EQ(between->bins, (std::vector<uint64_t>{3, 0}));
  EXPECT_FALSE(histogram_between(after, before).has_value());
  EXPECT_FALSE(histogram_between({.boundaries = {11}, .bins = {1, 2}}, after).has_value());
}

TEST(Latency, TextsHaveThreeDigits) {
  EXPECT_EQ(latency_text(0), "0 ns");
  EXPECT_EQ(latency_text(999), "999 ns");
  EXPECT_EQ(latency_text(1234), "1.23 us");
  EXPECT_EQ(latency_text(85'100), "85.1 us");
  EXPECT_EQ(latency_text(999'900), "1.00 ms");
  EXPECT_EQ(latency_text(123'456'789), "123 ms");
  EXPECT_EQ(latency_text(61'000'000'000), "61.0 s");
}

TEST(ProgressBar, FitsIntoTheWidth) {
  const ProgressSample half = {.done = 50 << 20, .all = 100 << 20, .seconds = 10};
  for (unsigned width : {0u, 1u, 10u, 20u, 40u, 79u, 300u}) {
    EXPECT_LE(display_width(progress_bar(half, "backup of '/mnt'", width)), width) << width;
  }
  const std::string bar = progress_bar(half, "backup of '/mnt'", 100);
  EXPECT_EQ(
      bar, "backup of '/mnt' [####################....................]  50 %  5 MiB/s  0:10 left");
}

TEST(ProgressBar, KnowsBeginningAndEnd) {
  EXPECT_EQ(progress_bar({.done = 0, .all = 0, .seconds = 0}, "x", 40),
            "x [..............................]   0 %");
  EXPECT_NE(progress_bar({.done = 4, .all = 4, .seconds = 61}, "x", 79).find("100 %"),
            std::string::npos);
  EXPECT_NE(progress_bar({.done = 4, .all = 4, .seconds = 61}, "x", 79).find("in 1:01"),
            std::string::npos);
  // More than was thought.
  EXPECT_NE(progress_bar({.done = 5, .all = 4, .seconds = 1}, "x", 79).find("100 %"),
            std::string::npos);
}

TEST(ProgressJson, IsOneLine) {
  const std::string line = progress_json({.done = 1, .all = 2, .seconds = 0.5}, "a\nb");
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const json parsed = json::parse(line);
  EXPECT_EQ(parsed["description"], "a\nb");
  EXPECT_EQ(parsed["transferred"], 1);
  EXPECT_EQ(parsed["size"], 2);
  EXPECT_EQ(parsed["elapsed"], 0.5);
}

TEST(FilterOptions, ValuesHaveTypes) {
  const auto options =
      parse_filter_options({"text=abc", "number=-5", "yes=true", "no=false",
                            "empty=", "json={\"a\": [1]}", "quoted=\"5\"", "with=a=b"});
  ASSERT_TRUE(options.ok()) << status_text(options.status());
  EXPECT_EQ(*options, json::parse(R"({"text": "abc", "number": -5, "yes": true, "no": false,
      "empty": "", "json": {"a": [1]}, "quoted": "5", "with": "a=b"})"));
}

TEST(FilterOptions, DotsLeadIntoObjectsAndLists) {
  const auto options =
      parse_filter_options({"a.b=1", "a.c.d=x", "rules.1=second", "rules.0=first", "gap.1=x"});
  ASSERT_TRUE(options.ok()) << status_text(options.status());
  EXPECT_EQ(*options, json::parse(R"({"a": {"b": 1, "c": {"d": "x"}},
      "rules": ["first", "second"], "gap": {"1": "x"}})"));
}

TEST(FilterOptions, NonsenseIsRefusedByName) {
  const std::vector<std::vector<std::string>> cases = {
      {"word"},       {"=x"},           {"a..b=1"}, {"a.=1"},
      {"a=1", "a=2"}, {"a=1", "a.b=2"}, {"a={"},    {"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=1"}};
  for (const std::vector<std::string>& words : cases) {
    const auto options = parse_filter_options(words);
    EXPECT_EQ(status_errno(options.status()), EINVAL) << words.back();
    EXPECT_NE(status_text(options.status()).find(words.back()), std::string::npos);
  }
}

}  // namespace
}  // namespace penstock
