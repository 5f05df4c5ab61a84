// SPDX-License-Identifier: Apache-2.0
#include "block/node/permission.h"

#include "gtest/gtest.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"

namespace penstock {
namespace {

Permissions needs(ChildRole role, Permissions parents) NO_THREAD_SAFETY_ANALYSIS {
  const MappedTestDriver driver;
  return driver.child_permissions(Child("child", role), parents);
}

TEST(Permission, NamesAreForPeople) {
  EXPECT_EQ(permission_names(0), "nothing");
  EXPECT_EQ(permission_names(kConsistentRead | kResize), "consistent read, resize");
}

TEST(Permission, AConflictIsWhatTheOtherDoesNotShare) {
  const Permissions writer{kWrite | kConsistentRead, kConsistentRead};
  const Permissions reader{kConsistentRead, kAllPermissions};
  EXPECT_EQ(conflict_between(writer, reader), 0u);
  EXPECT_EQ(conflict_between(writer, writer), kWrite);
}

TEST(Permission, AFilterPassesItsUsersThrough) {
  const Permissions users{kWrite, kConsistentRead};
  EXPECT_EQ(needs(ChildRole::kFiltered, users), users);
}

TEST(Permission, AnImageIsReadConsistentlyAndSharedWithNoWriter) {
  const Permissions reading = needs(ChildRole::kImage, {kConsistentRead, kAllPermissions});
  EXPECT_EQ(reading.taken, kConsistentRead);
  EXPECT_EQ(reading.shared & (kWrite | kResize), 0u);
  EXPECT_NE(reading.shared & kConsistentRead, 0u);
  const Permissions writing = needs(ChildRole::kImage, {kWrite, kAllPermissions});
  EXPECT_EQ(writing.taken, kAllPermissions);
  EXPECT_NE(conflict_between(writing, writing), 0u) << "two writers of one image";
  EXPECT_EQ(conflict_between(reading, reading), 0u) << "two readers of one image";
}

TEST(Permission, ABackingChildIsOnlyRead) {
  const Permissions need = needs(ChildRole::kBacking, {kAllPermissions, kConsistentRead});
  EXPECT_EQ(need.taken, kConsistentRead);
  EXPECT_EQ(need.shared & (kWrite | kResize), 0u);
  EXPECT_EQ(needs(ChildRole::kBacking, {kWrite, kAllPermissions}).taken, 0u);
}

}  // namespace
}  // namespace penstock
