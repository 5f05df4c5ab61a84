// SPDX-License-Identifier: Apache-2.0
// block-export-add, block-export-del and query-block-exports, with real mounts.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <semaphore>
#include <string>
#include <thread>

#include "base/status.h"
#include "control/mount_registry.h"
#include "control/qmp/command_table.h"
#include "control/system_mount.h"
#include "control/unmount.h"
#include "tests/control/export_fixture.h"

namespace penstock {
namespace {

using Json = nlohmann::json;
class ExportCommands : public ExportFixture {};

TEST_F(ExportCommands, an_export_in_a_directory_shows_the_nodes_bytes) {
  add_node();
  add_export();
  EXPECT_EQ(first_bytes(disk(), 4), "aaaa");
  EXPECT_EQ(std::filesystem::file_size(disk()), kSize);
  const Json expected = {
      {{"id", "e"}, {"type", "fuse"}, {"node-name", "n"}, {"shutting-down", false}}};
  EXPECT_EQ(must("query-block-exports"), expected);
  EXPECT_LT(UniqueFd(open(disk().c_str(), O_RDWR)).get(), 0);
  must("block-export-del", {{"id", "e"}});
  EXPECT_FALSE(is_mounted("mnt"));
  EXPECT_EQ(must("query-block-exports"), Json::array());
}

TEST_F(ExportCommands, an_export_over_a_regular_file_covers_it) {
  std::ofstream(path("file")) << "underneath";
  add_node(true);
  add_export({{"mountpoint", path("file")}, {"writable", true}});
  EXPECT_EQ(first_bytes(path("file"), 4), "aaaa");
  {
    const UniqueFd file(open(path("file").c_str(), O_RDWR));
    ASSERT_EQ(pwrite(file.get(), "bb", 2, 0), 2);
  }
  must("block-export-del", {{"id", "e"}});
  EXPECT_EQ(first_bytes(path("file"), 20), "underneath");
  EXPECT_EQ(first_bytes(path("disk.img"), 4), "bbaa");
}

TEST_F(ExportCommands, blockdev_del_succeeds_right_after_the_event) {
  add_node();
  add_export();
  EXPECT_TRUE(refuses("blockdev-del", {{"node-name", "n"}}, EBUSY, {"export e"}));
  must("block-export-del", {{"id", "e"}});
  wait_deleted();
  EXPECT_EQ(users_at_event(), 0u);
  must("blockdev-del", {{"node-name", "n"}});
}

TEST_F(ExportCommands, a_file_in_use_keeps_its_export_unless_removed_hard) {
  add_node();
  add_export();
  const UniqueFd file(open(disk().c_str(), O_RDONLY));
  ASSERT_TRUE(file.valid());
  EXPECT_TRUE(refuses("block-export-del", {{"id", "e"}}, EBUSY,
                      {"PID " + std::to_string(getpid()), "'hard'"}));
  char byte = 0;
  EXPECT_EQ(pread(file.get(), &byte, 1, 0), 1);
  EXPECT_EQ(must("query-block-exports")[0]["shutting-down"], false);
  must("block-export-del", {{"id", "e"}, {"mode", "hard"}});
  EXPECT_EQ(pread(file.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ENOTCONN);
  must("blockdev-del", {{"node-name", "n"}});
}

TEST_F(ExportCommands, an_export_that_somebody_unmounts_goes_with_an_event) {
  add_node(true);
  add_export({{"writable", true}});
  ASSERT_TRUE(unmount_fuse(path("mnt"), false).ok());
  wait_deleted();
  EXPECT_EQ(must("query-block-exports"), Json::array());
  must("blockdev-del", {{"node-name", "n"}});
}

TEST_F(ExportCommands, an_export_is_listed_and_unmounted_like_any_mount_of_ours) {
  add_node(true);
  add_export({{"writable", true}});
  bool listed = false;
  for (const MountState& each : read_mount_registry()) {
    if (each.mount_point != path("mnt")) continue;
    listed = true;
    EXPECT_EQ(each.image, path("disk.img"));
    EXPECT_EQ(each.mode, "rw");
    EXPECT_EQ(each.pid, getpid());
    EXPECT_FALSE(each.engine.empty());
  }
  EXPECT_TRUE(listed);
  const absl::Status status = unmount_and_wait(path("mnt"));
  EXPECT_TRUE(status.ok()) << status;
  wait_deleted();
  for (const MountState& each : read_mount_registry()) EXPECT_NE(each.mount_point, path("mnt"));
}

TEST_F(ExportCommands, b6_the_iothreads_of_an_export_stay_until_it_has_gone) {
  add_node();
  for (const char* id : {"io0", "io1", "io2"}) {
    must("object-add", {{"qom-type", "iothread"}, {"id", id}});
  }
  add_export({{"iothread", {"io0", "io1"}}, {"fixed-iothread", true}});
  EXPECT_TRUE(refuses("object-del", {{"id", "io0"}}, EBUSY, {"export 'e'"}));
  EXPECT_TRUE(refuses("object-del", {{"id", "io1"}}, EBUSY, {"export 'e'"}));
  must("object-del", {{"id", "io2"}});
  EXPECT_EQ(first_bytes(disk(), 2), "aa");
  must("block-export-del", {{"id", "e"}});
  must("object-del", {{"id", "io0"}});
  must("object-del", {{"id", "io1"}});
}

TEST_F(ExportCommands, one_iothread_may_be_named_as_a_string_and_none_gives_the_default_ones) {
  add_node();
  must("object-add", {{"qom-type", "iothread"}, {"id", "io0"}});
  add_export({{"iothread", "io0"}});
  EXPECT_EQ(must("query-iothreads").size(), 1u);
  must("block-export-del", {{"id", "e"}});
  add_export();
  EXPECT_GT(must("query-iothreads").size(), 1u);
  EXPECT_EQ(first_bytes(disk(), 2), "aa");
}

TEST_F(ExportCommands, the_files_size_follows_a_resize) {
  // The kernel is told of a new size, and asks again a moment later.
  const auto await_size = [this](uint64_t size) {
    while (std::filesystem::file_size(disk()) != size) std::this_thread::yield();
  };
  add_node(true);
  add_export({{"writable", true}});
  EXPECT_EQ(std::filesystem::file_size(disk()), kSize);
  must("block_resize", {{"node-name", "n"}, {"size", kSize / 2}});
  await_size(kSize / 2);
  must("block_resize", {{"node-name", "n"}, {"size", 3 * kSize}});
  await_size(3 * kSize);
}

TEST_F(ExportCommands, only_a_growable_export_grows) {
  add_node(true);
  add_export({{"writable", true}});
  EXPECT_NE(truncate(disk().c_str(), 2 * kSize), 0);
  EXPECT_EQ(errno, EPERM);
  must("block-export-del", {{"id", "e"}});
  add_export({{"writable", true}, {"growable", true}});
  EXPECT_EQ(truncate(disk().c_str(), 2 * kSize), 0);
  EXPECT_EQ(std::filesystem::file_size(path("disk.img")), 2 * kSize);
}

TEST_F(ExportCommands, one_node_may_have_several_exports) {
  add_node(true);
  std::filesystem::create_directory(path("mnt2"));
  add_export({{"writable", true}});
  add_export({{"id", "e2"}, {"mountpoint", path("mnt2")}, {"writable", true}});
  {
    const UniqueFd file(open(disk().c_str(), O_RDWR));
    ASSERT_EQ(pwrite(file.get(), "zz", 2, 0), 2);
  }
  EXPECT_EQ(first_bytes(path("mnt2/disk"), 3), "zza");
  must("block-export-del", {{"id", "e2"}});
  EXPECT_EQ(first_bytes(disk(), 3), "zza");
}

TEST_F(ExportCommands, what_cannot_be_exported_is_refused_and_nothing_is_left) {
  add_node();
  const auto refused = [&](const Json& more, int error, const std::string& word) {
    const auto result = refuses("block-export-add", export_arguments(more), error, {word});
    EXPECT_EQ(must("query-block-exports"), Json::array());
    EXPECT_FALSE(is_mounted("mnt"));
    return result;
  };
  EXPECT_TRUE(refused({{"type", "nbd"}}, EINVAL, "nbd"));
  EXPECT_TRUE(refused({{"id", "9"}}, EINVAL, "identifier"));
  EXPECT_TRUE(refused({{"node-name", "other"}}, ENOENT, "other"));
  EXPECT_TRUE(refused({{"mountpoint", path("missing")}}, ENOENT, "mkdir"));
  EXPECT_TRUE(refused({{"mountpoint", ""}}, EINVAL, "mountpoint"));
  EXPECT_TRUE(refused({{"mountpoint", "/dev/null"}}, ENOTDIR, "regular file"));
  EXPECT_TRUE(refused({{"writable", true}}, EACCES, "read-only"));
  EXPECT_TRUE(refused({{"iothread", "io9"}}, ENOENT, "io9"));
  EXPECT_TRUE(refused({{"iothread", Json::array()}}, EINVAL, "empty"));
  EXPECT_TRUE(refused({{"iothread", {1}}}, EINVAL, "iothread"));
  EXPECT_TRUE(refused({{"allow-other", "maybe"}}, EINVAL, "allow-other"));
  EXPECT_TRUE(refused({{"writethrough", true}}, EINVAL, "writethrough"));
  for (const auto& each : read_mount_registry()) EXPECT_NE(each.mount_point, path("mnt"));
  must("blockdev-del", {{"node-name", "n"}});
}

TEST_F(ExportCommands, two_exports_cannot_have_one_id_or_one_place) {
  add_node();
  add_export();
  std::filesystem::create_directory(path("mnt2"));
  EXPECT_TRUE(refuses("block-export-add", export_arguments({{"mountpoint", path("mnt2")}}), EEXIST,
                      {"'e'"}));
  EXPECT_TRUE(refuses("block-export-add", export_arguments({{"id", "e2"}}), EBUSY, {path("mnt")}));
  EXPECT_TRUE(refuses("block-export-del", {{"id", "e2"}}, ENOENT, {"'e2'"}));
  EXPECT_TRUE(refuses("block-export-del", {{"id", "e"}, {"mode", "soft"}}, EINVAL, {"soft"}));
  EXPECT_EQ(first_bytes(disk(), 2), "aa");
}

TEST_F(ExportCommands, allow_other_follows_the_argument) {
  add_node();
  const auto allows_others = [&] {
    std::ifstream table("/proc/self/mountinfo");
    for (std::string line; std::getline(table, line);) {
      if (line.find(path("mnt")) != std::string::npos) {
        return line.find("allow_other") != std::string::npos;
      }
    }
    return false;
  };
  add_export({{"allow-other", "off"}});
  EXPECT_FALSE(allows_others());
  must("block-export-del", {{"id", "e"}});
  if (geteuid() != 0) GTEST_SKIP() << "only root may let others in everywhere";
  for (const char* word : {"on", "auto"}) {
    add_export({{"allow-other", word}});
    EXPECT_TRUE(allows_others());
    must("block-export-del", {{"id", "e"}});
  }
}

TEST_F(ExportCommands, the_end_unmounts_what_is_in_use) {
  add_node();
  add_export();
  const UniqueFd file(open(disk().c_str(), O_RDONLY));
  ASSERT_TRUE(file.valid());
  const absl::Status ended = shut_down();
  EXPECT_TRUE(ended.ok()) << ended;
  EXPECT_FALSE(is_mounted("mnt"));
}

TEST_F(ExportCommands, exports_come_and_go_while_another_one_of_the_node_is_read) {
  add_node();
  std::filesystem::create_directory(path("mnt2"));
  add_export();
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::atomic<uint64_t> reads{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&, i] {
      const UniqueFd file(open(disk().c_str(), O_RDONLY));
      std::string bytes(4096, '\0');
      for (uint64_t at = static_cast<uint64_t>(i); !stop; ++at) {
        const off_t offset = static_cast<off_t>((at * 4096) % kSize);
        const ssize_t got = pread(file.get(), bytes.data(), bytes.size(), offset);
        if (got != 4096 || bytes != std::string(4096, 'a')) ++failures;
        ++reads;
      }
    });
  }
  for (int round = 0; round < 10; ++round) {
    add_export({{"id", "e2"}, {"mountpoint", path("mnt2")}});
    EXPECT_EQ(first_bytes(path("mnt2/disk"), 2), "aa");
    must("block-export-del", {{"id", "e2"}, {"mode", round % 2 == 0 ? "safe" : "hard"}});
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(failures, 0);
  EXPECT_GT(reads, 0u);
}

// The first use of the default threads starts them, and waits for it.
TEST_F(ExportCommands, a_node_that_goes_while_its_export_starts_is_missed) {
  must("blockdev-add", {{"driver", "null-co"}, {"node-name", "n"}, {"size", kSize}});
  CoEvent done;
  absl::Status added;
  control_->context().spawn("another client", [&] {
    assert_control_thread();
    assert_in_coroutine();
    added = co_run_qmp_command(*daemon_, "block-export-add", export_arguments()).status();
    done.set();
  });
  const absl::Status deleted = run("blockdev-del", {{"node-name", "n"}}).status();
  on_control([&] {
    assert_in_coroutine();
    done.co_wait();
  });
  EXPECT_EQ(status_errno(deleted), added.ok() ? EBUSY : 0) << deleted;
  if (!added.ok()) {
    EXPECT_EQ(status_errno(added), ENOENT) << added;
  }
}

TEST_F(ExportCommands, a_file_that_an_own_export_shows_is_not_opened) {
  add_node(true);
  add_export({{"writable", true}});
  const Json image = {{"driver", "file"}, {"node-name", "itself"}, {"filename", disk()}};
  EXPECT_TRUE(refuses("blockdev-add", image, EDEADLK, {disk(), path("mnt"), "itself"}));
  std::filesystem::create_symlink(disk(), path("link"));
  Json linked = image;
  linked["filename"] = path("link");
  EXPECT_TRUE(refuses("blockdev-add", linked, EDEADLK, {path("mnt")}));
  must("block-export-del", {{"id", "e"}});
  // Underneath there may be anything.
  std::ofstream(disk()) << std::string(kSize, 'u');
  must("blockdev-add", image);
}

TEST_F(ExportCommands, block_devices_have_their_qemu_name_too) {
  must("blockdev-add", {{"driver", "host_device"},
                        {"node-name", "n"},
                        {"filename", path("disk.img")},
                        {"drop-cache", false},
                        {"x-check-cache-dropped", false},
                        {"detect-zeroes", "off"}});
  EXPECT_EQ(facts("n")["drv"], "host_device");
  must("blockdev-add", {{"driver", "null-aio"}, {"node-name", "zero"}});
  EXPECT_EQ(facts("zero")["drv"], "null-aio");
  EXPECT_TRUE(refuses("blockdev-add",
                      {{"driver", "file"},
                       {"node-name", "x"},
                       {"filename", path("disk.img")},
                       {"x-check-cache-dropped", true}},
                      EINVAL, {"x-check-cache-dropped"}));
}

TEST_F(ExportCommands, storage_that_never_answers_holds_up_neither_threads_nor_mounts) {
  ThreadPool storage(1);
  LocalHost host(ThreadPool::shared(), storage);
  std::binary_semaphore answered(0);
  storage.submit([&] { answered.acquire(); });
  EXPECT_TRUE(shut_down().ok());
  make_daemon(host);
  const Json image = {
      {"driver", "file"}, {"node-name", "n"}, {"filename", path("disk.img")}, {"read-only", true}};
  EXPECT_TRUE(refuses("blockdev-add", image, EAGAIN, {"storage"}));
  must("object-add", {{"qom-type", "iothread"}, {"id", "io0"}});
  must("blockdev-add", {{"driver", "null-co"}, {"node-name", "n"}, {"size", kSize}});
  add_export({{"iothread", "io0"}});
  EXPECT_EQ(std::filesystem::file_size(disk()), kSize);
  // Also the end needs none of these threads.
  EXPECT_TRUE(shut_down().ok());
  EXPECT_FALSE(is_mounted("mnt"));
  answered.release();
}

}  // namespace
}  // namespace penstock
