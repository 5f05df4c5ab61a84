// SPDX-License-Identifier: Apache-2.0
#include "control/image_file_finder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

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

TEST_F(FileFinderTest, AResolvedPathIsOpenedWithoutFollowingLinks) {
  touch("own/base");
  EXPECT_TRUE(open_without_links(path("own/base"), O_RDONLY).ok());
  fs::create_symlink("base", folder_ / "own/link");
  fs::create_directory_symlink(folder_ / "own", folder_ / "alias");
  for (const char* name : {"own/link", "alias/base"}) {
    EXPECT_EQ(status_errno(open_without_links(path(name), O_RDONLY).status()), ELOOP) << name;
  }
  EXPECT_EQ(status_errno(open_without_links(path("none"), O_RDONLY).status()), ENOENT);
}

}  // namespace
}  // namespace penstock
