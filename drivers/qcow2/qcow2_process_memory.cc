// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_process_memory.h"

namespace penstock {

Qcow2ProcessMemory& Qcow2ProcessMemory::shared() {
  static auto* const memory = new Qcow2ProcessMemory;  // outlives every image
  return *memory;
}

}  // namespace penstock
