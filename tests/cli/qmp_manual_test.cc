// SPDX-License-Identifier: Apache-2.0
// penstock-qmp(7) is complete, whatever is added to the table.
#include "cli/qmp_manual.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstring>
#include <string>
#include <utility>

#include "control/qmp/command_table.h"
#include "control/qmp/event_table.h"

namespace penstock {
namespace {

// As a reader sees it.
std::string shown(std::string text) {
  for (const auto& [code, sign] : {std::pair{"\\-", "-"}, {"\\fB", ""}, {"\\fP", ""}}) {
    for (size_t at = text.find(code); at != std::string::npos; at = text.find(code, at)) {
      text.replace(at, std::strlen(code), sign);
    }
  }
  return text;
}

TEST(QmpManual, HasEveryCommandWithItsArguments) {
  const std::string page = shown(qmp_manual());
  for (const QmpCommand* command : all_qmp_commands()) {
    const size_t begin = page.find(std::string(".SS ") + command->name + "\n");
    ASSERT_NE(begin, std::string::npos) << command->name;
    const std::string part = page.substr(begin, page.find("\n.S", begin) - begin);
    for (const QmpArgument& argument : command->arguments) {
      EXPECT_NE(part.find(std::string("\n") + (argument.required ? "" : "[") + argument.name),
                std::string::npos)
          << command->name << " " << argument.name;
    }
  }
}

TEST(QmpManual, HasEveryEvent) {
  const std::string page = shown(qmp_manual());
  const auto events = all_qmp_events();
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_NE(page.find(std::string("\n") + events[i].name + "\n"), std::string::npos);
    EXPECT_TRUE(i == 0 || std::strcmp(events[i - 1].name, events[i].name) < 0) << events[i].name;
  }
}

TEST(QmpManual, NoTextIsTakenForARequest) {
  const std::string page = qmp_manual();
  for (size_t at = 0; (at = page.find('\n', at)) != std::string::npos && at + 1 < page.size();) {
    ++at;
    EXPECT_NE(page[at], '\'') << page.substr(at, 40);
    if (page[at] != '.') continue;
    const std::string request = page.substr(at, 3);
    EXPECT_TRUE(std::isupper(page[at + 1]) || request == ".nf" || request == ".fi") << request;
  }
}

}  // namespace
}  // namespace penstock
