// SPDX-License-Identifier: Apache-2.0
#include "control/options/chardev_options.h"

#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>

#include "base/absolute_path.h"
#include "base/printable_text.h"
#include "base/status.h"
#include "control/options/keyval.h"
#include "control/qmp/object_commands.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

absl::Status invalid(const std::string& text) { return errno_message(EINVAL, text); }

absl::StatusOr<int> parse_int(const std::string& name, const std::string& text) {
  int value = -1;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end || value < 0) {
    return invalid("Parameter '" + name + "' expects a number, not '" +
                   printable_text(text, kLongestQuote) + "'");
  }
  return value;
}

// Takes options out of one description.
class Taker {
 public:
  explicit Taker(nlohmann::json options) : left_(std::move(options)) {}

  std::optional<std::string> take(const char* name) {
    const auto found = left_.find(name);
    if (found == left_.end()) return std::nullopt;
    std::string value = found->get<std::string>();
    left_.erase(found);
    return value;
  }
  absl::Status take_switch(const char* name, bool& value) {
    const auto text = take(name);
    if (!text) return absl::OkStatus();
    if (*text != "on" && *text != "off") {
      return invalid(std::string("Parameter '") + name + "' expects 'on' or 'off'");
    }
    value = *text == "on";
    return absl::OkStatus();
  }
  absl::Status take_int(const char* name, int& value) {
    const auto text = take(name);
    if (!text) return absl::OkStatus();
    const absl::StatusOr<int> number = parse_int(name, *text);
    if (number.ok()) value = *number;
    return number.status();
  }
  absl::Status refuse_left() const {
    if (left_.empty()) return absl::OkStatus();
    const std::string& name = left_.begin().key();
    for (const char* other :
         {"host", "port", "ipv4", "ipv6", "abstract", "tight", "telnet", "websocket", "tn3270",
          "tls-creds", "tls-authz", "mux", "logfile", "logappend", "to"}) {
      if (name == other) {
        return errno_message(ENOTSUP, "there is no '" + name +
                                          "' here: a monitor is at a Unix socket ('path' or "
                                          "'fd'), or at 'stdio'");
      }
    }
    return invalid("Invalid parameter '" + printable_text(name, kLongestQuote) + "'");
  }

 private:
  nlohmann::json left_;
};

absl::Status take_reconnect(Taker& taker, ChardevOptions& options) {
  int seconds = 0;
  int milliseconds = 0;
  absl::Status status = taker.take_int("reconnect", seconds);
  status.Update(taker.take_int("reconnect-ms", milliseconds));
  if (!status.ok()) return status;
  options.reconnect = std::chrono::seconds(seconds) + std::chrono::milliseconds(milliseconds);
  if (options.reconnect.count() == 0) return absl::OkStatus();
  if (options.kind != ChardevOptions::Kind::kConnect || options.path.empty()) {
    return invalid(
        "'reconnect' option is incompatible with socket in server listen mode, and "
        "with 'fd'");
  }
  return absl::OkStatus();
}

absl::Status take_socket(Taker& taker, ChardevOptions& options) {
  bool is_server = false;
  absl::Status status = taker.take_switch("server", is_server);
  options.kind = is_server ? ChardevOptions::Kind::kListen : ChardevOptions::Kind::kConnect;
  const auto wait = taker.take("wait");
  if (wait && !is_server) {
    status.Update(invalid("'wait' option is incompatible with socket in client connect mode"));
  } else if (wait && *wait != "on" && *wait != "off") {
    status.Update(invalid("Parameter 'wait' expects 'on' or 'off'"));
  }
  options.wait = is_server && wait.value_or("on") == "on";
  options.path = taker.take("path").value_or("");
  status.Update(taker.take_int("fd", options.fd));
  status.Update(take_reconnect(taker, options));
  status.Update(taker.refuse_left());
  if (!status.ok()) return status;
  if (options.path.empty() == (options.fd < 0)) {
    return invalid("say where the socket is: 'path', or 'fd' for one that was passed on");
  }
  if (options.path.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> path = absolute_path(options.path);
  if (path.ok()) options.path = *std::move(path);
  return path.status();
}

absl::Status take_stdio(Taker& taker, ChardevOptions& options) {
  options.kind = ChardevOptions::Kind::kStdio;
  // Whether ^C ends the program, or is a byte: a terminal stays as it is.
  bool signal = true;
  absl::Status status = taker.take_switch("signal", signal);
  status.Update(taker.refuse_left());
  return status;
}

}  // namespace

absl::StatusOr<ChardevOptions> parse_chardev(std::string_view text) {
  absl::StatusOr<nlohmann::json> given = parse_flat_options(text, "backend");
  if (!given.ok()) return given.status();
  Taker taker(*std::move(given));
  ChardevOptions options;
  const std::string backend = taker.take("backend").value_or("");
  options.id = taker.take("id").value_or("");
  if (options.id.empty()) return invalid("chardev: no id specified");
  if (const absl::Status fit = check_object_id(options.id, "id"); !fit.ok()) return fit;
  absl::Status status;
  if (backend == "socket") {
    status = take_socket(taker, options);
  } else if (backend == "stdio") {
    status = take_stdio(taker, options);
  } else {
    status = errno_message(ENOTSUP, "'" + printable_text(backend, kLongestQuote) +
                                        "' is not a valid char driver name: there are 'socket' "
                                        "and 'stdio'");
  }
  if (!status.ok()) return status;
  return options;
}

}  // namespace penstock
