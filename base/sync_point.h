// SPDX-License-Identifier: Apache-2.0
// Named points in production code where a test may step in: PENSTOCK_SYNC_POINT("gate:counted").
//
// Ownership: the registry is process-wide; a test installs a callback and removes it again.
// Threads: callbacks run on the thread that reaches the point; the registry has its own lock.
// Errors: none.
// Invariants: nothing remains of a point in a release build without PENSTOCK_SYNC_POINTS.
#pragma once

#include <functional>
#include <string>

namespace penstock {

#if defined(PENSTOCK_SYNC_POINTS)

// True if a callback is installed anywhere: the cheap test before the look-up.
bool sync_points_active();
void reach_sync_point(const char* name);

// Installs `callback` at `name` for this object's life. The destructor waits for calls under way,
// so a callback that waits must be let go before.
class SyncPointCallback {
 public:
  SyncPointCallback(std::string name, std::function<void()> callback);
  SyncPointCallback(const SyncPointCallback&) = delete;
  SyncPointCallback& operator=(const SyncPointCallback&) = delete;
  ~SyncPointCallback();

 private:
  std::string name_;
};

#define PENSTOCK_SYNC_POINT(name)                                             \
  do {                                                                        \
    if (::penstock::sync_points_active()) ::penstock::reach_sync_point(name); \
  } while (0)

#else

#define PENSTOCK_SYNC_POINT(name) \
  do {                            \
  } while (0)

#endif

}  // namespace penstock
