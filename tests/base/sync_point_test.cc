// SPDX-License-Identifier: Apache-2.0
#include "base/sync_point.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

#if defined(PENSTOCK_SYNC_POINTS)

TEST(SyncPoint, CallsWhatIsInstalledAtItsNameAndNothingElse) {
  int reached = 0;
  PENSTOCK_SYNC_POINT("test:a");
  {
    const SyncPointCallback callback("test:a", [&reached] { ++reached; });
    EXPECT_TRUE(sync_points_active());
    PENSTOCK_SYNC_POINT("test:a");
    PENSTOCK_SYNC_POINT("test:b");
    EXPECT_EQ(reached, 1);
  }
  EXPECT_FALSE(sync_points_active());
  PENSTOCK_SYNC_POINT("test:a");
  EXPECT_EQ(reached, 1);
}

TEST(SyncPoint, ACallbackMayReachPointsItself) {
  int reached = 0;
  const SyncPointCallback inner("test:inner", [&reached] { ++reached; });
  const SyncPointCallback outer("test:outer", [] { PENSTOCK_SYNC_POINT("test:inner"); });
  PENSTOCK_SYNC_POINT("test:outer");
  EXPECT_EQ(reached, 1);
}

#else

TEST(SyncPoint, NothingRemainsInARelease) { PENSTOCK_SYNC_POINT("test:a"); }

#endif

}  // namespace
}  // namespace penstock
