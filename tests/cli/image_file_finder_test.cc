// SPDX-License-Identifier: Apache-2.0
#include "control/image_file_finder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/status.h"
#include "control/open_without_links.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

TEST(CombinedPath, IsRelativeToTheImageThatCarriesTheName) {
  EXPECT_EQ(combined_path("top", "base"), "base");
  EXPECT_EQ(combined_path("dir/top", "base"), "dir/base");
  EXPECT_EQ(combined_path("/dir/top", "../base"), "/dir/../base");
  EXPECT_EQ(combined_path("/dir/top", "/base"), "/base");
  EXPECT_EQ(combined_path("/dir/top", "file:base"), "/dir/base");
  EXPECT_EQ(combined_path("/dir/top", "nbd:host:1"), "nbd:host:1");
  EXPECT_EQ(combined_path("/dir/top", "./a:b"), "/dir/./a:b");
}

class FileFinderTest : public testing::Test {
 protected:
  FileFinderTest() {
    std::string pattern = fs::temp_directory_path() / "penstock-names-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    folder_ = fs::canonical(pattern);
    fs::create_directories(folder_ / "own");
    // Its name begins like the other's.
    fs::create_directories(folder_ / "own-not");
    touch("own/top");
  }
  ~FileFinderTest() override { fs::remove_all(folder_); }

  void touch(const std::string& name) { std::ofstream(folder_ / name) << name; }
  std::string path(const std::string& name) const { return folder_ / name; }
  ImageReference reference(const std::string& name) const {
    return {ImageReference::Purpose::kBacking, name, "", path("own/top")};
  }
  ImageFileFinder finder(ChainOptions options = {}) const {
    return ImageFileFinder(path("own/top"), std::move(options));
  }
  int error_of(const std::string& name, ChainOptions options = {}) const {
    return status_errno(finder(std::move(options)).find(reference(name), name).status());
  }

  fs::path folder_;
};

TEST_F(FileFinderTest, ShowsTheNamedPathAndOpensTheRealOne) {
  touch("own/base");
  fs::create_symlink("base", folder_ / "own/link");
  ImageFileFinder finder = this->finder();
  const auto found = finder.find(reference("link"), "link");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->shown_path, path("own/link"));
  EXPECT_EQ(found->real_path, path("own/base"));
  EXPECT_EQ(status_errno(finder.find(reference("base"), "base").status()), ELOOP);
}

TEST_F(FileFinderTest, ANeighbourWithALongerNameIsOutside) {
  touch("own-not/base");
  EXPECT_EQ(error_of("../own-not/base"), EPERM);
  EXPECT_EQ(error_of("../own-not/base", {{}, {}, {path("own-not")}}), 0);
}

TEST_F(FileFinderTest, EmptyAndUselessNamesAreErrors) {
  EXPECT_EQ(error_of(""), EINVAL);
  EXPECT_EQ(error_of("file:"), EINVAL);
  EXPECT_EQ(error_of("."), EPERM);
  EXPECT_EQ(error_of("top/x"), ENOTDIR);
  EXPECT_EQ(error_of(std::string(5000, 'x')), ENAMETOOLONG);
}

TEST_F(FileFinderTest, AnAllowedTreeThatIsALinkCountsAsWhatItIs) {
  touch("own-not/base");
  fs::create_directory_symlink(folder_ / "own-not", folder_ / "alias");
  EXPECT_EQ(error_of(path("own-not/base"), {{}, {}, {path("alias")}}), 0);
}

TEST_F(FileFinderTest, TheImagesDirectoryIsThatOfWhatIsOpenedWhateverThePathBecomes) {
  touch("own-not/top");
  touch("own-not/secret");
  ImageFileFinder finder = this->finder();
  const auto real = finder.resolve_image();
  ASSERT_TRUE(real.ok()) << real.status();
  EXPECT_EQ(*real, path("own/top"));
  fs::remove(folder_ / "own/top");
  fs::create_symlink("../own-not/top", folder_ / "own/top");
  const std::string secret = path("own-not/secret");
  EXPECT_EQ(status_errno(finder.find(reference(secret), secret).status()), EPERM);
  EXPECT_EQ(status_errno(open_without_links(*real, O_RDONLY).status()), ELOOP);
}

TEST_F(FileFinderTest, ALinkedImageIsResolvedAndOneUnderNoPathHasNoDirectory) {
  touch("own/base");
  fs::create_symlink("own/top", folder_ / "link");
  ImageFileFinder linked(path("link"), {});
  const auto real = linked.resolve_image();
  ASSERT_TRUE(real.ok()) << real.status();
  EXPECT_EQ(*real, path("own/top"));

  touch("own/gone");
  const UniqueFd gone(::open(path("own/gone").c_str(), O_RDONLY | O_CLOEXEC));
  fs::remove(folder_ / "own/gone");
  ImageFileFinder removed("/proc/self/fd/" + std::to_string(gone.get()), {});
  const auto none = removed.resolve_image();
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(*none, "");
  EXPECT_EQ(status_errno(removed.find(reference("base"), "base").status()), EPERM);

  ImageFileFinder missing(path("none"), {});
  EXPECT_EQ(status_errno(missing.resolve_image().status()), ENOENT);
}

