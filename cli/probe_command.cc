// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "base/status.h"
#include "base/unique_fd.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "control/partition_table.h"
#include "iothreads/sanitizers.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

constexpr rlim_t kMaxMemory = 256 << 20;  // bytes of address space
constexpr rlim_t kMaxCpu = 5;             // seconds

struct ProbeArguments {
  std::string path;
  uint32_t sector_size = 0;
};

absl::Status limit(int resource, rlim_t most) {
  const rlimit limits = {most, most};
  if (::setrlimit(resource, &limits) != 0) return errno_status(errno, "cannot limit resources");
  return absl::OkStatus();
}

// The bytes that are about to be parsed may have been made to take this process over, or to keep it
// busy.
absl::Status limit_this_process() {
  absl::Status status = limit(RLIMIT_CORE, 0);
  status.Update(limit(RLIMIT_CPU, kMaxCpu));
#if !defined(PENSTOCK_ASAN) && !defined(PENSTOCK_TSAN)
  // Sanitizers map terabytes.
  status.Update(limit(RLIMIT_AS, kMaxMemory));
#endif
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    status.Update(errno_status(errno, "cannot give up new rights"));
  }
  return status;
}

absl::Status run(const ProbeArguments& arguments) {
  // Who asks what keeps the mount busy shall not read "exe".
  ::prctl(PR_SET_NAME, "penstock-probe");
  const UniqueFd fd(::open(arguments.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return errno_status(errno, "cannot open '" + arguments.path + "'");
  if (absl::Status status = limit_this_process(); !status.ok()) return status;
  const absl::StatusOr<PartitionTable> table = probe_partitions(fd.get(), arguments.sector_size);
  if (!table.ok()) return table.status();
  std::puts(partition_table_to_json(*table).dump().c_str());
  return absl::OkStatus();
}

}  // namespace

void add_probe_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<ProbeArguments>();
  CLI::App& command =
      *program.add_subcommand("probe-partitions", "What a mount runs to look for partitions");
  command.group("");  // not in the help: it is not for people
  command.add_option("PATH", arguments->path)->required();
  command.add_option("--sector-size", arguments->sector_size)->check(CLI::IsMember({0, 512, 4096}));
  command.callback([arguments, &exit_status] { exit_status = report(run(*arguments)); });
}

}  // namespace penstock
