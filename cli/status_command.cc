// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/disk_status.h"
#include "cli/exit_status.h"
#include "cli/interrupt.h"
#include "cli/output_format.h"
#include "cli/target_options.h"
#include "cli/terminal.h"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
TARGET is a mount point, an image, the id of an export or the name of a node; without it all disks
are shown. Requests are those of the disk's users since it was mounted. With --watch there are also
rates, the mean latency and the latency that 99 % of the requests took at most, between two looks;
it ends at Ctrl-C, or when TARGET has gone. The first look has no rates. JSON is a list of objects,
with --watch one list a line; "stats" has the keys of query-blockstats.

Examples:
  penstock status
  penstock status --watch=5 ~/mnt

Exit status: 0 done, also if nothing is served; 1 no server has TARGET, or a server cannot be asked;
2 wrong usage.)";

constexpr double kShortestInterval = 0.1;  // seconds
constexpr double kLongestInterval = 3600;

struct StatusArguments {
  TargetOptions target;
  OutputFormat output;
  std::string watch;  // empty: look once
};

using DiskKey = std::pair<std::string, std::string>;  // socket, export
DiskKey key_of(const DiskStatus& disk) { return {disk.socket, disk.shown.id}; }

// One look at everything that is wanted.
struct Look {
  std::vector<Server> servers;
  std::vector<DiskStatus> disks;
  std::vector<absl::Status> failures;
};

absl::StatusOr<Look> look(const TargetWords& words) {
  Look result;
  result.servers = connect_servers(words, &result.failures);
  if (result.servers.empty()) {
    if (!result.failures.empty()) return result.failures.front();
    if (words.target.empty()) return result;
  }
  const absl::StatusOr<std::vector<Place>> places = find_places(result.servers, words.target);
  if (!places.ok()) return places.status();
  // Another server's trouble is not the target's.
  if (!words.target.empty()) result.failures.clear();
  for (Server& server : result.servers) {
    std::vector<std::string> ids;
    for (const Place& place : *places) {
      if (place.server == &server && !place.export_id.empty()) ids.push_back(place.export_id);
    }
    absl::StatusOr<std::vector<DiskStatus>> disks = read_disk_status(server, ids);
    if (!disks.ok()) {
      // Of those that were found by themselves, one that just ends is no news.
      const bool has_gone = status_errno(disks.status()) == ESHUTDOWN;
      if (!has_gone || !words.target.empty() || !words.socket.empty()) {
        result.failures.push_back(disks.status());
      }
      continue;
    }
    for (DiskStatus& disk : *disks) result.disks.push_back(std::move(disk));
  }
  if (result.disks.empty() && !words.target.empty() && result.failures.empty()) {
    return errno_message(
        ENOENT, "'" + words.target + "' is a node and no mounted disk: 'penstock graph' shows it");
  }
  return result;
}

// Histograms of the disks that have none, for as long as somebody watches.
class Histograms {
 public:
  void begin(Look& look) {
    for (const DiskStatus& disk : look.disks) {
      if (disk.device.empty() || disk.counters[0].latencies || disk.counters[1].latencies) continue;
      const auto set = client_of(look, disk)
                           .execute("block-latency-histogram-set",
                                    {{"id", disk.device}, {"boundaries", latency_boundaries()}});
      if (set.ok()) ours_[key_of(disk)] = disk.device;
    }
  }
  // Those that are still as we made them go.
  void end(const TargetWords& words) {
    if (ours_.empty()) return;
    absl::StatusOr<Look> last = look(words);
    if (!last.ok()) return;
    for (const DiskStatus& disk : last->disks) {
      const auto& latencies = disk.counters[0].latencies;
      if (ours_.count(key_of(disk)) == 0 || !latencies ||
          latencies->boundaries != latency_boundaries()) {
        continue;
      }
      // A failure leaves a histogram behind that costs next to nothing.
      client_of(*last, disk)
          .execute("block-latency-histogram-set", {{"id", disk.device}})
          .IgnoreError();
    }
  }

