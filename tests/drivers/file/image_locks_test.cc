// SPDX-License-Identifier: Apache-2.0
// Image locks between nodes, and against the real QEMU tools in both directions.
#include "drivers/file/image_locks.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/status.h"
#include "tests/drivers/child_process.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using nlohmann::json;

constexpr uint64_t kSize = 1 << 20;

json raw(const TestFile& file, json file_options = json::object(), bool read_only = false) {
  file_options["driver"] = "file";
  file_options["filename"] = file.path();
  file_options["read-only"] = read_only;
  return {{"driver", "raw"}, {"read-only", read_only}, {"file", std::move(file_options)}};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The locks of a descriptor of this process, as "100-103 201-201".
std::string locks_of(int fd) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(fd));
  std::string line;
  std::string result;
  while (std::getline(info, line)) {
    if (!line.starts_with("lock:")) continue;
    const size_t last = line.rfind(' ');
    const size_t first = line.rfind(' ', last - 1);
    result += (result.empty() ? "" : " ") + line.substr(first + 1, last - first - 1) + "-" +
              line.substr(last + 1);
  }
  return result;
}

TEST(ImageLocks, AreTheBytesThatQemuUses) {
  const TestFile file("/dev/shm", kSize);
  const UniqueFd fd(open(file.path().c_str(), O_RDWR | O_CLOEXEC));
  ImageLocks locks(fd.get(), file.path(), ImageLocks::Mode::kOn);
  ASSERT_TRUE(locks.prepare({kConsistentRead | kWrite, kConsistentRead | kWriteUnchanged}).ok());
  locks.commit();
  EXPECT_EQ(locks_of(fd.get()), "100-101 201-201 203-203");
  ASSERT_TRUE(locks.prepare({kConsistentRead, kAllPermissions}).ok());
  EXPECT_EQ(locks_of(fd.get()), "100-101 201-201 203-203") << "released before the commit";
  locks.commit();
  EXPECT_EQ(locks_of(fd.get()), "100-100");
  locks.release_all();
  EXPECT_EQ(locks_of(fd.get()), "");
}

TEST(ImageLocks, ARefusalOrARollBackLeavesThemAsTheyWere) {
  const TestFile file("/dev/shm", kSize);
  const UniqueFd mine(open(file.path().c_str(), O_RDWR | O_CLOEXEC));
  const UniqueFd theirs(open(file.path().c_str(), O_RDWR | O_CLOEXEC));
  ImageLocks locks(mine.get(), file.path(), ImageLocks::Mode::kOn);
  ImageLocks others(theirs.get(), file.path(), ImageLocks::Mode::kOn);
  ASSERT_TRUE(locks.prepare({kConsistentRead, kAllPermissions}).ok());
  locks.commit();
  ASSERT_TRUE(others.prepare({kConsistentRead, kAllPermissions & ~kWrite}).ok());
  others.commit();

  const absl::Status refused = locks.prepare({kConsistentRead | kWrite, kConsistentRead});
  EXPECT_EQ(status_errno(refused), EBUSY);
  EXPECT_TRUE(contains(status_text(refused), "Failed to get \"write\" lock"))
      << status_text(refused);
  EXPECT_EQ(locks_of(mine.get()), "100-100");

  ASSERT_TRUE(locks.prepare({kConsistentRead | kResize, kConsistentRead | kWriteUnchanged}).ok());
  EXPECT_EQ(locks_of(mine.get()), "100-100 103-103 201-201 203-203");
  locks.roll_back();
  EXPECT_EQ(locks_of(mine.get()), "100-100");
}

TEST(ImageLocks, TwoWritersOfOneFileAreRefusedAndReadersAreNot) {
  const TestFile file("/dev/shm", kSize);
  DriverWorld world;
  world.serve(raw(file, {}, true), kReader);
  world.serve(raw(file, {}, true), kReader);
  const auto writer = world.open(raw(file));
  ASSERT_TRUE(writer.ok()) << status_text(writer.status());
  const auto refused = world.attach(**writer, kWriter);
  EXPECT_EQ(status_errno(refused.status()), EBUSY);
  EXPECT_TRUE(contains(status_text(refused.status()), "pid " + std::to_string(getpid())))
      << status_text(refused.status());
}

TEST(ImageLocks, OffMeansNone) {
  const TestFile file("/dev/shm", kSize);
  DriverWorld world;
  world.serve(raw(file));
  world.serve(raw(file, {{"locking", "off"}}));
}

