// SPDX-License-Identifier: Apache-2.0
// The slots of one queue: room for a bounded number of requests, touched only as far as needed.
//
// Ownership: owns the slots and their memory; all slots are back before it is destroyed.
// Threads: the queue's own context.
// Errors: create() answers ENOMEM if the address space cannot be reserved.
// Invariants: the newest returned slot is taken first, so that a light load touches few of them.
//   Idle slots keep at most kIdleMemory bytes of payload; what is beyond goes back to the system.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "fuse/protocol.h"
#include "fuse/session_io.h"

namespace penstock {

// A slot with the memory that the device's messages are read into.
struct DevSlot : RequestSlot {
  // Page-aligned; the payload follows it.
  std::span<std::byte> head;
};

class SlotPool {
 public:
  static constexpr size_t kSlots = 256;
  static constexpr size_t kHeadBytes = kProtocolPage;
  // One page more than a request's data, for messages that carry a longer head.
  static constexpr size_t kPayloadBytes = kMaxTransfer + kProtocolPage;
  static constexpr size_t kIdleMemory = size_t{16} << 20;

  static absl::StatusOr<std::unique_ptr<SlotPool>> create();
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;
  ~SlotPool();

  // An idle slot, or nullptr if all are in use.
  DevSlot* take();
  void give_back(DevSlot* slot);
  // True if take() would find none.
  bool exhausted() const { return idle_ == nullptr && slots_.size() == kSlots; }
  // Bytes of payload that idle slots keep.
  size_t idle_memory() const { return idle_memory_; }

 private:
  explicit SlotPool(std::byte* memory) : memory_(memory) {}
  DevSlot* make_slot();

  std::byte* const memory_;
  std::vector<std::unique_ptr<DevSlot>> slots_;
  RequestSlot* idle_ = nullptr;
  size_t idle_memory_ = 0;
};

}  // namespace penstock
