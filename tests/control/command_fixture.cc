// SPDX-License-Identifier: Apache-2.0
#include "tests/control/command_fixture.h"

#include "base/status.h"
#include "control/node_facts.h"
#include "control/qmp/command_table.h"

namespace penstock {

using Json = nlohmann::json;

CommandFixture::CommandFixture() {
  auto control = IoThread::start("control");
  EXPECT_TRUE(control.ok()) << status_text(control.status());
  control_ = *std::move(control);
  control_scope_ = std::make_unique<ControlThreadScope>(control_->context());
  on_control([&] {
    assert_control_thread();
    daemon_ = std::make_unique<Daemon>(host_, Engine::kAuto, nullptr);
  });
}

CommandFixture::~CommandFixture() {
  while (!backends_.empty()) detach(*backends_.back());
  on_control([&] {
    assert_control_thread();
    assert_in_coroutine();
    const absl::Status ended = daemon_->co_shut_down();
    EXPECT_TRUE(ended.ok()) << status_text(ended);
    daemon_.reset();
  });
  control_scope_.reset();
}

absl::StatusOr<Json> CommandFixture::run(const std::string& command, const Json& arguments) {
  return on_control([&]() -> absl::StatusOr<Json> {
    assert_control_thread();
    assert_in_coroutine();
    return co_run_qmp_command(*daemon_, command, arguments);
  });
}

Json CommandFixture::must(const std::string& command, const Json& arguments) {
  const absl::StatusOr<Json> answer = run(command, arguments);
  EXPECT_TRUE(answer.ok()) << command << " " << arguments << ": " << status_text(answer.status());
  return answer.ok() ? *answer : Json();
}

testing::AssertionResult CommandFixture::refuses(const std::string& command, const Json& arguments,
                                                 int error_number,
                                                 const std::vector<std::string>& words) {
  const std::string before = picture();
  const absl::StatusOr<Json> answer = run(command, arguments);
  if (answer.ok()) return testing::AssertionFailure() << command << " succeeded: " << *answer;
  const std::string text = status_text(answer.status());
  if (status_errno(answer.status()) != error_number) {
    return testing::AssertionFailure()
           << text << " (errno " << status_errno(answer.status()) << ")";
  }
  for (const std::string& word : words) {
    if (text.find(word) == std::string::npos) {
      return testing::AssertionFailure() << "'" << word << "' is missing in: " << text;
    }
  }
  const std::string after = picture();
  if (after != before) return testing::AssertionFailure() << before << "\nbecame\n" << after;
  return testing::AssertionSuccess();
}

Json CommandFixture::facts(const std::string& node) {
  return on_control([&]() -> Json {
    assert_control_thread();
    const Node* found = daemon_->graph.find(node);
    return found == nullptr ? Json() : node_facts(*found, false);
  });
}

std::string CommandFixture::picture() {
  return on_control([&]() -> std::string {
    assert_control_thread();
    return all_node_facts(daemon_->graph, false).dump(1);
  });
}

std::vector<std::string> CommandFixture::node_names() {
  return on_control([&]() -> std::vector<std::string> {
    assert_control_thread();
    std::vector<std::string> names;
    for (const Node* node : daemon_->graph.nodes()) names.push_back(node->name);
    return names;
  });
}

Backend& CommandFixture::attach(const std::string& name, const std::string& node,
                                Permissions permissions) {
  on_control([&] {
    assert_control_thread();
    assert_in_coroutine();
    auto backend = daemon_->graph.co_attach_backend(name, *daemon_->graph.find(node), permissions);
    ASSERT_TRUE(backend.ok()) << status_text(backend.status());
    backends_.push_back(*std::move(backend));
  });
  return *backends_.back();
}

void CommandFixture::detach(Backend& backend) {
  on_control([&] {
    assert_control_thread();
    assert_in_coroutine();
    const absl::Status detached = daemon_->graph.co_detach_backend(backend);
    EXPECT_TRUE(detached.ok()) << status_text(detached);
    std::erase_if(backends_, [&](const auto& owned) { return owned.get() == &backend; });
  });
}

}  // namespace penstock
