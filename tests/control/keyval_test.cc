// SPDX-License-Identifier: Apache-2.0
#include "control/options/keyval.h"

#include <gmock/gmock.h>

#include <random>
#include <string>

#include "base/status.h"

namespace penstock {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json parsed(const std::string& text, const std::string& implied_key = "driver") {
  const auto result = parse_keyval(text, implied_key);
  EXPECT_TRUE(result.ok()) << text << ": " << result.status();
  return result.ok() ? *result : json();
}

std::string refused(const std::string& text, const std::string& implied_key = "driver") {
  const auto result = parse_keyval(text, implied_key);
  EXPECT_FALSE(result.ok()) << text << ": " << *result;
  return status_text(result.status());
}

TEST(Keyval, TheFirstValueMayGoWithoutItsKey) {
  const json file = {{"driver", "file"}, {"node-name", "n"}};
  EXPECT_EQ(parsed("file,node-name=n"), file);
  EXPECT_EQ(parsed("driver=file,node-name=n"), file);
  EXPECT_EQ(parsed("node-name=n,driver=file"), file);
  EXPECT_EQ(refused("node-name=n,file"), "Expected '=' after parameter 'file'");
  EXPECT_EQ(refused("file", ""), "Expected '=' after parameter 'file'");
}

TEST(Keyval, DotsNest) {
  EXPECT_EQ(parsed("qcow2,file.driver=file,file.filename=/a.b/c=d"),
            (json{{"driver", "qcow2"}, {"file", {{"driver", "file"}, {"filename", "/a.b/c=d"}}}}));
  EXPECT_EQ(parsed("a.b.c=1,a.b.d=2,a.e=3"),
            (json{{"a", {{"b", {{"c", "1"}, {"d", "2"}}}, {"e", "3"}}}}));
}

TEST(Keyval, IndicesMakeLists) {
  EXPECT_EQ(parsed("iothread.1=b,iothread.0=a"), (json{{"iothread", {"a", "b"}}}));
  EXPECT_EQ(parsed("r.0.x=1,r.1.x=2,r.0.y=3"),
            (json{{"r", {{{"x", "1"}, {"y", "3"}}, {{"x", "2"}}}}}));
  std::string many;
  for (int i = 0; i < 12; ++i) many += "l." + std::to_string(i) + "=v" + std::to_string(i) + ",";
  EXPECT_EQ(parsed(many)["l"].size(), 12U);
  EXPECT_EQ(parsed(many)["l"][11], "v11");
}

TEST(Keyval, ACommaInAValueIsDoubled) {
  EXPECT_EQ(parsed("filename=a,,b,size=1"), (json{{"filename", "a,b"}, {"size", "1"}}));
  EXPECT_EQ(parsed("filename=,,,,x,size=1"), (json{{"filename", ",,x"}, {"size", "1"}}));
  EXPECT_EQ(parsed("a,,b=c"), (json{{"driver", "a,b=c"}}));
}

TEST(Keyval, ValuesMayBeEmptyAndTheLastOneCounts) {
  EXPECT_EQ(parsed("backing=,a=1,a=2"), (json{{"backing", ""}, {"a", "2"}}));
  EXPECT_EQ(parsed("a=1,"), (json{{"a", "1"}}));
  EXPECT_EQ(parsed(""), json::object());
}

TEST(Keyval, ErrorsNameTheKey) {
  EXPECT_EQ(refused("a.0=1,a.2=3"), "Parameter 'a.1' missing");
  EXPECT_EQ(refused("l.4294967295=1"), "Parameter 'l.0' missing");
  EXPECT_EQ(refused("l.00=1"), "Parameter 'l.0' missing");
  EXPECT_EQ(refused("a.0=1,a.b=3"), "Parameters 'a.*' used inconsistently");
  EXPECT_EQ(refused("a=1,a.b=3"), "Parameters 'a.*' used inconsistently");
  EXPECT_EQ(refused("a.b=3,a=1"), "Parameters 'a.*' used inconsistently");
  EXPECT_EQ(refused("x.a.0=1,x.a.b=3"), "Parameters 'x.a.*' used inconsistently");
  EXPECT_EQ(refused("file name=3"), "Invalid parameter 'file name'");
  EXPECT_EQ(refused("a..b=3"), "Invalid parameter 'a..b'");
  EXPECT_EQ(refused("a.=3"), "Invalid parameter 'a.'");
  EXPECT_EQ(refused(".a=3"), "Invalid parameter '.a'");
  EXPECT_EQ(refused("0=3"), "Invalid parameter '0'");
  EXPECT_EQ(refused("=3"), "Invalid parameter ''");
  EXPECT_EQ(refused(",a=3"), "Invalid parameter ''");
  EXPECT_EQ(refused("a=1,,,b"), "Expected '=' after parameter 'b'");
}

TEST(Keyval, LongAndDeepKeysAreRefused) {
  EXPECT_THAT(refused(std::string(128, 'k') + "=1"), HasSubstr("Invalid parameter 'kkk"));
  std::string deep = "a";
  for (size_t i = 1; i < kKeyvalDepth; ++i) deep += ".a";
  parsed(deep + "=1");
  EXPECT_THAT(refused(deep + ".a=1"), HasSubstr("more than 64 parts"));
  EXPECT_THAT(refused("a\nb=1"), HasSubstr("'a\\x0ab'"));
}

// What a person would write for the value.
void write_keyval(const json& value, const std::string& key, std::string& text) {
  if (value.is_string()) {
    text += (text.empty() ? "" : ",") + key + "=";
    for (const char c : value.get<std::string>()) text += c == ',' ? ",," : std::string(1, c);
    return;
  }
  const std::string prefix = key.empty() ? "" : key + ".";
  for (const auto& [name, below] : value.items()) write_keyval(below, prefix + name, text);
}

class RandomOptions {
 public:
  explicit RandomOptions(unsigned seed) : random_(seed) {}

