// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/printable_text.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/output_format.h"
#include "control/mount_registry.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
Root sees the mounts of all users. The JSON form is a list of objects with the keys image,
format, mode, mount-point, pid, iothreads, engine, started and socket: where the server takes
commands, empty if nowhere.

Exit status: 0, also if nothing is mounted; 2 wrong usage.)";

void print_json(const std::vector<MountState>& mounts) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const MountState& mount : mounts) {
    nlohmann::ordered_json entry;
    entry["image"] = mount.image;
    entry["format"] = mount.format;
    entry["mode"] = mount.mode;
    entry["mount-point"] = mount.mount_point;
    entry["pid"] = mount.pid;
    entry["iothreads"] = mount.iothreads;
    entry["engine"] = mount.engine;
    entry["started"] = mount.started;
    entry["socket"] = mount.socket;
    list.push_back(std::move(entry));
  }
  std::puts(list.dump(4, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

void print_table(const std::vector<MountState>& mounts) {
  constexpr size_t kColumns = 6;
  using Row = std::array<std::string, kColumns>;
  std::vector<Row> rows = {{"IMAGE", "FORMAT", "MODE", "MOUNT POINT", "PID", "IOTHREADS"}};
  for (const MountState& mount : mounts) {
    rows.push_back({printable_text(mount.image), mount.format, mount.mode,
                    printable_text(mount.mount_point), std::to_string(mount.pid),
                    std::to_string(mount.iothreads)});
  }
  std::array<size_t, kColumns> widths = {};
  for (const Row& row : rows) {
    for (size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < kColumns; ++i) {
      line += row[i];
      if (i + 1 < kColumns) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    std::puts(line.c_str());
  }
}

}  // namespace

void add_ls_command(CLI::App& program, int& exit_status) {
  const auto output = std::make_shared<OutputFormat>();
  CLI::App& command = *program.add_subcommand("ls", "List what is mounted where");
  command.footer(kFooter);
  output->add_to(command);
  command.callback([output, &exit_status] {
    std::vector<MountState> mounts = read_mount_registry();
    std::sort(mounts.begin(), mounts.end(), [](const MountState& a, const MountState& b) {
      return a.mount_point < b.mount_point;
    });
    if (output->is_json()) {
      print_json(mounts);
    } else if (!mounts.empty()) {
      print_table(mounts);
    }
    exit_status = kDone;
  });
}

}  // namespace penstock
