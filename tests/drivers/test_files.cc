// SPDX-License-Identifier: Apache-2.0
#include "tests/drivers/test_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/unique_fd.h"

namespace penstock {
namespace {

constexpr uint64_t kPage = 4096;

void require(bool condition, const std::string& what) {
  if (condition) return;
  std::perror(what.c_str());
  std::abort();
}

UniqueFd open_file(const std::string& path, int flags) {
  UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC));
  require(fd.valid(), path);
  return fd;
}

}  // namespace

TestFile::TestFile(const std::string& folder, uint64_t size)
    : path_(folder + "/penstock-test-XXXXXX") {
  const UniqueFd fd(mkostemp(path_.data(), O_CLOEXEC));
  require(fd.valid(), path_);
  require(ftruncate(fd.get(), static_cast<off_t>(size)) == 0, path_);
}

TestFile::~TestFile() { unlink(path_.c_str()); }

uint64_t TestFile::size() const {
  struct stat about = {};
  require(stat(path_.c_str(), &about) == 0, path_);
  return static_cast<uint64_t>(about.st_size);
}

void TestFile::write(uint64_t offset, std::span<const std::byte> data) const {
  const UniqueFd fd = open_file(path_, O_WRONLY);
  const ssize_t written = pwrite(fd.get(), data.data(), data.size(), static_cast<off_t>(offset));
  require(written == static_cast<ssize_t>(data.size()), path_);
}

std::vector<std::byte> TestFile::read(uint64_t offset, uint64_t length) const {
  const UniqueFd fd = open_file(path_, O_RDONLY);
  std::vector<std::byte> data(length);
  const ssize_t got = pread(fd.get(), data.data(), length, static_cast<off_t>(offset));
  require(got >= 0, path_);
  data.resize(static_cast<size_t>(got));
  return data;
}

void TestFile::truncate(uint64_t size) const {
  require(::truncate(path_.c_str(), static_cast<off_t>(size)) == 0, path_);
}

std::vector<bool> TestFile::data_pages() const {
  const UniqueFd fd = open_file(path_, O_RDONLY);
  std::vector<bool> pages(size() / kPage);
  for (size_t page = 0; page < pages.size(); ++page) {
    const auto offset = static_cast<off_t>(page * kPage);
    pages[page] = lseek(fd.get(), offset, SEEK_DATA) == offset;
  }
  return pages;
}

std::vector<std::byte> pattern(uint64_t length, uint64_t seed) {
  std::minstd_rand random(static_cast<uint32_t>(seed * 2654435761u + 1));
  std::vector<std::byte> data(length);
  for (std::byte& byte : data) byte = static_cast<std::byte>(1 + random() % 255);
  return data;
}

}  // namespace penstock
