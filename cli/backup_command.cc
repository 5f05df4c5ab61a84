// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "CLI/CLI.hpp"
#include "base/absolute_path.h"
#include "base/printable_text.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/interrupt.h"
#include "cli/job_wait.h"
#include "cli/mount_options.h"
#include "cli/progress.h"
#include "cli/target_options.h"
#include "control/qmp/json_fields.h"

namespace penstock {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr char kFooter[] = R"(
TARGET is a mount point, an image, the id of an export or the name of a node. FILE becomes a raw
image of the disk as it is when the command begins, while the disk is in use. The server writes it.
Ctrl-C, or the end of the terminal, ends the backup and removes the unfinished file; one that was
there before, with --force, is then empty. With --detach the job's name is printed and
the job goes on by itself: 'penstock jobs' shows it, 'penstock jobs dismiss' closes FILE when it has
concluded. JSON progress has a line with description, transferred, size and elapsed for each look.

Examples:
  penstock backup ~/mnt /backups/disk.img
  penstock backup ~/mnt disk.img --speed 50M --progress=json

Exit status: 0 done, 1 failed or cancelled, 2 wrong usage.)";

struct BackupArguments {
  TargetOptions target;
  std::string file;
  std::string format = "raw";
  std::string speed;
  std::string progress = "auto";
  bool detach = false;
  bool force = false;
};

constexpr unsigned kMostTries = 100;  // of names that others take at the same moment

// The names that a backup has in its server: "backup0", "backup0-create", "backup0-target".
struct BackupNames {
  unsigned number = 0;
  std::string job() const { return "backup" + std::to_string(number); }
  std::string create_job() const { return job() + "-create"; }
  std::string target() const { return job() + "-target"; }
};

absl::StatusOr<BackupNames> free_names(Server& server) {
  const auto jobs = server.client.execute("query-jobs", json::object());
  if (!jobs.ok()) return jobs.status();
  for (BackupNames names;; ++names.number) {
    const bool is_taken = server.view.find_node(names.target()) != nullptr ||
                          std::any_of(jobs->begin(), jobs->end(), [&](const json& job) {
                            const std::string id = text_field(job, "id");
                            return id == names.job() || id == names.create_job();
                          });
    if (!is_taken) return names;
  }
}

// Another backup took the name since we looked.
bool is_clash(const absl::Status& status, const std::string& name) {
  const std::string text = status_text(status);
  return text.find("'" + name + "'") != std::string::npos &&
         text.find("already") != std::string::npos;
}

// A file, by what stays the same when another one gets its name.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

std::optional<FileIdentity> identity_of(const std::string& file) {
  struct stat facts = {};
  if (::lstat(file.c_str(), &facts) != 0) return std::nullopt;
  return FileIdentity{facts.st_dev, facts.st_ino};
}

// A disk that is copied into itself would wait for itself.
absl::Status refuse_own_disks(const std::string& file, const Server& server) {
  std::error_code error;
  const fs::path place = fs::weakly_canonical(file, error);
  if (error) return errno_status(error.value(), "'" + file + "'");
  for (const ExportView& each : server.view.exports) {
    const fs::path mount_point(each.mount_point);
    const auto [end, in_place] =
        std::mismatch(mount_point.begin(), mount_point.end(), place.begin(), place.end());
    if (end != mount_point.end()) continue;
    return errno_message(EINVAL, "'" + file + "' is in '" + each.mount_point +
                                     "', a disk of the same server: name a file elsewhere");
  }
  return absl::OkStatus();
}

// True if something has the name, and may be overwritten.
absl::StatusOr<bool> is_there(const std::string& file, bool overwrite) {
  if (!identity_of(file)) {
    if (errno == ENOENT) return false;
    return errno_status(errno, "'" + file + "'");
  }
  struct stat facts = {};
  if (::stat(file.c_str(), &facts) != 0) return errno_status(errno, "'" + file + "'");
  if (!S_ISREG(facts.st_mode)) {
    return errno_message(EINVAL, "'" + file + "' is no regular file: name another one");
  }
  if (overwrite) return true;
  return errno_message(EEXIST,
                       "'" + file + "' is there already: name another file, or add --force");
}

// One backup, and what is to be taken back if it fails.
class Backup {
 public:
  Backup(QmpClient& client, BackupNames names, std::string file)
      : client_(client), names_(names), file_(std::move(file)) {}

  absl::Status begin(const Target& target, uint64_t speed, bool overwrite,
                     const Interrupt& interrupt) {
    const absl::StatusOr<bool> there = is_there(file_, overwrite);
    if (!there.ok()) return there.status();
    const NodeView* const node = target.server.view.find_node(target.node);
    absl::Status status = create(node == nullptr ? 0 : node->size, !*there, interrupt);
    if (!status.ok()) return status;
    for (unsigned tries = 0;; ++tries, ++names_.number) {
      status = open();
      bool clashes = is_clash(status, names_.target());
      if (status.ok()) {
        status = start(target.node, speed);
        clashes = is_clash(status, names_.job());
      }
      if (!clashes || tries == kMostTries) return status;
      if (absl::Status closed = close(); !closed.ok()) return closed;
    }
  }

  absl::Status wait(const Interrupt& interrupt, Progress& progress) {
    const absl::Status result =
        wait_for_job(client_, names_.job(), interrupt,
                     [&](const JobFacts& job) { return progress.show(job.current, job.total); });
    const auto dismissed = client_.execute("job-dismiss", {{"id", names_.job()}});
    return result.ok() ? dismissed.status() : result;
  }