 private:
  static QmpClient& client_of(Look& look, const DiskStatus& disk) {
    for (Server& server : look.servers) {
      if (server.client.path() == disk.socket) return server.client;
    }
    return look.servers.front().client;
  }

  std::map<DiskKey, std::string> ours_;
};

std::string text_of(const Look& now, const std::map<DiskKey, DiskStatus>& before) {
  std::string text;
  for (const DiskStatus& disk : now.disks) {
    const auto old = before.find(key_of(disk));
    const auto rates = old == before.end() ? std::nullopt : rates_between(old->second, disk);
    text += (text.empty() ? "" : "\n") + disk_status_text(disk, rates);
  }
  return text.empty() ? "no disk is mounted\n" : text;
}

nlohmann::ordered_json json_of(const Look& now, const std::map<DiskKey, DiskStatus>& before) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const DiskStatus& disk : now.disks) {
    const auto old = before.find(key_of(disk));
    const auto rates = old == before.end() ? std::nullopt : rates_between(old->second, disk);
    list.push_back(disk_status_json(disk, rates));
  }
  return list;
}

std::string dumped(const nlohmann::ordered_json& list, int indent) {
  return list.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int look_once(const StatusArguments& arguments) {
  const absl::StatusOr<Look> now = look(arguments.target);
  if (!now.ok()) return report(now.status());
  std::fputs(
      arguments.output.is_json() ? dumped(json_of(*now, {}), 4).c_str() : text_of(*now, {}).c_str(),
      stdout);
  for (const absl::Status& failure : now->failures) report(failure);
  return now->failures.empty() ? kDone : kFailed;
}

// Seconds; nothing if the word is no number, or none that makes sense.
std::optional<double> parse_interval(const std::string& word) {
  double seconds = 0;
  const auto [rest, error] = std::from_chars(word.data(), word.data() + word.size(), seconds);
  if (error != std::errc() || rest != word.data() + word.size()) return std::nullopt;
  if (!(seconds >= kShortestInterval && seconds <= kLongestInterval)) return std::nullopt;
  return seconds;
}

int watch(const StatusArguments& arguments, double seconds) {
  const Interrupt interrupt;
  const std::chrono::milliseconds interval(std::lround(seconds * 1000));
  Redrawn screen(STDOUT_FILENO);
  Histograms histograms;
  std::map<DiskKey, DiskStatus> before;
  absl::Status end;
  do {
    absl::StatusOr<Look> now = look(arguments.target);
    if (!now.ok()) {
      end = now.status();
    } else if (now->disks.empty() && !now->failures.empty()) {
      end = now->failures.front();
    }
    if (!end.ok()) break;
    if (arguments.output.is_json()) {
      std::fputs(dumped(json_of(*now, before), -1).c_str(), stdout);
      std::fflush(stdout);
    } else {
      screen.show(text_of(*now, before));
    }
    if (std::ferror(stdout) != 0) break;  // nobody reads any more
    histograms.begin(*now);
    before.clear();
    for (DiskStatus& disk : now->disks) {
      const DiskKey key = key_of(disk);
      before.emplace(key, std::move(disk));
    }
  } while (interrupt.sleep_for(interval));
  histograms.end(arguments.target);
  return report(end);
}

int run(const StatusArguments& arguments) {
  if (arguments.watch.empty()) return look_once(arguments);
  const std::optional<double> seconds = parse_interval(arguments.watch);
  if (seconds) return watch(arguments, *seconds);
  print_error("--watch takes seconds, 0.1 to 3600: see 'penstock status --help'");
  return kUsage;
}

}  // namespace

void add_status_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<StatusArguments>();
  CLI::App& command = *program.add_subcommand("status", "Show what mounted disks do");
  command.footer(kFooter);
  arguments->target.add_to(command);
  // A word, as the library takes no fractions here.
  command.add_flag("--watch{1}", arguments->watch,
                   "Look again each second, or each --watch=SECONDS");
  arguments->output.add_to(command);
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
