// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/json_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <random>
#include <string>
#include <vector>

#include "base/status.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// What comes out, errors as "!text", fed in pieces of at most `piece` bytes.
std::vector<std::string> messages_in(const std::string& text, size_t piece = std::string::npos,
                                     JsonStream::Limits limits = {}) {
  JsonStream stream(limits);
  std::vector<std::string> messages;
  for (size_t at = 0; at < text.size(); at += std::min(piece, text.size())) {
    stream.feed(std::string_view(text).substr(at, piece));
    while (const auto item = stream.next()) {
      messages.push_back(item->ok() ? (*item)->dump() : "!" + status_text(item->status()));
    }
  }
  return messages;
}

TEST(JsonStream, CutsMessagesWhereverTheyEnd) {
  EXPECT_THAT(messages_in(R"({"a": 1}{"b":[{}, "}"]} [1,2])"
                          "\r\n\t {\n\"c\"\n:\nnull\n}\n"),
              ElementsAre(R"({"a":1})", R"({"b":[{},"}"]})", "[1,2]", R"({"c":null})"));
}

TEST(JsonStream, WaitsForTheEndOfAMessage) {
  JsonStream stream;
  stream.feed(R"({"a": "b)");
  EXPECT_FALSE(stream.next());
  EXPECT_TRUE(stream.is_inside_message());
  stream.feed("\"}");
  EXPECT_EQ(**stream.next(), nlohmann::json({{"a", "b"}}));
  EXPECT_FALSE(stream.is_inside_message());
}

TEST(JsonStream, BracketsAndQuotesInStringsEndNothing) {
  EXPECT_THAT(messages_in(R"({"a": "}{][\"}\\"}{"b": "\\\""})"),
              ElementsAre(R"({"a":"}{][\"}\\"})", R"({"b":"\\\""})"));
}

TEST(JsonStream, StringsMayHaveSingleQuotes) {
  EXPECT_THAT(messages_in(R"({'a': 'say "x"', "b": "it's", 'c': 'it\'s \\ \n', "d": "\'"})"),
              ElementsAre(R"({"a":"say \"x\"","b":"it's","c":"it's \\ \n","d":"'"})"));
}

TEST(JsonStream, NamesTheFaultOfAMessageAndGoesOn) {
  EXPECT_THAT(messages_in("{\"execute\": }{\"a\": 1}"),
              ElementsAre(StartsWith("!JSON parse error, unexpected '"), R"({"a":1})"));
  EXPECT_THAT(messages_in("{]{}"), ElementsAre(HasSubstr("unexpected"), "{}"));
  EXPECT_THAT(messages_in("[1,2}{}"), ElementsAre(HasSubstr("at byte 5"), "{}"));
  EXPECT_THAT(messages_in("{\"a\": \"\xff\"}{}").size(), 2U);
  EXPECT_THAT(messages_in("{\"a\": \"\xc3\"}{}"), ElementsAre(HasSubstr("unexpected"), "{}"));
  EXPECT_THAT(messages_in("{\"a\": 1e999}{}"), ElementsAre(StartsWith("!JSON parse error"), "{}"));
}

TEST(JsonStream, SkipsALineOfGarbageWithOneError) {
  EXPECT_THAT(
      messages_in("help {\"a\": 1}\n{\"b\": 2}"),
      ElementsAre("!JSON parse error, a message begins with '{', not with 'h'", R"({"b":2})"));
  EXPECT_THAT(messages_in("}}}}\n{}"), ElementsAre(HasSubstr("not with '}'"), "{}"));
}

TEST(JsonStream, ByteFfForgetsWhatWasBegun) {
  EXPECT_THAT(messages_in("{\"half\": [\"\xff{\"a\": 1}"),
              ElementsAre("!JSON parse error, stray byte 0xff", R"({"a":1})"));
  EXPECT_THAT(messages_in("\xff\xff{}\xff"),
              ElementsAre(HasSubstr("stray"), "{}", HasSubstr("stray")));
  EXPECT_THAT(messages_in("garbage\xff{}"), ElementsAre(HasSubstr("begins with"), "{}"));
}