TEST(ImageLocks, ClosingReleasesThem) {
  const TestFile file("/dev/shm", kSize);
  DriverWorld world;
  json options = raw(file);
  options["node-name"] = "first";
  Backend& first = world.serve(options);
  world.detach(first);
  ASSERT_TRUE(world.close("first").ok());
  world.serve(raw(file));
}

class AgainstQemu : public testing::Test {
 protected:
  void SetUp() override {
    if (!have_program("qemu-io") || !have_program("qemu-img")) {
      GTEST_SKIP() << "qemu-io and qemu-img (Debian's qemu-utils) are not installed";
    }
    // The tools share a raw image with everybody, but a qcow2 image with nobody.
    const auto made = run_process({"qemu-img", "create", "-f", "qcow2", file_.path(), "1M"});
    ASSERT_EQ(made.exit_status, 0) << made.output;
  }
  std::vector<std::string> qemu_io(std::vector<std::string> flags) const {
    flags.insert(flags.begin(), "qemu-io");
    flags.insert(flags.end(), {"-f", "qcow2", file_.path()});
    return flags;
  }

  const TestFile file_{"/tmp", 0};
};

TEST_F(AgainstQemu, AnImageThatQemuWritesIsRefusedWithItsHolderNamed) {
  HeldProcess holder(qemu_io({}));
  ASSERT_TRUE(holder.wait_for_output("qemu-io> "));
  const std::string named = "pid " + std::to_string(holder.pid()) + " (qemu-io)";
  DriverWorld world;

  const auto writer = world.open(raw(file_));
  ASSERT_TRUE(writer.ok()) << status_text(writer.status());
  const auto no_writer = world.attach(**writer, kWriter);
  EXPECT_EQ(status_errno(no_writer.status()), EBUSY);
  EXPECT_TRUE(contains(status_text(no_writer.status()), "Failed to get \"write\" lock"))
      << status_text(no_writer.status());
  EXPECT_TRUE(contains(status_text(no_writer.status()), named)) << status_text(no_writer.status());

  const auto reader = world.open(raw(file_, {}, true));
  ASSERT_TRUE(reader.ok()) << status_text(reader.status());
  const auto no_reader = world.attach(**reader, kReader);
  EXPECT_TRUE(contains(status_text(no_reader.status()), "Failed to get shared \"write\" lock"))
      << status_text(no_reader.status());
  EXPECT_TRUE(contains(status_text(no_reader.status()), named)) << status_text(no_reader.status());

  const auto forced = world.open(raw(file_, {{"force-share", true}}, true));
  ASSERT_TRUE(forced.ok()) << status_text(forced.status());
  const auto forced_reader = world.attach(**forced, kReader);
  EXPECT_TRUE(forced_reader.ok()) << status_text(forced_reader.status());

  holder.finish();
  const auto now = world.attach(**reader, kReader);
  EXPECT_TRUE(now.ok()) << status_text(now.status());
}

TEST_F(AgainstQemu, AnImageThatWeWriteIsRefusedByQemu) {
  DriverWorld world;
  world.serve(raw(file_));
  const auto write = run_process(qemu_io({"-c", "write 0 512"}));
  EXPECT_NE(write.exit_status, 0);
  EXPECT_TRUE(contains(write.output, "Failed to get \"write\" lock")) << write.output;
  const auto read = run_process(qemu_io({"-r", "-c", "read 0 512"}));
  EXPECT_NE(read.exit_status, 0);
  EXPECT_TRUE(contains(read.output, "Failed to get shared \"write\" lock")) << read.output;
  const auto forced = run_process(qemu_io({"-r", "-U", "-c", "read 0 512"}));
  EXPECT_EQ(forced.exit_status, 0) << forced.output;
}

TEST_F(AgainstQemu, ReadersOfBothKindsShareAnImage) {
  DriverWorld world;
  world.serve(raw(file_, {}, true), kReader);
  const auto read = run_process(qemu_io({"-r", "-c", "read 0 512"}));
  EXPECT_EQ(read.exit_status, 0) << read.output;
  const auto write = run_process(qemu_io({"-c", "write 0 512"}));
  EXPECT_NE(write.exit_status, 0);
  EXPECT_TRUE(contains(write.output, "Failed to get \"write\" lock")) << write.output;
}

TEST_F(AgainstQemu, AForcedReaderKeepsNobodyFromWriting) {
  DriverWorld world;
  world.serve(raw(file_, {{"force-share", true}}, true), kReader);
  const auto write = run_process(qemu_io({"-c", "write 0 512"}));
  EXPECT_EQ(write.exit_status, 0) << write.output;
}

}  // namespace
}  // namespace penstock
