// SPDX-License-Identifier: Apache-2.0
// Directories that are filled when somebody first looks into them.
#include <dirent.h>
#include <errno.h>

#include <atomic>
#include <cstring>
#include <set>
#include <thread>

#include "iothreads/thread_pool.h"
#include "tests/fuse/mounted_test.h"

namespace penstock {
namespace {

class Filler : public DirectoryFiller {
 public:
  absl::StatusOr<Filled> co_fill(ServedTree& tree,
                                 uint64_t directory) override CONTROL_COROUTINE_CODE {
    ++runs;
    started.set();
    if (before) {
      const absl::Status status = before();
      if (!status.ok()) return status;
    }
    if (runs <= in_parts) {
      tree.add_text(directory, "part-" + std::to_string(runs), "");
      return Filled::kForNow;
    }
    tree.add_text(directory, "a", "first");
    tree.add_text(directory, "b", "second");
    return Filled::kAll;
  }

  std::function<absl::Status()> before;  // runs in the coroutine on the control thread
  int in_parts = 0;                      // so many runs do not add all
  CoEvent started;
  std::atomic<int> runs{0};
};

class FilledDirectory : public MountedTest {
 protected:
  void start_tree() {
    ServedTree& served = tree();
    on_control([&] {
      assert_control_thread();
      served.add_directory(FUSE_ROOT_ID, "lazy", &filler_);
      const uint64_t hidden = served.add_directory(FUSE_ROOT_ID, ".own", nullptr, true);
      served.add_file(hidden, "disk", file_);
    });
    start();
  }

  int look_up(const std::string& name) const {
    struct stat attributes;
    return error_of(stat((directory_ + "/" + name).c_str(), &attributes));
  }

  std::set<std::string> list(const std::string& name) const {
    std::set<std::string> names;
    DIR* stream = opendir((directory_ + "/" + name).c_str());
    EXPECT_NE(stream, nullptr) << strerror(errno);
    if (stream == nullptr) return names;
    while (const dirent* entry = readdir(stream)) names.insert(entry->d_name);
    closedir(stream);
    return names;
  }

  // The filler waits for go_on_.
  void hold_filler() {
    filler_.before = [this] {
      assert_in_coroutine();
      go_on_.co_wait();
      return absl::OkStatus();
    };
  }

  void wait_until_it_fills() {
    on_control([this] {
      assert_in_coroutine();
      filler_.started.co_wait();
    });
  }

  CoEvent go_on_;
  Filler filler_;
};

TEST_F(FilledDirectory, IsFilledByTheFirstLookIntoItAndNotByAStatOfIt) {
  start_tree();
  EXPECT_EQ(look_up("lazy"), 0);
  EXPECT_EQ(list(""), (std::set<std::string>{".", "..", "disk", "lazy"}));
  EXPECT_EQ(filler_.runs, 0);
  EXPECT_EQ(look_up("lazy/b"), 0);
  EXPECT_EQ(look_up("lazy/c"), ENOENT);
  EXPECT_EQ(list("lazy"), (std::set<std::string>{".", "..", "a", "b"}));
  EXPECT_EQ(filler_.runs, 1);
}

TEST_F(FilledDirectory, IsFilledByListingIt) {
  start_tree();
  EXPECT_EQ(list("lazy"), (std::set<std::string>{".", "..", "a", "b"}));
  EXPECT_EQ(filler_.runs, 1);
}

TEST_F(FilledDirectory, IsFilledOnceForManyWhoLookAtTheSameTime) {
  hold_filler();
  start_tree();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, i] {
      // Each a name of its own, since the kernel asks once for a name that several want.
      EXPECT_EQ(look_up("lazy/none-" + std::to_string(i)), ENOENT);
      EXPECT_EQ(look_up("lazy/a"), 0);
    });
  }
  wait_until_it_fills();
  EXPECT_EQ(look_up("disk"), 0) << "others are served meanwhile";
  EXPECT_EQ(look_up("missing"), ENOENT);
  go_on_.set();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(filler_.runs, 1);
}

TEST_F(FilledDirectory, AnErrorIsToldAndTheNextLookTriesAgain) {
  filler_.before = [this] {
    return filler_.runs == 1 ? errno_status(EBADMSG, "test") : absl::OkStatus();
  };
  start_tree();
  EXPECT_EQ(look_up("lazy/a"), EBADMSG);
  EXPECT_EQ(look_up("lazy/a"), 0);
  EXPECT_EQ(filler_.runs, 2);
}

TEST_F(FilledDirectory, WhatIsThereForNowIsShownAndTheNextLookFillsInMore) {
  filler_.in_parts = 2;
  start_tree();
  EXPECT_EQ(look_up("lazy/part-1"), 0);
  EXPECT_EQ(filler_.runs, 1);
  EXPECT_EQ(look_up("lazy/part-2"), 0);
  EXPECT_EQ(filler_.runs, 2);
  EXPECT_EQ(list("lazy"), (std::set<std::string>{".", "..", "part-1", "part-2", "a", "b"}));
  EXPECT_EQ(look_up("lazy/c"), ENOENT);
  EXPECT_EQ(filler_.runs, 3) << "all is there";
}

// What the server's own helper does: while somebody's lookup waits for the filler, it opens and
// reads a file of the same mount through the kernel.
TEST_F(FilledDirectory, TheFillerMayWaitForAReadThroughTheMount) {
  driver_->set_bytes(pattern_bytes(kSize, 5));
  const std::string own = directory_ + "/.own/disk";
  int error = -1;
  std::vector<std::byte> bytes;
  filler_.before = [&] {
    assert_in_coroutine();
    ThreadPool::shared().co_run([&] {
      const UniqueFd fd(open(own.c_str(), O_RDONLY | O_CLOEXEC));
      error = fd.valid() ? 0 : errno;
      if (fd.valid()) bytes = read_at(fd.get(), 4096, 0);
    });
    return absl::OkStatus();
  };
  start_tree();
  EXPECT_EQ(look_up("lazy/a"), 0);
  // It waited for the filler through the kernel, which TSan does not see.
  on_control([] {});
  EXPECT_EQ(error, 0);
  const auto all = driver_->bytes();
  EXPECT_EQ(bytes, std::vector<std::byte>(all.begin(), all.begin() + 4096));
}

TEST_F(FilledDirectory, ADrainDoesNotWaitForIt) {
  hold_filler();
  start_tree();
  std::thread looker([this] { EXPECT_EQ(look_up("lazy/a"), 0); });
  wait_until_it_fills();
  on_control([this] {
    assert_control_thread();
    backend_->gate.quiesce();
    EXPECT_TRUE(backend_->gate.idle());
    backend_->gate.resume();
  });
  go_on_.set();
  looker.join();
}

TEST_F(FilledDirectory, StopWaitsForIt) {
  hold_filler();
  start_tree();
  std::thread looker([this] { look_up("lazy/a"); });
  wait_until_it_fills();
  std::atomic<bool> stopped{false};
  std::thread stopper([&] {
    EXPECT_TRUE(stop(std::chrono::milliseconds(20)).ok());
    stopped = true;
  });
  on_control([this] {
    assert_in_coroutine();
    EXPECT_FALSE(export_->ended().is_set());
  });
  EXPECT_FALSE(stopped);
  go_on_.set();
  stopper.join();
  looker.join();
}

}  // namespace
}  // namespace penstock
