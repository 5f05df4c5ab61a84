// SPDX-License-Identifier: Apache-2.0
#include "tests/control/export_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/status.h"
#include "control/mount_table.h"
#include "tests/fuse/direct_mount_host.h"

namespace penstock {

using Json = nlohmann::json;

void ExportFixture::SetUp() {
  std::string why;
  if (!can_mount(&why)) GTEST_SKIP() << "cannot mount FUSE: " << why;
  std::string pattern = std::filesystem::canonical(testing::TempDir()) / "penstock-export-XXXXXX";
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  folder_ = pattern;
  std::filesystem::create_directory(path("mnt"));
  std::ofstream(path("disk.img")) << std::string(kSize, 'a');
  make_daemon(local_host_);
}

void ExportFixture::TearDown() {
  if (folder_.empty()) return;
  const absl::Status ended = shut_down();
  EXPECT_TRUE(ended.ok()) << status_text(ended);
  EXPECT_FALSE(is_mounted("mnt"));
  EXPECT_FALSE(is_mounted("file"));
  std::filesystem::remove_all(folder_);
}

// The fixture's own daemon, which mounts nothing, gives way to one that does, and comes back.
void ExportFixture::make_daemon(HostServices& host) {
  on_control([&] {
    assert_control_thread();
    daemon_ = std::make_unique<Daemon>(host, Engine::kAuto, nullptr);
    daemon_->events.subscribe([this](const Json& event) {
      assert_control_thread();
      if (event["event"] != "BLOCK_EXPORT_DELETED") return;
      const Node* const node = daemon_->graph.find("n");
      users_at_event_ = node == nullptr ? 0 : node->parents.size();
      deleted_.set();
    });
  });
}

absl::Status ExportFixture::shut_down() {
  const absl::Status ended = on_control([&] {
    assert_control_thread();
    assert_in_coroutine();
    return daemon_->co_shut_down();
  });
  make_daemon(host_);
  return ended;
}

void ExportFixture::add_node(bool writable) {
  must("blockdev-add", {{"driver", "file"},
                        {"node-name", "n"},
                        {"read-only", !writable},
                        {"filename", path("disk.img")}});
}

Json ExportFixture::export_arguments(const Json& more) const {
  Json arguments = {{"type", "fuse"}, {"id", "e"}, {"node-name", "n"}, {"mountpoint", path("mnt")}};
  arguments.update(more);
  return arguments;
}

void ExportFixture::add_export(const Json& more) {
  must("block-export-add", export_arguments(more));
}

void ExportFixture::wait_deleted() {
  on_control([&] {
    assert_in_coroutine();
    deleted_.co_wait();
  });
}

std::string ExportFixture::first_bytes(const std::string& file, size_t count) {
  std::string bytes(count, '\0');
  std::ifstream stream(file);
  stream.read(bytes.data(), static_cast<std::streamsize>(count));
  bytes.resize(static_cast<size_t>(stream.gcount()));
  return bytes;
}

bool ExportFixture::is_mounted(const std::string& name) const {
  const auto entry = mount_at(path(name));
  return entry && entry->is_ours();
}

}  // namespace penstock
