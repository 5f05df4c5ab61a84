// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/printable_text.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/mount_options.h"
#include "cli/output_format.h"
#include "cli/target_options.h"
#include "control/image_info_text.h"
#include "control/qmp/json_fields.h"

namespace penstock {
namespace {

using nlohmann::json;

constexpr char kFooter[] = R"(
TARGET is a mount point, an image, the id of an export or the name of a node; it can be left out
while only one disk is mounted. Without other options the limits are shown. N is operations a
second, SIZE is bytes a second, with a unit K, M, G or T if need be; 0 takes a limit away. Limits
that are not named stay. A burst is a higher rate that may be reached for --burst-seconds.

Examples:
  penstock throttle ~/mnt --iops 500 --bps 50M
  penstock throttle ~/mnt --iops 500 --burst-iops 2000 --burst-seconds 10
  penstock throttle ~/mnt --off

Exit status: 0 done, 1 failed, 2 wrong usage.)";

// Groups that this command made begin with this, and go with their last disk.
constexpr std::string_view kOurs = "penstock-throttle-";

struct LimitOption {
  const char* name;  // without "--"
  const char* key;   // QEMU's
  bool is_size;
  const char* help;
};
constexpr LimitOption kLimits[] = {
    {"iops", "iops-total", false, "Operations a second"},
    {"iops-read", "iops-read", false, "Reads a second"},
    {"iops-write", "iops-write", false, "Writes a second"},
    {"bps", "bps-total", true, "Bytes a second"},
    {"bps-read", "bps-read", true, "Bytes read a second"},
    {"bps-write", "bps-write", true, "Bytes written a second"},
    {"burst-iops", "iops-total-max", false, "Operations a second in a burst"},
    {"burst-iops-read", "iops-read-max", false, "Reads a second in a burst"},
    {"burst-iops-write", "iops-write-max", false, "Writes a second in a burst"},
    {"burst-bps", "bps-total-max", true, "Bytes a second in a burst"},
    {"burst-bps-read", "bps-read-max", true, "Bytes read a second in a burst"},
    {"burst-bps-write", "bps-write-max", true, "Bytes written a second in a burst"},
    {"iops-size", "iops-size", true, "Longer requests count as several operations"},
};

struct ThrottleArguments {
  TargetOptions target;
  OutputFormat output;
  std::array<std::string, std::size(kLimits)> words;
  std::optional<uint64_t> burst_seconds;
  bool off = false;
};

// A throttle filter of a disk, and the group that it is in.
struct Throttle {
  std::string node;
  std::string group;
  json limits;
  size_t members = 0;  // of the group
};

absl::StatusOr<json> wanted_limits(const ThrottleArguments& arguments) {
  json limits = json::object();
  for (size_t i = 0; i < arguments.words.size(); ++i) {
    const std::string& word = arguments.words[i];
    if (word.empty()) continue;
    const bool is_plain =
        std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
    const std::optional<uint64_t> value = parse_byte_size(word);
    if (!value || *value > INT64_MAX || (!kLimits[i].is_size && !is_plain)) {
      return errno_message(EINVAL, std::string("--") + kLimits[i].name + " takes a number" +
                                       (kLimits[i].is_size ? " of bytes" : "") + ", not '" +
                                       printable_text(word, kLongestQuote) + "'");
    }
    limits[kLimits[i].key] = *value;
  }
  bool has_burst = false;
  for (const LimitOption& option : kLimits) {
    const std::string key = option.key;
    if (!key.ends_with("-max") || !limits.contains(key)) continue;
    // What is no burst any more has no length either.
    const bool is_burst = limits[key] != 0;
    if (!is_burst || arguments.burst_seconds) {
      limits[key + "-length"] = is_burst ? *arguments.burst_seconds : 1;
    }
    has_burst = has_burst || is_burst;
  }
  if (!arguments.burst_seconds) return limits;
  if (has_burst) return limits;
  return errno_message(EINVAL,
                       "--burst-seconds says how long a burst may last: give a burst too, "
                       "such as --burst-iops");
}

// The throttle filters above the target's image.
absl::StatusOr<std::vector<Throttle>> find_throttles(Target& target) {
  const auto groups = target.server.client.execute("x-penstock-query-throttle", json::object());
  if (!groups.ok()) return groups.status();
  std::vector<Throttle> throttles;
  for (const NodeView* filter : target.server.view.filters_at(target.node)) {
    if (filter->driver != "throttle") continue;
    for (const json& group : *groups) {
      const std::vector<std::string> nodes = texts_field(group, "nodes");
      if (std::find(nodes.begin(), nodes.end(), filter->name) == nodes.end()) continue;
      throttles.push_back({.node = filter->name,
                           .group = text_field(group, "id"),
                           .limits = group.value("limits", json::object()),
                           .members = nodes.size()});
    }
  }
  return throttles;
}

std::string limit_text(const json& limits, const LimitOption& option) {
  const uint64_t value = number_field(limits, option.key);
  if (value == 0) return "";
  std::string text = std::string(option.name) + " ";
  text += option.is_size ? readable_size(value) : std::to_string(value);
  const uint64_t seconds = number_field(limits, (std::string(option.key) + "-length").c_str());
  if (std::string_view(option.name).starts_with("burst") && seconds != 0) {
    text += " for " + std::to_string(seconds) + " s";
  }
  return text;
}

int show(const std::vector<Throttle>& throttles, bool as_json) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Throttle& throttle : throttles) {
    if (as_json) {
      list.push_back({{"node-name", throttle.node},
                      {"throttle-group", throttle.group},
                      {"limits", throttle.limits}});
      continue;
    }
    std::string text;
    for (const LimitOption& option : kLimits) {
      const std::string limit = limit_text(throttle.limits, option);
      if (!limit.empty()) text += (text.empty() ? "" : ", ") + limit;
    }
    std::printf("%s (group %s): %s\n", printable_text(throttle.node).c_str(),
                printable_text(throttle.group).c_str(), text.empty() ? "no limits" : text.c_str());
  }
  if (as_json) {
    std::fputs(json_text(list).c_str(), stdout);
  } else if (throttles.empty()) {
    std::puts("no limits");
  }
  return kDone;
}

