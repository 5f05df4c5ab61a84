// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/status.h"
#include "cli/chain_options.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/output_format.h"
#include "control/image_info.h"
#include "control/image_info_text.h"

namespace penstock {
namespace {

constexpr char kFooter[] = R"(
Without --chain the files that the image names need not be there. Output and JSON keys are
those of 'qemu-img info'.

Exit status: 0, 1 the image cannot be opened, 2 wrong usage.)";

struct InfoArguments {
  MountPlan plan;
  ChainArguments chain;
  bool whole_chain = false;
  OutputFormat output;
};

std::string json_of(const std::vector<ImageInfo>& images, bool as_list) {
  if (!as_list) return json_text(image_info_json(images.front()));
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ImageInfo& info : images) list.push_back(image_info_json(info));
  return json_text(list);
}

int run(InfoArguments& arguments) {
  if (const auto status = arguments.chain.read_into(arguments.plan.chain); !status.ok()) {
    print_error(status_text(status));
    return kUsage;
  }
  const absl::StatusOr<std::vector<ImageInfo>> images =
      read_image_info(arguments.plan, arguments.whole_chain);
  if (!images.ok()) return report(images.status());
  const std::string text = arguments.output.is_json() ? json_of(*images, arguments.whole_chain)
                                                      : image_info_text(*images);
  std::fputs(text.c_str(), stdout);
  return kDone;
}

}  // namespace

void add_info_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<InfoArguments>();
  CLI::App& command = *program.add_subcommand("info", "Show an image's format and sizes");
  command.footer(kFooter);
  command.add_option("IMAGE", arguments->plan.image, "The disk image")->required();
  command.add_option("-f,--format", arguments->plan.format,
                     "The image's format (default: found by its header)");
  command.add_flag("-U,--force-share", arguments->plan.force_share,
                   "Also while another program is writing the image");
  command.add_flag("--chain,--backing-chain", arguments->whole_chain,
                   "Show the images below it, too");
  arguments->chain.add_to(command);
  arguments->output.add_to(command);
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
