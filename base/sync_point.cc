// SPDX-License-Identifier: Apache-2.0
#include "base/sync_point.h"

#if defined(PENSTOCK_SYNC_POINTS)

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>

namespace penstock {
namespace {

std::atomic<int> installed{0};

struct Point {
  std::function<void()> callback;
  int running = 0;
};

struct Registry {
  std::mutex mutex;
  std::condition_variable returned;
  std::map<std::string, Point> points;
};

Registry& registry() {
  static Registry* const instance = new Registry;  // outlives every thread
  return *instance;
}

}  // namespace

bool sync_points_active() { return installed.load(std::memory_order_acquire) != 0; }

void reach_sync_point(const char* name) {
  std::unique_lock lock(registry().mutex);
  const auto found = registry().points.find(name);
  if (found == registry().points.end()) return;
  Point& point = found->second;
  ++point.running;
  lock.unlock();
  point.callback();
  lock.lock();
  --point.running;
  registry().returned.notify_all();
}

SyncPointCallback::SyncPointCallback(std::string name, std::function<void()> callback)
    : name_(std::move(name)) {
  const std::lock_guard lock(registry().mutex);
  registry().points[name_].callback = std::move(callback);
  installed.fetch_add(1, std::memory_order_release);
}

SyncPointCallback::~SyncPointCallback() {
  std::unique_lock lock(registry().mutex);
  // A thread may be inside the callback, which may use what the test is about to destroy. Out of
  // the map first, so that no further one gets in.
  auto node = registry().points.extract(name_);
  registry().returned.wait(lock, [&node] { return node.mapped().running == 0; });
  installed.fetch_sub(1, std::memory_order_release);
}

}  // namespace penstock

#endif
