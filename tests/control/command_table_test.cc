// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/command_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <string>

#include "base/status.h"

namespace penstock {
namespace {

constexpr QmpArgument kArguments[] = {
    {"name", QmpType::kString, true, ""}, {"size", QmpType::kNumber, false, ""},
    {"flag", QmpType::kBool, false, ""},  {"options", QmpType::kObject, false, ""},
    {"list", QmpType::kArray, false, ""}, {"any", QmpType::kAny, false, ""},
};
constexpr QmpCommand kClosed = {
    .name = "closed", .help = "", .arguments = kArguments, .co_run = {}};
constexpr QmpCommand kOpen = {
    .name = "open", .help = "", .arguments = kArguments, .open_ended = true, .co_run = {}};

std::string complaint(const QmpCommand& command, const char* arguments) {
  return status_text(check_qmp_arguments(command, nlohmann::json::parse(arguments)));
}

TEST(CommandTable, ArgumentsOfTheRightTypesPass) {
  EXPECT_TRUE(check_qmp_arguments(kClosed, nlohmann::json::parse(R"({"name": "x"})")).ok());
  EXPECT_TRUE(check_qmp_arguments(kClosed, nlohmann::json::parse(R"(
      {"name": "", "size": -1, "flag": false, "options": {}, "list": [1], "any": null})"))
                  .ok());
}

TEST(CommandTable, ComplaintsAreWordedAsQemuWordsThem) {
  EXPECT_EQ(complaint(kClosed, "{}"), "Parameter 'name' is missing");
  EXPECT_EQ(complaint(kClosed, R"({"name": "x", "y": 2})"), "Parameter 'y' is unexpected");
  EXPECT_EQ(complaint(kClosed, R"({"name": 4})"),
            "Invalid parameter type for 'name', expected: string");
  EXPECT_EQ(complaint(kClosed, R"({"name": null})"),
            "Invalid parameter type for 'name', expected: string");
  EXPECT_EQ(complaint(kClosed, R"({"name": "x", "size": 1.5})"),
            "Invalid parameter type for 'size', expected: integer");
  EXPECT_EQ(complaint(kClosed, R"({"name": "x", "flag": 1})"),
            "Invalid parameter type for 'flag', expected: boolean");
  EXPECT_EQ(complaint(kClosed, R"({"name": "x", "options": []})"),
            "Invalid parameter type for 'options', expected: object");
  EXPECT_EQ(complaint(kClosed, R"({"name": "x", "list": {}})"),
            "Invalid parameter type for 'list', expected: array");
}

TEST(CommandTable, OpenEndedCommandsTakeMore) {
  EXPECT_EQ(complaint(kOpen, R"({"name": "x", "driver-option": 2})"), "");
  EXPECT_EQ(complaint(kOpen, R"({"driver-option": 2})"), "Parameter 'name' is missing");
}

TEST(CommandTable, ErrorsHaveAClass) {
  const absl::Status status = qmp_error(ENOENT, "DeviceNotFound", "there is no node 'x'");
  EXPECT_EQ(status_errno(status), ENOENT);
  EXPECT_EQ(qmp_error_class(status), "DeviceNotFound");
  EXPECT_EQ(qmp_error_class(errno_message(EBUSY, "busy")), "GenericError");
  EXPECT_EQ(qmp_error_reply(status)["error"]["desc"], "there is no node 'x'");
}

TEST(CommandTable, EachNameIsThereOnceInOrder) {
  const auto& commands = all_qmp_commands();
  for (size_t i = 1; i < commands.size(); ++i) {
    EXPECT_LT(std::strcmp(commands[i - 1]->name, commands[i]->name), 0) << commands[i]->name;
  }
  for (const QmpCommand* command : commands) {
    EXPECT_EQ(find_qmp_command(command->name), command);
    EXPECT_NE(command->co_run, nullptr) << command->name;
  }
  EXPECT_EQ(find_qmp_command("nonesuch"), nullptr);
  EXPECT_EQ(find_qmp_command(""), nullptr);
}

// The documentation is made from them.
TEST(CommandTable, CommandsAndArgumentsAreExplained) {
  for (const QmpCommand* command : all_qmp_commands()) {
    EXPECT_THAT(command->help, testing::EndsWith(".")) << command->name;
    std::set<std::string> names;
    for (const QmpArgument& argument : command->arguments) {
      EXPECT_STRNE(argument.help, "") << command->name << " " << argument.name;
      EXPECT_TRUE(names.insert(argument.name).second) << command->name << " " << argument.name;
    }
  }
}

}  // namespace
}  // namespace penstock
