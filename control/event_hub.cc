// SPDX-License-Identifier: Apache-2.0
#include "control/event_hub.h"

#include <chrono>
#include <utility>

namespace penstock {
namespace {

constexpr int64_t kMicrosecondsPerSecond = 1'000'000;

nlohmann::json timestamp_now() {
  const int64_t now = std::chrono::duration_cast<std::chrono::microseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  return {{"seconds", now / kMicrosecondsPerSecond},
          {"microseconds", now % kMicrosecondsPerSecond}};
}

}  // namespace

int EventHub::subscribe(Listener listener) {
  const int subscription = next_++;
  listeners_.emplace(subscription, std::move(listener));
  return subscription;
}

void EventHub::unsubscribe(int subscription) { listeners_.erase(subscription); }

void EventHub::emit(const std::string& name, nlohmann::json data) {
  const nlohmann::json event = {
      {"event", name}, {"data", std::move(data)}, {"timestamp", timestamp_now()}};
  for (const auto& [subscription, listener] : listeners_) listener(event);
}

}  // namespace penstock
