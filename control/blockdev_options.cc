// SPDX-License-Identifier: Apache-2.0
#include "control/blockdev_options.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>

#include "base/printable_text.h"
#include "base/status.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 64;
constexpr size_t kLongestNodeName = 31;

absl::Status invalid(const std::string& text) { return errno_message(EINVAL, text); }

absl::Status wrong_type(const std::string& path, const char* expected) {
  return invalid("Invalid parameter type for '" + printable_text(path) +
                 "', expected: " + expected);
}

absl::Status wrong_value(const std::string& path, const std::string& value,
                         const std::string& accepted) {
  return invalid("Parameter '" + path + "' does not accept value '" + printable_text(value) +
                 "'. It takes " + accepted + ".");
}

// Takes options out of one description; what is left is the driver's.
class Description {
 public:
  Description(Json json, std::string path) : left_(std::move(json)), path_(std::move(path)) {}

  std::string path_of(const std::string& name) const { return path_ + name; }

  std::optional<Json> take(const std::string& name) {
    const auto found = left_.find(name);
    if (found == left_.end()) return std::nullopt;
    Json value = std::move(*found);
    left_.erase(found);
    return value;
  }
  absl::Status take_string(const std::string& name, std::string& result) {
    std::optional<Json> value = take(name);
    if (!value) return absl::OkStatus();
    if (!value->is_string()) return wrong_type(path_of(name), "string");
    result = value->get<std::string>();
    return absl::OkStatus();
  }
  absl::Status take_bool(const std::string& name, bool& result) {
    const std::optional<Json> value = take(name);
    if (!value) return absl::OkStatus();
    if (!value->is_boolean()) return wrong_type(path_of(name), "boolean");
    result = value->get<bool>();
    return absl::OkStatus();
  }
  absl::Status refuse_left() const {
    if (left_.empty()) return absl::OkStatus();
    return invalid("Parameter '" + printable_text(path_of(left_.begin().key())) +
                   "' is unexpected");
  }
  Json left() && { return std::move(left_); }

 private:
  Json left_;
  const std::string path_;
};

class Parser {
 public:
  // `fall_back`: nodes that may be read-only instead are.
  Parser(const DriverRegistry& drivers, bool fall_back)
      : drivers_(drivers), fall_back_(fall_back) {}

  absl::StatusOr<NodeOptions> parse(const Json& json, const std::string& path,
                                    const BlockdevDefaults& defaults, int depth);
  bool fell_back() const { return fell_back_; }

 private:
  absl::Status take_identity(Description& description, int depth, NodeOptions& options) const;
  absl::Status take_general(Description& description, NodeOptions& options, bool& auto_read_only);
  static absl::Status take_cache(Description& description, NodeOptions& options);
  absl::Status take_children(Description& description, bool auto_read_only, int depth,
                             NodeOptions& options);

  const DriverRegistry& drivers_;
  const bool fall_back_;
  bool fell_back_ = false;
};

absl::Status Parser::take_identity(Description& description, int depth,
                                   NodeOptions& options) const {
  absl::Status status = description.take_string("driver", options.driver);
  status.Update(description.take_string("node-name", options.node_name));
  if (!status.ok()) return status;
  if (options.driver.empty()) {
    return invalid("Parameter '" + description.path_of("driver") + "' is missing");
  }
  if (!options.node_name.empty() && !is_node_name(options.node_name)) {
    return invalid("Invalid node-name: '" + printable_text(options.node_name) +
                   "'. Begin it with a letter; letters, digits, '-', '.' and '_' may follow, 31 "
                   "characters in all.");
  }
  options.goes_with_parents = depth > 0;
  return drivers_.find(options.driver).status();
}

absl::Status Parser::take_cache(Description& description, NodeOptions& options) {
  std::optional<Json> given = description.take("cache");
  if (!given) return absl::OkStatus();
  const std::string path = description.path_of("cache");
  if (!given->is_object()) return wrong_type(path, "object");
  Description cache(std::move(*given), path + ".");
  bool no_flush = false;
  absl::Status status = cache.take_bool("direct", options.cache_direct);
  status.Update(cache.take_bool("no-flush", no_flush));
  status.Update(cache.refuse_left());
  if (!status.ok()) return status;
  if (no_flush) {
    return invalid("'" + cache.path_of("no-flush") +
                   "' cannot be true: no flush is ever left out. Leave it out.");
  }
  return absl::OkStatus();
}