TEST(JsonStream, NulBytesAreOneError) {
  EXPECT_THAT(messages_in(std::string(1000, '\0') + "{}"), ElementsAre(HasSubstr("0x00"), "{}"));
}

TEST(JsonStream, TextInABrokenStringIsNeverAMessage) {
  EXPECT_THAT(messages_in("{\"a\": \"tab\there {\\\"execute\\\": 1} {}\n{}"),
              ElementsAre(HasSubstr("control character in a string"), "{}"));
  EXPECT_THAT(messages_in("{\"a\": \"line\n{}"), ElementsAre(HasSubstr("control character"), "{}"));
}

TEST(JsonStream, ALargeMessageIsOneErrorAsSoonAsItIsTooLarge) {
  const JsonStream::Limits limits = {.message = 100};
  const std::string fits = R"({"a": ")" + std::string(100 - 9, 'x') + "\"}";
  ASSERT_EQ(fits.size(), 100U);
  EXPECT_THAT(messages_in(fits, 7, limits), ElementsAre(testing::Not(StartsWith("!"))));

  JsonStream stream(limits);
  stream.feed(R"({"a": ")" + std::string(94, 'x'));
  const auto error = stream.next();
  ASSERT_TRUE(error);
  EXPECT_EQ(status_errno(error->status()), EMSGSIZE);
  stream.feed(std::string(100000, 'y') + R"(", "b": ["}"]} {"c": 1})");
  EXPECT_EQ(**stream.next(), nlohmann::json({{"c", 1}}));
  EXPECT_FALSE(stream.next());
}

TEST(JsonStream, DepthHasALimit) {
  const std::string deep = std::string(64, '[') + std::string(64, ']');
  EXPECT_THAT(messages_in(deep), ElementsAre(deep));
  const std::string deeper = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_THAT(messages_in(deeper + "{}"), ElementsAre(HasSubstr("nesting depth"), "{}"));
  EXPECT_THAT(messages_in(std::string(100000, '[') + "\xff{}"),
              ElementsAre(HasSubstr("nesting depth"), "{}"));
}

TEST(JsonStream, EndlessHalfMessagesTakeBoundedMemory) {
  JsonStream stream;
  int errors = 0;
  for (int i = 0; i < 1000; ++i) {
    stream.feed("{\"a\": \"" + std::string(16 * 1024, 'x'));
    while (const auto item = stream.next()) errors += item->ok() ? 0 : 1;
  }
  EXPECT_GE(errors, 1);
}

TEST(JsonStream, AnswersDoNotDependOnHowBytesArrive) {
  std::mt19937 random(1);
  const std::string alphabet = "{}[]\"'\\:,a1 \n\xff\t";
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += alphabet[random() % alphabet.size()];
    const JsonStream::Limits limits = {.message = 24, .depth = 3};
    const std::vector<std::string> whole = messages_in(text, std::string::npos, limits);
    EXPECT_EQ(messages_in(text, 1, limits), whole) << text;
    EXPECT_EQ(messages_in(text, 7, limits), whole) << text;
    // Whatever came before, this is understood.
    std::vector<std::string> after = messages_in(text + "\xff{\"a\":1}", 5, limits);
    ASSERT_FALSE(after.empty());
    EXPECT_EQ(after.back(), R"({"a":1})") << text;
  }
}

TEST(JsonStream, NothingComesOutOfNothing) { EXPECT_THAT(messages_in(" \r\n\t"), IsEmpty()); }

TEST(JsonStream, ANulInAStringIsRefused) {
  EXPECT_THAT(messages_in(R"({"a": ["x\u0000y"]}{"b\u0000": 1}{"c": "\\u0000"}{})"),
              ElementsAre(HasSubstr("\\u0000 is not allowed"), HasSubstr("\\u0000 is not allowed"),
                          R"({"c":"\\u0000"})", "{}"));
}

}  // namespace
}  // namespace penstock
