// SPDX-License-Identifier: Apache-2.0
#include "cli/mount_options.h"

#include <cerrno>
#include <charconv>
#include <string_view>
#include <vector>

#include "base/absolute_path.h"
#include "base/byte_range.h"
#include "base/status.h"
#include "cli/chain_options.h"

namespace penstock {
namespace {

constexpr char kKnownOptions[] =
    "ro, rw, allow_other, cache, direct, growable, no-partitions, allow-path=DIR, backing=OLD=NEW,"
    " fault=RULE, fsname=NAME, gid=N, mode=OCTAL, offset=BYTES, qmp=PATH, search-path=DIR,"
    " sector-size=BYTES, size=BYTES, snapshot=NAME, subtype=penstock, uid=N";

std::optional<uint64_t> parse_number(std::string_view text, int base) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc() || rest != end || text.empty()) return std::nullopt;
  return number;
}

std::vector<std::string> split_at_commas(const std::string& list) {
  std::vector<std::string> words(1);
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i] == ',') {
      words.emplace_back();
    } else if (list[i] == '\\' && i + 1 < list.size() && list[i + 1] == ',') {
      words.back() += list[++i];
    } else {
      words.back() += list[i];
    }
  }
  return words;
}

absl::Status refuse(const std::string& option, const std::string& takes) {
  return errno_message(EINVAL, "-o " + option + ": takes " + takes);
}

absl::Status apply_flag(const std::string& word, MountPlan& plan, AccessWords& access) {
  if (word == "ro") {
    access.read_only = true;
  } else if (word == "rw") {
    access.writable = true;
  } else if (word == "allow_other") {
    plan.allow_other = true;
  } else if (word == "cache") {
    plan.cached = true;
  } else if (word == "direct") {
    plan.direct = true;
  } else if (word == "growable") {
    plan.growable = true;
  } else if (word == "no-partitions") {
    plan.partitions = false;
  } else {
    return errno_message(EINVAL,
                         "-o " + word + ": there is no such option; there are " + kKnownOptions);
  }
  return absl::OkStatus();
}

absl::Status apply_setting(const std::string& key, const std::string& value, MountPlan& plan) {
  const std::string option = key + "=" + value;
  if (key == "uid" || key == "gid") {
    const std::optional<uint64_t> id = parse_number(value, 10);
    if (!id || *id >= UINT32_MAX) return refuse(option, "the number of a user or group");
    (key == "uid" ? plan.uid : plan.gid) = static_cast<uint32_t>(*id);
  } else if (key == "mode") {
    const std::optional<uint64_t> mode = parse_number(value, 8);
    if (!mode || *mode > 0777) return refuse(option, "octal permissions up to 777");
    plan.mode = static_cast<mode_t>(*mode);
  } else if (key == "offset" || key == "size") {
    const std::optional<uint64_t> bytes = parse_byte_size(value);
    if (!bytes) return refuse(option, "a number of bytes, with K, M, G or T if need be");
    (key == "offset" ? plan.raw_offset : plan.raw_size) = *bytes;
  } else if (key == "fsname") {
    if (value.empty()) return refuse(option, "a name");
    plan.fsname = value;
  } else if (key == "sector-size") {
    const std::optional<uint64_t> bytes = parse_byte_size(value);
    if (bytes != 512 && bytes != 4096) return refuse(option, "512 or 4096");
    plan.sector_size = static_cast<uint32_t>(*bytes);
  } else if (key == "snapshot") {
    if (value.empty()) return refuse(option, "the name or the id of a snapshot");
    plan.snapshot = value;
  } else if (key == "backing") {
    return add_moved_image(value, plan.chain);
  } else if (key == "search-path") {
    return add_search_directory(value, plan.chain);
  } else if (key == "allow-path") {
    return add_allowed_directory(value, plan.chain);
  } else if (key == "fault") {
    plan.fault_rules.push_back(value);
  } else if (key == "qmp") {
    if (value.empty()) return refuse(option, "the path of a socket, or 'none'");
    return set_command_socket(value, plan);
  } else if (key == "subtype") {
    if (value != "penstock") return refuse(option, "penstock and nothing else");
  } else {
    return errno_message(EINVAL,
                         "-o " + option + ": there is no such option; there are " + kKnownOptions);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status apply_mount_options(const std::string& list, MountPlan& plan, AccessWords& access) {
  for (const std::string& word : split_at_commas(list)) {
    if (word.empty()) continue;
    const size_t equals = word.find('=');
    const absl::Status status =
        equals == std::string::npos
            ? apply_flag(word, plan, access)
            : apply_setting(word.substr(0, equals), word.substr(equals + 1), plan);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status set_command_socket(const std::string& word, MountPlan& plan) {
  plan.takes_commands = word != "none";
  plan.socket.clear();
  if (!plan.takes_commands) return absl::OkStatus();
  absl::StatusOr<std::string> path = absolute_path(word);
  if (!path.ok()) return path.status();
  plan.socket = *std::move(path);
  return absl::OkStatus();
}

std::optional<uint64_t> parse_byte_size(const std::string& text) {
  static constexpr std::string_view kUnits = "KMGT";
  if (text.empty()) return std::nullopt;
  std::string_view digits = text;
  uint64_t unit = 1;
  const char last = text.back() >= 'a' ? static_cast<char>(text.back() - 'a' + 'A') : text.back();
  if (const size_t power = kUnits.find(last); power != std::string_view::npos) {
    unit = uint64_t{1} << (10 * (power + 1));
    digits.remove_suffix(1);
  }
  const std::optional<uint64_t> number = parse_number(digits, 10);
  if (!number) return std::nullopt;
  return checked_multiply(*number, unit);
}

}  // namespace penstock
