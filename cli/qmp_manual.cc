// SPDX-License-Identifier: Apache-2.0
#include "cli/qmp_manual.h"

#include "control/qmp/command_table.h"
#include "control/qmp/event_table.h"

namespace penstock {
namespace {

constexpr char kHead[] =
    R"(.\" Made from the table of commands.
.TH PENSTOCK\-QMP 7 "" "Penstock" "Miscellaneous Information"
.SH NAME
penstock\-qmp \- commands and events of the control socket
.SH DESCRIPTION
Each server of
.BR penstock (1)
has a control socket, which speaks QMP, the protocol of QEMU: JSON messages, each on a line.
The server greets; the client sends
.B qmp_capabilities
first and then commands, and is told events meanwhile.
Names, arguments and answers are those of QEMU's storage daemon where it has the command; own ones
begin with
.BR x\-penstock\- .
.PP
.B penstock qmp
sends one command:
.PP
.nf
    penstock qmp ~/mnt block_resize \(aq{"node\-name": "disk", "size": 1073741824}\(aq
.fi
.PP
An answer is
{"return": ...}, or {"error": {"class": ..., "desc": ...}} with the class
.BR GenericError ", " CommandNotFound " or another."
A command that fails has changed nothing.
.SH COMMANDS
Arguments in brackets can be left out.
)";

constexpr char kTail[] =
    R"(.SH SEE ALSO
.BR penstock (1),
.BR penstock\-control (1)
)";

// As man shows it: no character means anything to it.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '\\':
        result += "\\e";
        break;
      case '-':
        result += "\\-";
        break;
      case '\'':
        result += "\\(aq";
        break;
      case '.':
        // A line could begin with it.
        result += "\\&.";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string argument_text(const QmpArgument& argument) {
  const std::string name = "\\fB" + escaped(argument.name) + "\\fP";
  const char* const type =
      argument.type == QmpType::kAny ? "any value" : qmp_type_name(argument.type);
  return ".TP\n" + (argument.required ? name : "[" + name + "]") + " \\fI" + type + "\\fP\n" +
         escaped(argument.help) + "\n";
}

std::string command_text(const QmpCommand& command) {
  std::string text = ".SS " + escaped(command.name) + "\n" + escaped(command.help) + "\n";
  for (const QmpArgument& argument : command.arguments) text += argument_text(argument);
  if (command.open_ended) {
    text += ".PP\nIt takes more arguments: the options of the driver or kind that is named.\n";
  }
  return text;
}

}  // namespace

std::string qmp_manual() {
  std::string text = kHead;
  for (const QmpCommand* command : all_qmp_commands()) text += command_text(*command);
  text += ".SH EVENTS\n";
  for (const QmpEvent& event : all_qmp_events()) {
    text += ".TP\n\\fB" + escaped(event.name) + "\\fP\n" + escaped(event.help) +
            "\nData: " + escaped(event.data) + ".\n";
  }
  return text + kTail;
}

}  // namespace penstock
