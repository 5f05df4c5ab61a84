// SPDX-License-Identifier: Apache-2.0
#include "fuse/slot_pool.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <set>
#include <vector>

#include "base/byte_range.h"

namespace penstock {
namespace {

std::unique_ptr<SlotPool> make_pool() {
  auto pool = SlotPool::create();
  EXPECT_TRUE(pool.ok());
  return *std::move(pool);
}

size_t resident_bytes(std::span<std::byte> memory) {
  std::vector<unsigned char> pages(memory.size() / kProtocolPage);
  EXPECT_EQ(mincore(memory.data(), memory.size(), pages.data()), 0);
  size_t resident = 0;
  for (unsigned char page : pages) resident += (page & 1) * kProtocolPage;
  return resident;
}

TEST(SlotPool, ABoundedNumberOfSlotsThatDoNotOverlap) {
  const auto pool = make_pool();
  std::vector<DevSlot*> taken;
  std::set<std::byte*> starts;
  while (DevSlot* slot = pool->take()) {
    EXPECT_TRUE(is_aligned(reinterpret_cast<uintptr_t>(slot->payload.data()), kProtocolPage));
    EXPECT_GE(slot->payload.size(), kMaxTransfer);
    EXPECT_GE(slot->head.size(), kWriteDataOffset);
    starts.insert(slot->payload.data());
    taken.push_back(slot);
  }
  EXPECT_EQ(taken.size(), SlotPool::kSlots);
  EXPECT_TRUE(pool->exhausted());
  EXPECT_EQ(starts.size(), SlotPool::kSlots);
  for (DevSlot* slot : taken) pool->give_back(slot);
  EXPECT_NE(pool->take(), nullptr);
}

TEST(SlotPool, TheNewestReturnedIsTakenFirst) {
  const auto pool = make_pool();
  DevSlot* first = pool->take();
  DevSlot* second = pool->take();
  pool->give_back(second);
  pool->give_back(first);
  EXPECT_EQ(pool->take(), first);
  EXPECT_EQ(pool->take(), second);
}

TEST(SlotPool, IdleSlotsKeepABoundedAmountOfMemory) {
  const auto pool = make_pool();
  std::vector<DevSlot*> taken;
  for (int i = 0; i < 64; ++i) {
    DevSlot* slot = pool->take();
    memset(slot->payload.data(), 1, kMaxTransfer);
    slot->payload_touched = kMaxTransfer;
    taken.push_back(slot);
  }
  for (DevSlot* slot : taken) pool->give_back(slot);
  EXPECT_LE(pool->idle_memory(), SlotPool::kIdleMemory);
  size_t resident = 0;
  for (DevSlot* slot : taken) resident += resident_bytes(slot->payload);
  EXPECT_LE(resident, SlotPool::kIdleMemory);
}

}  // namespace
}  // namespace penstock