  // Closes the file; its last error counts.
  absl::Status close() {
    if (!is_open_) return absl::OkStatus();
    is_open_ = false;
    return client_.execute("blockdev-del", {{"node-name", names_.target()}}).status();
  }

  // Nothing is left of a backup that failed. Tells what became of the file.
  std::string take_back() {
    close().IgnoreError();
    if (is_emptied_) {
      return ::truncate(file_.c_str(), 0) == 0 ? "; the file was emptied"
                                               : "; the file holds an unfinished copy";
    }
    if (!made_ || identity_of(file_) != made_) return "";
    return ::unlink(file_.c_str()) == 0 ? "; the unfinished file was removed"
                                        : "; the unfinished file could not be removed";
  }

  std::string job() const { return names_.job(); }

 private:
  absl::Status create(uint64_t size, bool exclusive, const Interrupt& interrupt) {
    const json options = {
        {"driver", "file"}, {"filename", file_}, {"size", size}, {"exclusive", exclusive}};
    absl::Status started;
    for (unsigned tries = 0; tries <= kMostTries; ++tries, ++names_.number) {
      started =
          client_
              .execute("blockdev-create", {{"job-id", names_.create_job()}, {"options", options}})
              .status();
      if (!is_clash(started, names_.create_job())) break;
    }
    if (!started.ok()) return started;
    const absl::Status result =
        wait_for_job(client_, names_.create_job(), interrupt, [](const JobFacts&) { return true; });
    // A list with one job too many does no harm.
    client_.execute("job-dismiss", {{"id", names_.create_job()}}).IgnoreError();
    if (!result.ok()) return result;
    if (exclusive) made_ = identity_of(file_);
    is_emptied_ = !exclusive;
    return result;
  }

  // Holes stay holes: the file was just made, and zeroes give the space back.
  absl::Status open() {
    const auto added = client_.execute("blockdev-add", {{"driver", "file"},
                                                        {"node-name", names_.target()},
                                                        {"filename", file_},
                                                        {"discard", "unmap"}});
    is_open_ = added.ok();
    return added.status();
  }

  absl::Status start(const std::string& node, uint64_t speed) {
    json arguments = {{"job-id", names_.job()},
                      {"device", node},
                      {"target", names_.target()},
                      {"sync", "full"},
                      {"auto-dismiss", false}};
    if (speed != 0) arguments["speed"] = speed;
    return client_.execute("blockdev-backup", arguments).status();
  }

  QmpClient& client_;
  BackupNames names_;
  const std::string file_;
  std::optional<FileIdentity> made_;  // the file that was made for this backup
  bool is_emptied_ = false;           // the file was there: its contents went for this backup
  bool is_open_ = false;
};

absl::Status run_backup(const BackupArguments& arguments, uint64_t speed) {
  const absl::StatusOr<std::string> file = absolute_path(arguments.file);
  if (!file.ok()) return annotate(file.status(), "FILE");
  absl::StatusOr<Target> target = find_target(arguments.target);
  if (!target.ok()) return target.status();
  if (absl::Status status = refuse_own_disks(*file, target->server); !status.ok()) return status;
  const absl::StatusOr<BackupNames> names = free_names(target->server);
  if (!names.ok()) return names.status();

  const Interrupt interrupt;
  Backup backup(target->server.client, *names, *file);
  absl::Status status = backup.begin(*target, speed, arguments.force, interrupt);
  if (status.ok() && arguments.detach) {
    std::puts(backup.job().c_str());
    return status;
  }
  if (status.ok()) {
    Progress progress(arguments.progress, "backup of " + target->name);
    status = backup.wait(interrupt, progress);
  }
  if (status.ok()) status = backup.close();
  if (status.ok()) return status;
  const std::string text =
      "no backup of " + target->name + " in '" + *file + "': " + status_text(status);
  return errno_message(status_errno(status), text + backup.take_back());
}

int run(const BackupArguments& arguments) {
  uint64_t speed = 0;
  if (!arguments.speed.empty()) {
    const std::optional<uint64_t> bytes = parse_byte_size(arguments.speed);
    if (!bytes || *bytes > INT64_MAX) {
      print_error("--speed takes bytes a second, such as 50M, not '" +
                  printable_text(arguments.speed, kLongestQuote) +
                  "'; see 'penstock backup --help'");
      return kUsage;
    }
    speed = *bytes;
  }
  return report(run_backup(arguments, speed));
}

}  // namespace

void add_backup_command(CLI::App& program, int& exit_status) {
  const auto arguments = std::make_shared<BackupArguments>();
  CLI::App& command = *program.add_subcommand("backup", "Copy a disk in use, as it is now");
  command.footer(kFooter);
  arguments->target.add_to(command, TargetOptions::Presence::kRequired);
  command.add_option("FILE", arguments->file, "The new image")->required();
  command.add_option("--format", arguments->format, "The format of FILE")
      ->check(CLI::IsMember({"raw"}))
      ->capture_default_str();
  command.add_option("--speed", arguments->speed, "Copy at most so many bytes a second")
      ->type_name("SIZE");
  command
      .add_option("--progress", arguments->progress,
                  "auto: a bar on a terminal; json: lines on the standard output; none")
      ->check(CLI::IsMember({"auto", "json", "none"}))
      ->capture_default_str();
  command.add_flag("--detach", arguments->detach, "Return when the job runs");
  command.add_flag("--force", arguments->force, "Also if FILE is there: it is overwritten");
  command.callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace penstock
