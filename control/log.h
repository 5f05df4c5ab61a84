// SPDX-License-Identifier: Apache-2.0
// Lines for the person who runs the machine.
//
// A process starts with its lines on stderr. A server that leaves the foreground sends them to the
// systemd journal, or to syslog where there is none.
//
// Ownership: the destination is the process's.
// Threads: any; a line is never torn.
// Errors: a line that cannot be delivered is lost.
// Invariants: one call is one line: control characters are shown as "\xNN".
#pragma once

#include <string>

namespace penstock {

enum class LogLevel { kInfo, kWarning, kError };

void log_line(LogLevel level, const std::string& message);

// From now on lines go to the journal or to syslog.
void log_to_system();

}  // namespace penstock
