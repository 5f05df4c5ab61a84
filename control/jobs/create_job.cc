// SPDX-License-Identifier: Apache-2.0
#include "control/jobs/create_job.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/printable_text.h"
#include "base/status.h"
#include "control/daemon_state.h"
#include "control/jobs/job_arguments.h"
#include "drivers/file/image_locks.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

using Json = nlohmann::json;
using Preallocation = CreateOptions::Preallocation;

constexpr mode_t kMode = 0644;
constexpr uint64_t kPiece = uint64_t{16} << 20;
constexpr size_t kZeroes = size_t{1} << 20;

std::string quoted(const std::string& path) { return "'" + printable_text(path) + "'"; }

absl::StatusOr<Preallocation> read_preallocation(const Json& options) {
  const auto given = options.find("preallocation");
  if (given == options.end() || *given == "off") return Preallocation::kOff;
  if (*given == "falloc") return Preallocation::kFalloc;
  if (*given == "full") return Preallocation::kFull;
  return errno_message(EINVAL,
                       "Parameter 'preallocation' of a file is 'off', 'falloc' or 'full', not " +
                           printable_text(given->dump(), kLongestQuote));
}

// Empties the file, if nobody uses it, and gives it its size.
absl::Status lay_out(int fd, const std::string& path, uint64_t size) BLOCKING_CODE;
absl::Status lay_out(int fd, const std::string& path, uint64_t size) {
  struct stat facts = {};
  if (::fstat(fd, &facts) != 0) return errno_status(errno, "cannot look at " + quoted(path));
  if (!S_ISREG(facts.st_mode)) {
    return errno_message(EINVAL, quoted(path) + " is no regular file: name another one");
  }
  // Held until the descriptor is closed.
  ImageLocks locks(fd, path, ImageLocks::Mode::kAuto);
  const Permissions alone = {kWrite | kWriteUnchanged | kResize, 0};
  if (absl::Status free = locks.prepare(alone); !free.ok()) return free;
  locks.commit();
  if (::ftruncate(fd, 0) != 0 || ::ftruncate(fd, static_cast<off_t>(size)) != 0) {
    return errno_status(
        errno, "cannot make " + quoted(path) + " as long as " + std::to_string(size) + " bytes");
  }
  return absl::OkStatus();
}

