// SPDX-License-Identifier: Apache-2.0
#include "control/log.h"

#include <syslog.h>
#include <unistd.h>

#include <atomic>

#include "base/printable_text.h"

// The journal shall not carry file names and line numbers of the source.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

namespace penstock {
namespace {

enum class Destination { kStderr, kJournal, kSyslog };

constinit std::atomic<Destination> destination{Destination::kStderr};

int priority_of(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo:
      return LOG_INFO;
    case LogLevel::kWarning:
      return LOG_WARNING;
    case LogLevel::kError:
      return LOG_ERR;
  }
  return LOG_ERR;
}

}  // namespace

void log_line(LogLevel level, const std::string& message) {
  const std::string text = printable_text(message);
  switch (destination.load(std::memory_order_relaxed)) {
    case Destination::kStderr: {
      const std::string line = "penstock: " + text + "\n";
      // One write, so that lines of several threads do not mix. Its failure has nowhere to go.
      [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
      break;
    }
    case Destination::kJournal:
      sd_journal_print(priority_of(level), "%s", text.c_str());
      break;
    case Destination::kSyslog:
      syslog(priority_of(level), "%s", text.c_str());
      break;
  }
}

void log_to_system() {
  if (::access("/run/systemd/journal/socket", W_OK) == 0) {
    destination.store(Destination::kJournal, std::memory_order_relaxed);
    return;
  }
  openlog("penstock", LOG_PID | LOG_NDELAY, LOG_DAEMON);
  destination.store(Destination::kSyslog, std::memory_order_relaxed);
}

}  // namespace penstock