// An id that no object of this kind has.
absl::StatusOr<std::string> free_group_id(QmpClient& client) {
  const auto groups = client.execute("x-penstock-query-throttle", json::object());
  if (!groups.ok()) return groups.status();
  for (size_t number = 0;; ++number) {
    std::string id = std::string(kOurs) + std::to_string(number);
    const bool taken = std::any_of(groups->begin(), groups->end(), [&](const json& group) {
      return text_field(group, "id") == id;
    });
    if (!taken) return id;
  }
}

absl::Status insert_throttle(Target& target, const json& limits) {
  QmpClient& client = target.server.client;
  const absl::StatusOr<std::string> group = free_group_id(client);
  if (!group.ok()) return group.status();
  const auto made = client.execute(
      "object-add", {{"qom-type", "throttle-group"}, {"id", *group}, {"limits", limits}});
  if (!made.ok()) return made.status();
  const auto inserted =
      client.execute("x-penstock-insert-filter",
                     {{"node-name", target.node},
                      {"filter", {{"driver", "throttle"}, {"throttle-group", *group}}}});
  if (!inserted.ok()) client.execute("object-del", {{"id", *group}}).IgnoreError();
  return inserted.status();
}

absl::Status set_limits(Target& target, const std::vector<Throttle>& throttles,
                        const json& limits) {
  if (throttles.empty()) return insert_throttle(target, limits);
  if (throttles.size() > 1) {
    return errno_message(EINVAL,
                         "it has several throttle filters: change the limits of one "
                         "group with 'penstock qmp ... qom-set'");
  }
  return target.server.client
      .execute("qom-set", {{"path", "/objects/" + throttles.front().group},
                           {"property", "limits"},
                           {"value", limits}})
      .status();
}

absl::Status remove_throttles(Target& target, const std::vector<Throttle>& throttles) {
  for (const Throttle& throttle : throttles) {
    QmpClient& client = target.server.client;
    const auto removed = client.execute("x-penstock-remove-filter", {{"node-name", throttle.node}});
    if (!removed.ok()) return removed.status();
    if (!throttle.group.starts_with(kOurs) || throttle.members != 1) continue;
    const auto gone = client.execute("object-del", {{"id", throttle.group}});
    if (!gone.ok()) return gone.status();
  }
  return absl::OkStatus();
}

int run(const ThrottleArguments& arguments) {
  const absl::StatusOr<json> limits = wanted_limits(arguments);
  if (!limits.ok() || (arguments.off && !limits->empty())) {
    print_error((limits.ok() ? "--off takes all limits away: leave the others out"
                             : status_text(limits.status())) +
                "; see 'penstock throttle --help'");
    return kUsage;
  }
  absl::StatusOr<Target> target = find_target(arguments.target);
  if (!target.ok()) return report(target.status());
  const absl::StatusOr<std::vector<Throttle>> throttles = find_throttles(*target);
  if (!throttles.ok()) return report(throttles.status());
  if (arguments.off) {
    return report(
        annotate(remove_throttles(*target, *throttles), target->name + " keeps its limits"));
  }
  if (limits->empty()) return show(*throttles, arguments.output.is_json());
  return report(
      annotate(set_limits(*target, *throttles, *limits), target->name + " keeps its limits"));
}

}  // namespace

void add_throttle_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<ThrottleArguments>();
  CLI::App& command = *program.add_subcommand("throttle", "Limit how fast a disk is");
  command.footer(kFooter);
  arguments->target.add_to(command);
  for (size_t i = 0; i < std::size(kLimits); ++i) {
    command.add_option(std::string("--") + kLimits[i].name, arguments->words[i], kLimits[i].help)
        ->type_name(kLimits[i].is_size ? "SIZE" : "N");
  }
  command
      .add_option("--burst-seconds", arguments->burst_seconds,
                  "How long the bursts given with it may last (default: 1)")
      ->type_name("N");
  command.add_flag("--off", arguments->off, "Take all limits away");
  arguments->output.add_to(command);
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
