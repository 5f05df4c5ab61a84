// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/output_format.h"
#include "control/image_info.h"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
Output and JSON keys are those of 'qemu-img info'.

Exit status: 0, 1 the image cannot be opened, 2 wrong usage.)";

struct InfoArguments {
  std::string image;
  std::string format;
  bool force_share = false;
  OutputFormat output;
};

int run(const InfoArguments& arguments) {
  const absl::StatusOr<ImageInfo> info =
      read_image_info(arguments.image, arguments.format, arguments.force_share);
  if (!info.ok()) return report(info.status());
  std::fputs(
      arguments.output.is_json() ? image_info_json(*info).c_str() : image_info_text(*info).c_str(),
      stdout);
  return kDone;
}

}  // namespace

void add_info_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<InfoArguments>();
  CLI::App& command = *program.add_subcommand("info", "Show an image's format and sizes");
  command.footer(kFooter);
  command.add_option("IMAGE", arguments->image, "The disk image")->required();
  command.add_option("-f,--format", arguments->format,
                     "The image's format (default: found by its header)");
  command.add_flag("-U,--force-share", arguments->force_share,
                   "Also while another program is writing the image");
  arguments->output.add_to(command);
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
