// SPDX-License-Identifier: Apache-2.0
#include "control/mount_registry.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <memory>
#include <thread>

#include "base/status.h"
#include "control/mount_table.h"
#include "control/runtime_directory.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

constexpr size_t kMaxRecordSize = 64 * 1024;  // bytes
constexpr std::chrono::milliseconds kClaimInterval{10};
constexpr std::chrono::seconds kClaimLimit{10};

// One file name for each mount point, so that two servers cannot claim the same one.
std::string record_name(const std::string& mount_point) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const unsigned char c : mount_point) hash = (hash ^ c) * 0x100000001b3;
  char name[32];
  snprintf(name, sizeof name, "%016llx.json", static_cast<unsigned long long>(hash));
  return name;
}

nlohmann::json to_json(const MountState& state) {
  return {{"image", state.image},   {"format", state.format},
          {"mode", state.mode},     {"mount-point", state.mount_point},
          {"pid", state.pid},       {"iothreads", state.iothreads},
          {"engine", state.engine}, {"started", state.started},
          {"socket", state.socket}};
}

// A file name may hold any bytes: those that are not UTF-8 are replaced.
std::string to_text(const nlohmann::json& record) {
  return record.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string string_at(const nlohmann::json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_string() ? found->get<std::string>() : std::string();
}

template <typename Number>
Number number_at(const nlohmann::json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_number_integer() ? found->get<Number>() : Number{};
}

MountState from_json(const nlohmann::json& record) {
  return {.image = string_at(record, "image"),
          .format = string_at(record, "format"),
          .mode = string_at(record, "mode"),
          .mount_point = string_at(record, "mount-point"),
          .pid = number_at<pid_t>(record, "pid"),
          .iothreads = number_at<unsigned>(record, "iothreads"),
          .engine = string_at(record, "engine"),
          .started = string_at(record, "started"),
          .socket = string_at(record, "socket")};
}

std::optional<nlohmann::json> read_record(int fd) {
  std::string text(kMaxRecordSize, '\0');
  const ssize_t count = ::pread(fd, text.data(), text.size(), 0);
  if (count <= 0) return std::nullopt;
  text.resize(static_cast<size_t>(count));
  nlohmann::json record = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object()) return std::nullopt;
  return record;
}

absl::Status write_record(int fd, const std::string& path, const nlohmann::json& record) {
  const std::string text = to_text(record);
  if (::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
      ::ftruncate(fd, static_cast<off_t>(text.size())) != 0) {
    return errno_status(errno, "cannot write '" + path + "'");
  }
  return absl::OkStatus();
}

bool is_locked(int fd) {
  if (::flock(fd, LOCK_SH | LOCK_NB) != 0) return true;
  ::flock(fd, LOCK_UN);
  return false;
}

// Removes `path` if it is still the file that `fd` has open.
void remove_record(const std::string& path, int fd) {
  struct stat by_path;
  struct stat by_fd;
  if (::lstat(path.c_str(), &by_path) == 0 && ::fstat(fd, &by_fd) == 0 &&
      by_path.st_ino == by_fd.st_ino && by_path.st_dev == by_fd.st_dev) {
    ::unlink(path.c_str());
  }
}

// A record of `owner`, opened so that nothing in somebody else's directory can mislead or hang us.
UniqueFd open_record(const std::string& path, uid_t owner) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat facts;
  if (fd.valid() &&
      (::fstat(fd.get(), &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_uid != owner)) {
    fd.reset();
  }
  return fd;
}

bool is_mounted(const MountState& state) {
  const std::optional<MountEntry> mount = mount_at(state.mount_point);
  return mount && mount->is_ours();
}

std::vector<std::string> record_files_in(const std::string& directory) {
  std::vector<std::string> paths;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), &::closedir);
  if (stream == nullptr) return paths;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name.ends_with(".json")) paths.push_back(directory + "/" + name);
  }
  return paths;
}

absl::Status already_mounted(const MountState& other) {
  return errno_message(EBUSY, "'" + other.mount_point + "' already has a mount of '" + other.image +
                                  "' (PID " + std::to_string(other.pid) +
                                  "): unmount it with 'penstock umount', or choose another place");
}

