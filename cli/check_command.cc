// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "cli/chain_options.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/output_format.h"
#include "control/image_checker.h"

namespace penstock {
namespace {

// qemu-img's.
constexpr int kCorruptions = 2;
constexpr int kLeaks = 3;
constexpr int kNoCheck = 63;

constexpr char kFooter[] = R"(
JSON keys and exit status are those of 'qemu-img check'. What is wrong is told on stderr.

Exit status: 0 no errors; 1 the image could not be opened, or not be checked as a whole, or
wrong usage; 2 corruptions; 3 leaked clusters only; 63 the format has no metadata to check.)";

struct CheckArguments {
  MountPlan plan;
  ChainArguments chain;
  OutputFormat output;
  bool quiet = false;
};

void print_messages(const ImageCheck& check) {
  for (const std::string& message : check.messages) print_error(message);
  if (check.messages_left_out != 0) {
    print_error("and " + std::to_string(check.messages_left_out) + " more like these");
  }
}

int run(CheckArguments& arguments) {
  if (const auto read = arguments.chain.read_into(arguments.plan.chain); !read.ok()) {
    return report(read);
  }
  const absl::StatusOr<CheckedImage> image = check_image(arguments.plan);
  if (!image.ok()) return report(image.status());
  if (!image->has_check) {
    print_error(image->filename + ": images of the format '" + image->format +
                "' have no metadata to check");
    return kNoCheck;
  }
  const ImageCheck& check = image->check;
  print_messages(check);
  if (arguments.output.is_json()) {
    std::fputs(image_check_json(*image).c_str(), stdout);
  } else if (!arguments.quiet) {
    std::fputs(image_check_text(*image).c_str(), stdout);
  }
  if (check.check_errors != 0) {
    print_error(image->filename + " could not be checked as a whole; the counts are incomplete");
    return kFailed;
  }
  if (check.corruptions != 0) return kCorruptions;
  return check.leaks != 0 ? kLeaks : kDone;
}

}  // namespace

void add_check_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<CheckArguments>();
  CLI::App& command =
      *program.add_subcommand("check", "Look for errors in an image's metadata, changing nothing");
  command.footer(kFooter);
  command.add_option("IMAGE", arguments->plan.image, "The disk image")->required();
  command.add_option("-f,--format", arguments->plan.format,
                     "The image's format (default: found by its header)");
  command.add_flag("-U,--force-share", arguments->plan.force_share,
                   "Also while another program is writing the image");
  command.add_flag("-q,--quiet", arguments->quiet, "Print errors only");
  arguments->chain.add_to(command);
  arguments->output.add_to(command);
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
