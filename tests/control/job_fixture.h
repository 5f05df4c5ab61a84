// SPDX-License-Identifier: Apache-2.0
// A daemon with disks on files, whose jobs are watched through their events.
//
// Ownership: as CommandFixture; it owns the files.
// Threads: the test's own thread; functions block.
// Errors: a test fails if an event does not come.
// Invariants: none.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "iothreads/co_event.h"
#include "tests/control/command_fixture.h"
#include "tests/drivers/test_files.h"

namespace penstock {

class ControlJobFixture : public CommandFixture {
 protected:
  static constexpr uint64_t kMiB = 1 << 20;

  ControlJobFixture();
  ~ControlJobFixture() override;

  // A writable raw node of this name on a file of its own; the node on the file is NAME-file.
  const TestFile& add_disk(const std::string& name, uint64_t size);
  // The next event of this name about this job, in the order in which they came.
  nlohmann::json wait_event(const std::string& name, const std::string& job);
  // Until JOB_STATUS_CHANGE has said so.
  void wait_status(const std::string& job, const std::string& status);
  // The events of this name that nobody has waited for.
  size_t unseen(const std::string& name);
  // The nodes and who uses them, for comparisons.
  std::string shape();
  // As query-jobs says; null if it is not there.
  nlohmann::json job_facts(const std::string& id);

  std::vector<std::unique_ptr<TestFile>> files_;

 private:
  int subscription_ = 0;
  std::vector<nlohmann::json> events_;  // the control thread's
  CoEvent came_;
};

}  // namespace penstock
