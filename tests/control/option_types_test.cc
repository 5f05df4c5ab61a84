// SPDX-License-Identifier: Apache-2.0
#include "control/options/option_types.h"

#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "control/options/chardev_options.h"
#include "control/qmp/command_table.h"

namespace penstock {
namespace {

using nlohmann::json;
using std::chrono_literals::operator""ms;
using Kind = ChardevOptions::Kind;

json typed(json options) {
  const absl::Status status = give_option_types(options);
  EXPECT_TRUE(status.ok()) << status;
  return options;
}

std::string refused(json options) {
  const absl::Status status = give_option_types(options);
  EXPECT_FALSE(status.ok()) << options;
  return status_text(status);
}

TEST(OptionTypes, SwitchesNumbersAndSizesAreFoundAtEveryDepth) {
  EXPECT_EQ(typed({{"driver", "raw"},
                   {"read-only", "on"},
                   {"size", "1M"},
                   {"cache", {{"direct", "off"}}},
                   {"file", {{"driver", "null-co"}, {"latency-ns", "0x10"}, {"size", "2g"}}},
                   {"rules", {{{"event", "read_aio"}, {"nth", "3"}, {"once", "y"}}}}}),
            (json{{"driver", "raw"},
                  {"read-only", true},
                  {"size", 1 << 20},
                  {"cache", {{"direct", false}}},
                  {"file", {{"driver", "null-co"}, {"latency-ns", 16}, {"size", int64_t{2} << 30}}},
                  {"rules", {{{"event", "read_aio"}, {"nth", 3}, {"once", true}}}}}));
}

TEST(OptionTypes, LimitsAndPollingOfObjectsAreNumbers) {
  EXPECT_EQ(typed({{"id", "1"}, {"limits", {{"iops-total", "10"}}}, {"x-bps-read-max", "-1"}}),
            (json{{"id", "1"}, {"limits", {{"iops-total", 10}}}, {"x-bps-read-max", -1}}));
  EXPECT_EQ(typed({{"poll-max-ns", "0"}}), (json{{"poll-max-ns", 0}}));
}

TEST(OptionTypes, WhatIsNotKnownStaysAsItIs) {
  const json options = {{"locking", "on"}, {"filename", "1"}, {"read-only", true}, {"size", 4.5}};
  EXPECT_EQ(typed(options), options);
}

TEST(OptionTypes, ErrorsNameThePath) {
  EXPECT_EQ(refused({{"file", {{"read-only", "maybe"}}}}),
            "Parameter 'file.read-only' expects 'on' or 'off'");
  EXPECT_EQ(refused({{"rules", {{{"nth", "many"}}}}}), "Parameter 'rules.0.nth' expects integer");
  for (const char* size : {"", "-1", "1X", "1MB", "M", "9223372036854775808", "8E", "1.5G"}) {
    EXPECT_EQ(refused({{"size", size}}), "Parameter 'size' expects a size") << size;
  }
}

TEST(OptionTypes, TheCommandTableKnowsArguments) {
  json arguments = {{"id", "e"},
                    {"writable", "on"},
                    {"growable", "off"},
                    {"iothread", "t0"},
                    {"allow-other", "off"}};
  const QmpCommand* const command = find_qmp_command("block-export-add");
  ASSERT_NE(command, nullptr);
  ASSERT_TRUE(give_argument_types(*command, arguments).ok());
  EXPECT_EQ(arguments, (json{{"id", "e"},
                             {"writable", true},
                             {"growable", false},
                             {"iothread", "t0"},
                             {"allow-other", "off"}}));
  arguments["writable"] = "perhaps";
  EXPECT_EQ(status_text(give_argument_types(*command, arguments)),
            "Parameter 'writable' expects 'on' or 'off'");
}

ChardevOptions chardev(const std::string& text) {
  const auto options = parse_chardev(text);
  EXPECT_TRUE(options.ok()) << text << ": " << options.status();
  return options.ok() ? *options : ChardevOptions();
}

TEST(ChardevOptions, ASocketListensOrConnects) {
  const ChardevOptions server = chardev("socket,id=c,path=/a,server=on,wait=off");
  EXPECT_EQ(server.id, "c");
  EXPECT_EQ(server.kind, Kind::kListen);
  EXPECT_EQ(server.path, "/a");
  EXPECT_FALSE(server.wait);
  EXPECT_TRUE(chardev("socket,id=c,path=/a,server=on").wait);
  EXPECT_FALSE(chardev("socket,id=c,path=/a,server,nowait").wait);

  const ChardevOptions client = chardev("socket,id=c,path=/a,reconnect=2");
  EXPECT_EQ(client.kind, Kind::kConnect);
  EXPECT_EQ(client.reconnect, 2000ms);
  EXPECT_EQ(chardev("socket,id=c,fd=7,server=off").fd, 7);
  EXPECT_EQ(chardev("stdio,id=c,signal=off").kind, Kind::kStdio);
}

TEST(ChardevOptions, APathIsAbsolute) {
  EXPECT_EQ(chardev("socket,id=c,path=a").path.front(), '/');
}

TEST(ChardevOptions, WhatIsNotThereIsRefused) {
  for (const char* text :
       {"", "socket,path=/a", "socket,id=c", "socket,id=c,path=/a,fd=3", "socket,id=9,path=/a",
        "socket,id=c,host=localhost,port=1", "socket,id=c,path=/a,zorch=2", "pty,id=c",
        "socket,id=c,path=/a,server=maybe", "socket,id=c,path=/a,wait=on", "socket,id=c,fd=x",
        "socket,id=c,path=/a,server=on,reconnect=1", "socket,id=c,fd=3,reconnect=1",
        "stdio,id=c,path=/a", "stdio,id=c,signal=maybe"}) {
    EXPECT_FALSE(parse_chardev(text).ok()) << text;
  }
}

}  // namespace
}  // namespace penstock
