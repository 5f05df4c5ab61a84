// SPDX-License-Identifier: Apache-2.0
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "base/printable_text.h"
#include "base/status.h"
#include "cli/chain_options.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/mount_options.h"
#include "cli/output_format.h"
#include "control/image_map.h"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
JSON fields are those of 'qemu-img map'. The table shows data only; compressed data has no place
of its own in the file.

Exit status: 0, 1 the image cannot be opened or read, 2 wrong usage.)";

struct MapArguments {
  MountPlan plan;
  ChainArguments chain;
  MapRange range;
  OutputFormat output;
};

const char* word(bool value) { return value ? "true" : "false"; }

void print_json(const MapExtent& extent, bool is_first) {
  std::printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
              ", \"depth\": %u, \"present\": %s, \"zero\": %s, \"data\": %s, \"compressed\": %s",
              is_first ? "" : ",\n", extent.start, extent.length, extent.depth,
              word(extent.present), word(extent.zero), word(extent.data), word(extent.compressed));
  if (extent.offset) std::printf(", \"offset\": %" PRIu64, *extent.offset);
  std::printf("}");
}

void print_row(const MapExtent& extent) {
  if (!extent.data || extent.zero) return;
  std::printf("%#-16" PRIx64 "%#-16" PRIx64, extent.start, extent.length);
  if (extent.offset) {
    std::printf("%#-16" PRIx64 "%s\n", *extent.offset, printable_text(extent.file).c_str());
  } else {
    std::printf("%s\n", extent.compressed ? "compressed" : "unknown");
  }
}

int print_json_map(const MapArguments& arguments) {
  bool is_first = true;
  std::printf("[");
  const absl::Status status =
      map_image(arguments.plan, arguments.range, [&](const MapExtent& extent) {
        print_json(extent, is_first);
        is_first = false;
      });
  std::printf("]\n");
  return report(status);
}

int print_table(const MapArguments& arguments) {
  std::printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
  return report(map_image(arguments.plan, arguments.range, print_row));
}

int run(MapArguments& arguments) {
  if (const auto status = arguments.chain.read_into(arguments.plan.chain); !status.ok()) {
    print_error(status_text(status));
    return kUsage;
  }
  return arguments.output.is_json() ? print_json_map(arguments) : print_table(arguments);
}

// An option that takes bytes with units.
void add_size_option(CLI::App& command, const char* name, const char* meaning, uint64_t& bytes) {
  command
      .add_option_function<std::string>(
          name,
          [name, &bytes](const std::string& text) {
            const std::optional<uint64_t> parsed = parse_byte_size(text);
            if (!parsed) throw CLI::ValidationError(name, text + " is no number of bytes");
            bytes = *parsed;
          },
          meaning)
      ->type_name("BYTES");
}

}  // namespace

void add_map_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<MapArguments>();
  CLI::App& command = *program.add_subcommand("map", "Show where an image's data is");
  command.footer(kFooter);
  command.add_option("IMAGE", arguments->plan.image, "The disk image")->required();
  command.add_option("-f,--format", arguments->plan.format,
                     "The image's format (default: found by its header)");
  add_size_option(command, "-s,--start-offset", "Begin there", arguments->range.start);
  add_size_option(command, "-l,--max-length", "Look at so many bytes at most",
                  arguments->range.max_length);
  command.add_flag("-U,--force-share", arguments->plan.force_share,
                   "Also while another program is writing the image");
  arguments->chain.add_to(command);
  arguments->output.add_to(command);
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
