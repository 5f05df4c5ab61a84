// SPDX-License-Identifier: Apache-2.0
#include "fuse/slot_pool.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/status.h"

namespace penstock {
namespace {

constexpr size_t kSlotBytes = SlotPool::kHeadBytes + SlotPool::kPayloadBytes;
constexpr size_t kPoolBytes = SlotPool::kSlots * kSlotBytes;

}  // namespace

absl::StatusOr<std::unique_ptr<SlotPool>> SlotPool::create() {
  void* memory = mmap(nullptr, kPoolBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return errno_status(errno, "reserving memory for FUSE requests");
  // A huge page would make each slot resident as a whole.
  madvise(memory, kPoolBytes, MADV_NOHUGEPAGE);
  return std::unique_ptr<SlotPool>(new SlotPool(static_cast<std::byte*>(memory)));
}

SlotPool::~SlotPool() { munmap(memory_, kPoolBytes); }

DevSlot* SlotPool::make_slot() {
  if (slots_.size() == kSlots) return nullptr;
  auto slot = std::make_unique<DevSlot>();
  std::byte* const start = memory_ + slots_.size() * kSlotBytes;
  slot->head = {start, kHeadBytes};
  slot->payload = {start + kHeadBytes, kPayloadBytes};
  slots_.push_back(std::move(slot));
  return slots_.back().get();
}

DevSlot* SlotPool::take() {
  if (idle_ == nullptr) return make_slot();
  auto* slot = static_cast<DevSlot*>(idle_);
  idle_ = slot->next;
  idle_memory_ -= slot->payload_touched;
  return slot;
}

void SlotPool::give_back(DevSlot* slot) {
  if (idle_memory_ + slot->payload_touched > kIdleMemory) {
    madvise(slot->payload.data(), slot->payload.size(), MADV_DONTNEED);
    slot->payload_touched = 0;
  }
  idle_memory_ += slot->payload_touched;
  slot->next = idle_;
  idle_ = slot;
}

}  // namespace penstock