absl::Status write_zeroes_at(int fd, uint64_t offset, uint64_t length) BLOCKING_CODE;
absl::Status write_zeroes_at(int fd, uint64_t offset, uint64_t length) {
  const std::vector<char> zeroes(kZeroes);
  while (length > 0) {
    const ssize_t written = ::pwrite(fd, zeroes.data(), std::min<uint64_t>(length, kZeroes),
                                     static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno_status(errno, "cannot write zeroes");
    offset += static_cast<uint64_t>(written);
    length -= static_cast<uint64_t>(written);
  }
  return absl::OkStatus();
}

absl::Status allocate(int fd, uint64_t offset, uint64_t length, Preallocation how) BLOCKING_CODE;
absl::Status allocate(int fd, uint64_t offset, uint64_t length, Preallocation how) {
  if (how == Preallocation::kFull) return write_zeroes_at(fd, offset, length);
  while (::fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(length)) != 0) {
    if (errno != EINTR) return errno_status(errno, "cannot allocate space");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CreateOptions> read_create_options(const Json& arguments) {
  CreateOptions result;
  Json job = arguments;
  // Of this kind the field's clients expect to dismiss them.
  job["auto-dismiss"] = false;
  absl::StatusOr<JobOptions> job_options = read_job_options(job);
  if (!job_options.ok()) return job_options.status();
  result.job = *std::move(job_options);
  const Json& options = arguments.at("options");
  for (const auto& [name, value] : options.items()) {
    if (name == "driver" || name == "filename" || name == "size" || name == "preallocation" ||
        name == "exclusive") {
      continue;
    }
    return errno_message(EINVAL, "Parameter '" + printable_text(name, kLongestQuote) +
                                     "' is unexpected: 'options' of a file has 'filename',"
                                     " 'size', 'preallocation' and 'exclusive'");
  }
  for (const char* name : {"driver", "filename"}) {
    if (options.contains(name) && options.at(name).is_string()) continue;
    return errno_message(EINVAL, std::string("Parameter 'options.") + name + "' is missing");
  }
  const std::string driver = options.at("driver").get<std::string>();
  if (driver != "file") {
    return errno_message(EOPNOTSUPP, "Block driver '" + printable_text(driver, kLongestQuote) +
                                         "' does not support creating images: only 'file' does");
  }
  result.filename = options.at("filename").get<std::string>();
  const auto size = options.find("size");
  if (size == options.end() || !size->is_number_integer() || *size < 0 || *size > INT64_MAX) {
    return errno_message(EINVAL, "Parameter 'options.size' expects a number of bytes below 2^63");
  }
  result.size = size->get<uint64_t>();
  const absl::StatusOr<Preallocation> preallocation = read_preallocation(options);
  if (!preallocation.ok()) return preallocation.status();
  result.preallocation = *preallocation;
  const auto exclusive = options.find("exclusive");
  if (exclusive == options.end()) return result;
  if (!exclusive->is_boolean()) {
    return errno_message(EINVAL,
                         "Invalid parameter type for 'options.exclusive', expected: boolean");
  }
  result.exclusive = exclusive->get<bool>();
  return result;
}

CreateJob::CreateJob(Daemon& daemon, CreateOptions options)
    : Job(options.job), daemon_(daemon), options_(std::move(options)) {}

CreateJob::~CreateJob() = default;

absl::Status CreateJob::co_run() {
  JobPace::Worker worker(pace());
  if (!worker.co_pass(0)) return absl::OkStatus();
  if (absl::Status status = co_open(); !status.ok()) return status;
  const absl::Status laid_out = ThreadPool::storage().co_run(
      [&] { return lay_out(fd_.get(), options_.filename, options_.size); });
  if (!laid_out.ok()) return laid_out;
  if (absl::Status status = co_fill(worker); !status.ok()) return status;
  progress_ = {std::max<uint64_t>(options_.size, 1), std::max<uint64_t>(options_.size, 1)};
  return absl::OkStatus();
}

absl::Status CreateJob::co_open() {
  absl::StatusOr<UniqueFd> fd = errno_message(ENOENT, "");
  if (!options_.exclusive) fd = daemon_.host.co_open(options_.filename, O_RDWR);
  if (!fd.ok() && status_errno(fd.status()) == ENOENT) {
    fd = daemon_.host.co_create(options_.filename, kMode);
    made_ = fd.ok();
  }
  if (!fd.ok() && status_errno(fd.status()) == EEXIST) {
    return errno_message(EEXIST, quoted(options_.filename) + " is there already");
  }
  if (!fd.ok()) return fd.status();
  fd_ = *std::move(fd);
  return absl::OkStatus();
}

absl::Status CreateJob::co_fill(JobPace::Worker& worker) {
  if (options_.preallocation == Preallocation::kOff) return absl::OkStatus();
  progress_ = {0, std::max<uint64_t>(options_.size, 1)};
  while (progress_.current < options_.size) {
    const uint64_t length = std::min(kPiece, options_.size - progress_.current);
    if (!worker.co_pass(length)) return absl::OkStatus();
    const absl::Status status = ThreadPool::storage().co_run(
        [&] { return allocate(fd_.get(), progress_.current, length, options_.preallocation); });
    if (!status.ok()) return annotate(status, quoted(options_.filename));
    progress_.current += length;
  }
  return absl::OkStatus();
}

void CreateJob::co_abort() {
  if (!made_) return;
  ThreadPool::storage().co_run([this] { (void)::unlink(options_.filename.c_str()); });
}

void CreateJob::co_clean_up() {
  ThreadPool::storage().co_run([this] { fd_.reset(); });
}

}  // namespace penstock