  json object(int depth) {
    json result = json::object();
    for (unsigned i = 0; i <= below(3); ++i) {
      result[std::string(1, static_cast<char>('a' + below(26))) + word("-_x9", 3)] = value(depth);
    }
    return result;
  }
  std::string garbage() { return word("ab.=,01- _\n\xff", 24); }

 private:
  json value(int depth) {
    if (depth > 0 && below(3) == 0) return object(depth - 1);
    if (depth > 0 && below(3) == 0) {
      json list = json::array();
      for (unsigned i = 0; i <= below(11); ++i) list.push_back(value(depth - 1));
      return list;
    }
    return word(",,=./ a0\n", 6);
  }
  unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
  std::string word(const std::string& letters, unsigned longest) {
    std::string result;
    for (unsigned left = below(longest + 1); left > 0; --left) {
      result += letters[below(static_cast<unsigned>(letters.size()))];
    }
    return result;
  }

  std::mt19937 random_;
};

TEST(Keyval, WhatIsWrittenIsReadBack) {
  RandomOptions random(4);
  for (int i = 0; i < 5000; ++i) {
    const json value = random.object(4);
    std::string text;
    write_keyval(value, "", text);
    ASSERT_EQ(parsed(text, "driver"), value) << text;
  }
}

TEST(Keyval, GarbageIsReadOrRefusedAndWhatIsReadIsReadAgain) {
  RandomOptions random(5);
  for (int i = 0; i < 20000; ++i) {
    const std::string garbage = random.garbage();
    const auto first = parse_keyval(garbage, "driver");
    if (!first.ok()) {
      ASSERT_FALSE(first.status().message().empty());
      continue;
    }
    std::string text;
    write_keyval(*first, "", text);
    ASSERT_EQ(parsed(text, "driver"), *first) << garbage;
  }
}

TEST(FlatOptions, BareWordsAreSwitches) {
  const auto chardev = parse_flat_options("socket,path=a,,b,server,nowait,id=c", "backend");
  ASSERT_TRUE(chardev.ok()) << chardev.status();
  EXPECT_EQ(
      *chardev,
      (json{
          {"backend", "socket"}, {"path", "a,b"}, {"server", "on"}, {"wait", "off"}, {"id", "c"}}));
  EXPECT_FALSE(parse_flat_options("socket,a.b=1", "backend").ok());
  EXPECT_FALSE(parse_flat_options("socket,=1", "backend").ok());
}

TEST(JsonArgument, IsOneObject) {
  EXPECT_EQ(*parse_json_object(R"({"driver": "file", 'a': [1, true, null]})"),
            (json{{"driver", "file"}, {"a", {1, true, nullptr}}}));
  for (const char* text : {"{\"driver\":", "{} {}", "{}x", "[1]", "{'a': }", ""}) {
    const auto result = parse_json_object(text);
    EXPECT_FALSE(result.ok()) << text;
    EXPECT_THAT(status_text(result.status()), HasSubstr("JSON parse error")) << text;
  }
}

}  // namespace
}  // namespace penstock