TEST_F(FileFinderTest, ASearchDirectoryHoldsRegularFilesOnlyAndNoWayOut) {
  touch("own-not/outside");
  fs::create_directories(folder_ / "store");
  fs::create_symlink("../own-not/outside", folder_ / "store/outside");
  touch("store/inside");
  const ChainOptions options{{}, {path("store")}, {}};
  EXPECT_EQ(error_of("/gone/inside", options), 0);
  EXPECT_EQ(error_of("/gone/outside", options), EPERM);
  ChainOptions allowed = options;
  allowed.allowed_directories = {path("own-not")};
  EXPECT_EQ(error_of("/gone/outside", allowed), 0);
}

TEST_F(FileFinderTest, ABlockDeviceNeedsToBeAllowedOrNamed) {
  fs::create_directories(folder_ / "store");
  const std::string device = path("store/device");
  if (::mknod(device.c_str(), S_IFBLK | 0600, makedev(7, 0)) != 0) {
    GTEST_SKIP() << "this user cannot make devices";
  }
  EXPECT_EQ(error_of("/gone/device", {{}, {path("store")}, {}}), EPERM);
  EXPECT_EQ(error_of("/gone/device", {{}, {path("store")}, {path("store")}}), 0);
  EXPECT_EQ(error_of("/gone/device", {{{"device", device}}, {}, {}}), 0);
}

TEST_F(FileFinderTest, WhatAMovedImageNamesMayHaveMovedWithIt) {
  touch("own-not/middle");
  touch("own-not/base");
  ImageFileFinder searching = finder({{}, {path("own-not")}, {}});
  ASSERT_TRUE(searching.find(reference("middle"), "middle").ok());
  const ImageReference below{ImageReference::Purpose::kBacking, "base", "", path("own-not/middle")};
  EXPECT_EQ(status_errno(searching.find(below, "base").status()), 0);

  ImageFileFinder renaming = finder({{{"middle", path("own-not/middle")}}, {}, {}});
  EXPECT_EQ(status_errno(renaming.find(below, "base").status()), EPERM);
  ASSERT_TRUE(renaming.find(reference("middle"), "middle").ok());
  EXPECT_EQ(status_errno(renaming.find(below, "base").status()), 0);
}

TEST_F(FileFinderTest, TheRootDirectoryIsNoTreeUnlessItIsAllowed) {
  touch("own-not/base");
  EXPECT_EQ(error_of(path("own-not/base"), {{}, {"/"}, {}}), EPERM);
  EXPECT_EQ(error_of(path("own-not/base"), {{}, {}, {"/"}}), 0);
}

TEST_F(FileFinderTest, AZeroByteEndsNoName) {
  touch("own/base");
  EXPECT_EQ(error_of(std::string("base\0x", 6)), EINVAL);
}

TEST_F(FileFinderTest, AnErrorMentionsWhatTheUserSaidInVain) {
  ImageFileFinder finder = this->finder({{{"bse", path("own/top")}}, {}, {}});
  const absl::Status status = finder.find(reference("base"), "base").status();
  EXPECT_EQ(status_errno(status), ENOENT);
  EXPECT_NE(status_text(status).find("no image names 'bse'"), std::string::npos) << status;
  EXPECT_EQ(finder.unmatched_names(), std::vector<std::string>{"bse"});
}

class ResolvedPathTest : public FileFinderTest {
 protected:
  void expect_that_no_link_is_followed() const {
    EXPECT_TRUE(open_without_links(path("own/base"), O_RDONLY).ok());
    for (const char* name : {"own/link", "alias/base"}) {
      for (const int flags : {O_RDONLY, O_PATH}) {
        EXPECT_EQ(status_errno(open_without_links(path(name), flags).status()), ELOOP) << name;
      }
    }
    EXPECT_EQ(status_errno(open_without_links(path("none"), O_RDONLY).status()), ENOENT);
    EXPECT_EQ(status_errno(open_without_links(path("own/base/x"), O_RDONLY).status()), ENOTDIR);
  }
  void SetUp() override {
    touch("own/base");
    fs::create_symlink("base", folder_ / "own/link");
    fs::create_directory_symlink(folder_ / "own", folder_ / "alias");
  }
};

TEST_F(ResolvedPathTest, IsOpenedWithoutFollowingLinks) { expect_that_no_link_is_followed(); }

// Answers `error` to openat2, for the calling thread only.
bool forbid_openat2(int error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {sizeof program / sizeof program[0], program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(ResolvedPathTest, IsOpenedWithoutFollowingLinksWhereOpenat2IsMissingOrForbidden) {
  for (const int error : {ENOSYS, EPERM}) {
    bool forbidden = false;
    std::thread([&] {
      forbidden = forbid_openat2(error);
      if (forbidden) expect_that_no_link_is_followed();
    }).join();
    if (!forbidden) GTEST_SKIP() << "filters of system calls are not allowed here";
  }
}

}  // namespace
}  // namespace penstock
