// SPDX-License-Identifier: Apache-2.0
#include "tests/control/job_fixture.h"

#include <algorithm>
#include <chrono>

namespace penstock {
namespace {

using Json = nlohmann::json;

// Only what is broken lasts so long.
constexpr std::chrono::seconds kLong{60};

}  // namespace

ControlJobFixture::ControlJobFixture() {
  on_control([this] {
    assert_control_thread();
    subscription_ = daemon_->events.subscribe([this](const Json& event) {
      events_.push_back(event);
      came_.set();
    });
  });
}

ControlJobFixture::~ControlJobFixture() {
  on_control([this] {
    assert_control_thread();
    daemon_->events.unsubscribe(subscription_);
  });
}

const TestFile& ControlJobFixture::add_disk(const std::string& name, uint64_t size) {
  files_.push_back(std::make_unique<TestFile>("/dev/shm", size));
  must(
      "blockdev-add",
      {{"driver", "raw"},
       {"node-name", name},
       {"read-only", false},
       {"file",
        {{"driver", "file"}, {"node-name", name + "-file"}, {"filename", files_.back()->path()}}}});
  return *files_.back();
}

Json ControlJobFixture::wait_event(const std::string& name, const std::string& job) {
  Json result;
  on_control([&] {
    assert_in_coroutine();
    const Nanoseconds end = AioContext::current()->now() + kLong;
    while (true) {
      came_.reset();
      const auto found = std::find_if(events_.begin(), events_.end(), [&](const Json& event) {
        const Json& data = event["data"];
        return event["event"] == name &&
               (data.value("id", "") == job || data.value("device", "") == job);
      });
      if (found != events_.end()) {
        result = (*found)["data"];
        events_.erase(found);
        return;
      }
      if (!came_.co_wait_until(end)) break;
    }
    ADD_FAILURE() << "no " << name << " of '" << job << "' came";
  });
  return result;
}

void ControlJobFixture::wait_status(const std::string& job, const std::string& status) {
  while (true) {
    const Json event = wait_event("JOB_STATUS_CHANGE", job);
    if (event.is_null() || event["status"] == status) return;
  }
}

size_t ControlJobFixture::unseen(const std::string& name) {
  return on_control([&]() -> size_t {
    return static_cast<size_t>(std::count_if(
        events_.begin(), events_.end(), [&](const Json& event) { return event["event"] == name; }));
  });
}

std::string ControlJobFixture::shape() {
  std::string result;
  for (const Json& node : must("query-named-block-nodes")) {
    result +=
        node["node-name"].dump() + node["children"].dump() + node["x-penstock-users"].dump() + "\n";
  }
  return result;
}

Json ControlJobFixture::job_facts(const std::string& id) {
  for (const Json& job : must("query-jobs")) {
    if (job["id"] == id) return job;
  }
  return Json();
}

}  // namespace penstock
