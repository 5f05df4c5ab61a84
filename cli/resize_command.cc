// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "base/printable_text.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/mount_options.h"
#include "cli/target_options.h"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
TARGET is a mount point, an image, the id of an export or the name of a node. SIZE is in bytes, or
has a unit: K, M, G or T. +SIZE and -SIZE are differences. The image stays in use meanwhile.
Shrinking loses what is behind the new end: it needs --shrink.

Examples:
  penstock resize ~/mnt 20G
  penstock resize ~/mnt +512M

Exit status: 0 done, 1 it cannot be resized, 2 wrong usage.)";

struct ResizeArguments {
  TargetOptions target;
  std::string size;
  bool may_shrink = false;
};

struct SizeWord {
  char sign = '\0';  // '+' or '-' for a difference
  uint64_t bytes = 0;
};

std::optional<SizeWord> parse_size_word(const std::string& word) {
  SizeWord result;
  const bool has_sign = !word.empty() && (word.front() == '+' || word.front() == '-');
  if (has_sign) result.sign = word.front();
  const std::optional<uint64_t> bytes = parse_byte_size(word.substr(has_sign ? 1 : 0));
  if (!bytes) return std::nullopt;
  result.bytes = *bytes;
  return result;
}

absl::StatusOr<uint64_t> new_size(const Target& target, uint64_t old, const SizeWord& word) {
  uint64_t size = word.bytes;
  if (word.sign == '-') {
    if (word.bytes > old) {
      return errno_message(EINVAL, target.name + " has only " + std::to_string(old) +
                                       " bytes: it cannot lose " + std::to_string(word.bytes));
    }
    size = old - word.bytes;
  } else if (word.sign == '+') {
    if (word.bytes > INT64_MAX - old) {
      return errno_message(EFBIG, target.name + " cannot be so large: give a smaller SIZE");
    }
    size = old + word.bytes;
  }
  if (size > INT64_MAX) {
    return errno_message(EFBIG, target.name + " cannot be so large: give a smaller SIZE");
  }
  return size;
}

int run(const ResizeArguments& arguments) {
  const std::optional<SizeWord> word = parse_size_word(arguments.size);
  if (!word) {
    print_error("SIZE must be a number of bytes, such as 1073741824, 1G or +512M, not '" +
                printable_text(arguments.size, kLongestQuote) + "'; see 'penstock resize --help'");
    return kUsage;
  }
  absl::StatusOr<Target> target = find_target(arguments.target);
  if (!target.ok()) return report(target.status());
  const NodeView* const node = target->server.view.find_node(target->node);
  const uint64_t old = node == nullptr ? 0 : node->size;
  const absl::StatusOr<uint64_t> size = new_size(*target, old, *word);
  if (!size.ok()) return report(size.status());
  if (*size < old && !arguments.may_shrink) {
    return report(errno_message(
        EINVAL, target->name + " would shrink from " + std::to_string(old) + " to " +
                    std::to_string(*size) +
                    " bytes, and what is behind the new end would be lost: if that is meant, add "
                    "--shrink"));
  }
  const auto done =
      target->server.client.execute("block_resize", {{"node-name", target->node}, {"size", *size}});
  return report(annotate(done.status(), target->name + " cannot be resized"));
}

}  // namespace

void add_resize_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<ResizeArguments>();
  CLI::App& command = *program.add_subcommand("resize", "Change the size of a disk in use");
  command.footer(kFooter);
  arguments->target.add_to(command, TargetOptions::Presence::kRequired);
  command.add_option("SIZE", arguments->size, "The new size, or +SIZE or -SIZE more or less")
      ->required();
  command.add_flag("--shrink", arguments->may_shrink, "Let the disk lose its end");
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