absl::Status Parser::take_general(Description& description, NodeOptions& options,
                                  bool& auto_read_only) {
  std::string discard = options.discard_unmap ? "unmap" : "ignore";
  std::string detect_zeroes = "off";
  absl::Status status = description.take_bool("read-only", options.read_only);
  status.Update(description.take_bool("auto-read-only", auto_read_only));
  status.Update(description.take_bool("force-share", options.force_share));
  status.Update(description.take_string("discard", discard));
  status.Update(description.take_string("detect-zeroes", detect_zeroes));
  status.Update(take_cache(description, options));
  if (!status.ok()) return status;
  if (discard != "unmap" && discard != "ignore") {
    return wrong_value(description.path_of("discard"), discard, "'unmap' or 'ignore'");
  }
  options.discard_unmap = discard == "unmap";
  if (detect_zeroes != "off") {
    return wrong_value(description.path_of("detect-zeroes"), detect_zeroes,
                       "'off' only: zeroes are not looked for in what is written");
  }
  if (fall_back_ && auto_read_only && !options.read_only) {
    options.read_only = true;
    fell_back_ = true;
  }
  return absl::OkStatus();
}

absl::Status Parser::take_children(Description& description, bool auto_read_only, int depth,
                                   NodeOptions& options) {
  const absl::StatusOr<const DriverType*> type = drivers_.find(options.driver);
  for (const char* name : {"file", "backing", "data-file", "target"}) {
    const std::optional<Json> given = description.take(name);
    if (!given) continue;
    const std::string path = description.path_of(name);
    if (!(*type)->takes_child(name)) {
      return invalid("Driver '" + options.driver + "' takes no '" + path + "'. Leave it out.");
    }
    ChildOptions child;
    if (given->is_string()) {
      child.reference = given->get<std::string>();
      if (child.reference.empty()) {
        // QEMU's older way to say that there is none.
        if (std::string_view(name) != "backing") return wrong_value(path, "", "a node's name");
      }
    } else if (given->is_object()) {
      const bool backing = std::string_view(name) == "backing";
      BlockdevDefaults inherited;
      inherited.read_only = options.read_only || backing;
      inherited.auto_read_only = auto_read_only && !backing;
      inherited.force_share = options.force_share;
      inherited.cache_direct = options.cache_direct;
      inherited.discard_unmap = options.discard_unmap;
      absl::StatusOr<NodeOptions> below = parse(*given, path + ".", inherited, depth + 1);
      if (!below.ok()) return below.status();
      child.inline_options = std::make_shared<NodeOptions>(std::move(*below));
    } else if (!given->is_null()) {
      return wrong_type(path, "BlockdevRef");
    }
    options.children.emplace(name, std::move(child));
  }
  return absl::OkStatus();
}

absl::StatusOr<NodeOptions> Parser::parse(const Json& json, const std::string& path,
                                          const BlockdevDefaults& defaults, int depth) {
  if (depth > kMaxDepth) {
    return invalid("Nodes are described more than " + std::to_string(kMaxDepth) +
                   " deep in one another. Add the lower ones first, and name them.");
  }
  Description description(json, path);
  NodeOptions options;
  options.read_only = defaults.read_only;
  options.force_share = defaults.force_share;
  options.cache_direct = defaults.cache_direct;
  options.discard_unmap = defaults.discard_unmap;
  bool auto_read_only = defaults.auto_read_only;
  absl::Status status = take_identity(description, depth, options);
  if (status.ok()) status = take_general(description, options, auto_read_only);
  if (status.ok()) status = take_children(description, auto_read_only, depth, options);
  if (!status.ok()) return status;
  options.driver_options = std::move(description).left();
  return options;
}

}  // namespace

absl::StatusOr<BlockdevOptions> parse_blockdev_options(const DriverRegistry& drivers,
                                                       const Json& arguments,
                                                       const BlockdevDefaults& defaults) {
  if (!arguments.is_object()) return wrong_type("options", "object");
  Parser as_asked(drivers, false);
  absl::StatusOr<NodeOptions> node = as_asked.parse(arguments, "", defaults, 0);
  if (!node.ok()) return node.status();
  BlockdevOptions result{std::move(*node), std::nullopt};
  Parser fall_back(drivers, true);
  absl::StatusOr<NodeOptions> instead = fall_back.parse(arguments, "", defaults, 0);
  if (instead.ok() && fall_back.fell_back()) result.read_only_instead = std::move(*instead);
  return result;
}

bool is_node_name(const std::string& name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (name.empty() || name.size() > kLongestNodeName || !letter(name.front())) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

}  // namespace penstock