// Takes away the record that stands in the way. OK if the name may be free now.
absl::Status clear_the_way(const std::string& path, std::chrono::steady_clock::time_point limit) {
  const UniqueFd fd = open_record(path, ::geteuid());
  if (!fd.valid()) {
    if (errno == ENOENT) return absl::OkStatus();
    return errno_status(errno, "cannot read '" + path + "'");
  }
  if (!is_locked(fd.get())) {
    remove_record(path, fd.get());
    return absl::OkStatus();
  }
  const std::optional<nlohmann::json> record = read_record(fd.get());
  const MountState other = record ? from_json(*record) : MountState{};
  if (is_mounted(other) || std::chrono::steady_clock::now() > limit) {
    return already_mounted(other);
  }
  std::this_thread::sleep_for(kClaimInterval);
  return absl::OkStatus();
}

}  // namespace

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

MountRecord::MountRecord(UniqueFd fd, std::string path, MountState state)
    : fd_(std::move(fd)), path_(std::move(path)), state_(std::move(state)) {}

absl::StatusOr<MountRecord> MountRecord::publish(const MountState& state) {
  const absl::StatusOr<std::string> directory = make_runtime_directory();
  if (!directory.ok()) return directory.status();
  const std::string path = *directory + "/" + record_name(state.mount_point);

  // Written and locked before it has a name, so that nobody sees it half made or unlocked.
  std::string draft = *directory + "/draft-XXXXXX";
  UniqueFd fd(::mkostemp(draft.data(), O_CLOEXEC));
  if (!fd.valid()) return errno_status(errno, "cannot make a file in '" + *directory + "'");
  absl::Status status = write_record(fd.get(), draft, to_json(state));
  if (status.ok() && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    status = errno_status(errno, "cannot lock '" + draft + "'");
  }
  const auto limit = std::chrono::steady_clock::now() + kClaimLimit;
  while (status.ok() && ::link(draft.c_str(), path.c_str()) != 0) {
    status = errno == EEXIST ? clear_the_way(path, limit)
                             : errno_status(errno, "cannot make '" + path + "'");
  }
  ::unlink(draft.c_str());
  if (!status.ok()) return status;
  return MountRecord(std::move(fd), path, state);
}

MountRecord::~MountRecord() {
  if (fd_.valid() && !finished_) remove_record(path_, fd_.get());
}

absl::Status MountRecord::update(const MountState& state) {
  state_ = state;
  return write_record(fd_.get(), path_, to_json(state_));
}

void MountRecord::finish(const absl::Status& result) {
  finished_ = true;
  nlohmann::json record = to_json(state_);
  record["error"] = status_text(result);
  record["errno"] = status_errno(result);
  // If this fails the watcher takes the server for killed: it is warned, which is right.
  (void)write_record(fd_.get(), path_, record);
  remove_record(path_, fd_.get());
}

std::vector<MountState> read_mount_registry() {
  std::vector<MountState> states;
  for (const RuntimeDirectory& directory : list_runtime_directories()) {
    for (const std::string& path : record_files_in(directory.path)) {
      const UniqueFd fd = open_record(path, directory.owner);
      if (!fd.valid()) continue;
      const std::optional<nlohmann::json> record = read_record(fd.get());
      if (!is_locked(fd.get())) {
        if (!record || !is_mounted(from_json(*record))) remove_record(path, fd.get());
        continue;
      }
      if (!record) continue;
      states.push_back(from_json(*record));
      states.back().owner = directory.owner;
    }
  }
  return states;
}

std::optional<MountWatch> MountWatch::find(const std::string& mount_point, uid_t owner) {
  for (const RuntimeDirectory& directory : list_runtime_directories()) {
    if (directory.owner != owner) continue;
    UniqueFd fd = open_record(directory.path + "/" + record_name(mount_point), directory.owner);
    if (!fd.valid()) continue;
    const std::optional<nlohmann::json> record = read_record(fd.get());
    if (!record) continue;
    MountState state = from_json(*record);
    state.owner = owner;
    if (state.mount_point == mount_point) return MountWatch(std::move(fd), std::move(state));
  }
  return std::nullopt;
}

bool MountWatch::server_is_alive() const { return is_locked(fd_.get()); }

absl::Status MountWatch::wait_for_end() const {
  while (::flock(fd_.get(), LOCK_SH) != 0) {
    if (errno != EINTR) return errno_status(errno, "cannot wait for the server");
  }
  ::flock(fd_.get(), LOCK_UN);
  const std::optional<nlohmann::json> record = read_record(fd_.get());
  if (!record || !record->contains("error")) {
    return errno_message(ESHUTDOWN, "the server (PID " + std::to_string(state_.pid) +
                                        ") ended without closing the image");
  }
  const int error = number_at<int>(*record, "errno");
  if (error == 0) return absl::OkStatus();
  return errno_message(error, string_at(*record, "error"));
}

}  // namespace penstock
