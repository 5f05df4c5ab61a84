// SPDX-License-Identifier: Apache-2.0
#include "drivers/register_drivers.h"

#include <memory>

#include "drivers/copy_before_write/copy_before_write_driver.h"
#include "drivers/copy_on_read/copy_on_read_driver.h"
#include "drivers/faults/faults_driver.h"
#include "drivers/file/file_driver.h"
#include "drivers/null/null_driver.h"
#include "drivers/qcow2/qcow2_driver.h"
#include "drivers/raw/raw_driver.h"
#include "drivers/throttle/throttle_driver.h"

namespace penstock {

void register_drivers(DriverRegistry& registry) {
  registry.add(std::make_unique<FileDriverType>());
  // QEMU's name of the same for a block device.
  registry.add(std::make_unique<FileDriverType>("host_device"));
  registry.add(std::make_unique<RawDriverType>());
  registry.add(std::make_unique<Qcow2DriverType>());
  registry.add(std::make_unique<NullDriverType>());
  registry.add(std::make_unique<NullDriverType>("null-aio"));
  registry.add(std::make_unique<FaultsDriverType>());
  registry.add(std::make_unique<ThrottleDriverType>());
  registry.add(std::make_unique<CopyBeforeWriteDriverType>());
  registry.add(std::make_unique<CopyOnReadDriverType>());
}

}  // namespace penstock
