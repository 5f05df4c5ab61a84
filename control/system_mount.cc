// SPDX-License-Identifier: Apache-2.0
#include "control/system_mount.h"

#define FUSE_USE_VERSION 35
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <memory>

#include "base/status.h"
#include "control/mount_table.h"
#include "control/run_program.h"
#include "iothreads/thread_mutex.h"

namespace penstock {
namespace {

// Held over the whole of a mount: what it guards is process-wide. Never taken in a coroutine.
ThreadMutex& libfuse_mutex() {
  static ThreadMutex mutex("libfuse");
  return mutex;
}

void print_to_stderr(fuse_log_level /*level*/, const char* format, va_list arguments) {
  vdprintf(STDERR_FILENO, format, arguments);
}

// Catches what libfuse and its child fusermount3 write to stderr.
class StderrCapture {
 public:
  StderrCapture()
      : file_(::memfd_create("messages", MFD_CLOEXEC)),
        stderr_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) {
    if (file_.valid()) ::dup2(file_.get(), STDERR_FILENO);
  }
  StderrCapture(const StderrCapture&) = delete;
  StderrCapture& operator=(const StderrCapture&) = delete;
  ~StderrCapture() { restore(); }

  // Ends the capture; the messages as one line.
  std::string finish() {
    restore();
    std::string text(4096, '\0');
    const ssize_t count = ::pread(file_.get(), text.data(), text.size(), 0);
    text.resize(count > 0 ? static_cast<size_t>(count) : 0);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) {
      text.replace(at, 1, "; ");
    }
    return text;
  }

 private:
  void restore() {
    if (!stderr_.valid()) return;
    ::dup2(stderr_.get(), STDERR_FILENO);
    stderr_.reset();
  }

  UniqueFd file_;
  UniqueFd stderr_;
};

struct ArgumentsDeleter {
  void operator()(fuse_args* arguments) const { fuse_opt_free_args(arguments); }
};
struct SessionDeleter {
  void operator()(fuse_session* session) const { fuse_session_destroy(session); }
};

bool apparmor_is_enabled() {
  std::ifstream file("/sys/module/apparmor/parameters/enabled");
  return file.get() == 'Y';
}

std::string advice_for(const std::string& said, const std::string& mount_point) {
  if (said.find("mount failed: Permission denied") != std::string::npos && apparmor_is_enabled()) {
    return ". AppArmor may confine fusermount3: mount below your home directory, or add the line"
           " 'mount fstype=fuse.penstock options=(nosuid,nodev) options in (ro,rw) -> " +
           mount_point + "/,' to /etc/apparmor.d/local/fusermount3";
  }
  if (said.find("exec fusermount3") != std::string::npos) {
    return ". An ordinary user needs the program fusermount3: install the package fuse3";
  }
  return "";
}

absl::Status mount_failure(const std::string& mount_point, const std::string& said, int error) {
  const std::string what = "cannot mount at '" + mount_point + "'";
  if (said.empty()) return errno_status(error, what);
  return errno_message(error, what + ": " + said + advice_for(said, mount_point));
}

}  // namespace

absl::StatusOr<UniqueFd> mount_fuse(const MountRequest& request) {
  fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
  const std::unique_ptr<fuse_args, ArgumentsDeleter> arguments_owner(&arguments);
  char* options_text = nullptr;
  bool out_of_memory = fuse_opt_add_arg(&arguments, "penstock") != 0;
  for (const std::string& option : request.options) {
    out_of_memory |= fuse_opt_add_opt_escaped(&options_text, option.c_str()) != 0;
  }
  if (options_text != nullptr) {
    out_of_memory |= fuse_opt_add_arg(&arguments, "-o") != 0;
    out_of_memory |= fuse_opt_add_arg(&arguments, options_text) != 0;
    ::free(options_text);
  }
  if (out_of_memory) return mount_failure(request.mount_point, "", ENOMEM);

  const ThreadLock lock(libfuse_mutex());
  fuse_set_log_func(&print_to_stderr);
  StderrCapture capture;
  const fuse_lowlevel_ops no_operations = {};
  const std::unique_ptr<fuse_session, SessionDeleter> session(
      fuse_session_new(&arguments, &no_operations, sizeof no_operations, nullptr));
  if (session == nullptr) return mount_failure(request.mount_point, capture.finish(), EINVAL);
  errno = 0;
  if (fuse_session_mount(session.get(), request.mount_point.c_str()) != 0) {
    const int error = errno != 0 ? errno : EPERM;
    return mount_failure(request.mount_point, capture.finish(), error);
  }
  // The session closes its own descriptor when it is destroyed here; the mount lives with ours.
  UniqueFd fd(::fcntl(fuse_session_fd(session.get()), F_DUPFD_CLOEXEC, 3));
  if (!fd.valid()) {
    const int error = errno;
    fuse_session_unmount(session.get());
    return mount_failure(request.mount_point, "", error);
  }
  return fd;
}

absl::Status unmount_fuse(const std::string& mount_point, bool lazy) {
  const auto is_gone = [&] {
    const std::optional<MountEntry> entry = mount_at(mount_point);
    return !entry || !entry->is_ours();
  };
  if (is_gone()) return absl::OkStatus();
  const std::string what = "cannot unmount '" + mount_point + "'";

  if (::geteuid() == 0) {
    if (::umount2(mount_point.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) {
      return absl::OkStatus();
    }
    const int error = errno;
    if (error != EBUSY && is_gone()) return absl::OkStatus();
    return errno_status(error, what);
  }

  std::vector<std::string> command = {"fusermount3", "-u"};
  if (lazy) command.push_back("-z");
  command.push_back("--");
  command.push_back(mount_point);
  const absl::StatusOr<ProgramResult> result = run_program(command);
  if (!result.ok()) return annotate(result.status(), what);
  if (result->exit_status == 0) return absl::OkStatus();
  const bool busy = result->output.find("busy") != std::string::npos;
  if (!busy && is_gone()) return absl::OkStatus();
  return errno_message(busy ? EBUSY : EPERM, what + ": " + result->output);
}

}  // namespace penstock
