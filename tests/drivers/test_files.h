// SPDX-License-Identifier: Apache-2.0
// Files for tests: made, looked at past Penstock, and removed.
//
// Ownership: a TestFile removes its file when it goes.
// Threads: blocking; the test's own thread.
// Errors: aborts with the reason: a test cannot go on without its file.
// Invariants: names are unique among processes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace penstock {

class TestFile {
 public:
  // A sparse file of `size` bytes in `folder`.
  TestFile(const std::string& folder, uint64_t size);
  TestFile(const TestFile&) = delete;
  TestFile& operator=(const TestFile&) = delete;
  ~TestFile();

  const std::string& path() const { return path_; }
  uint64_t size() const;
  void write(uint64_t offset, std::span<const std::byte> data) const;
  std::vector<std::byte> read(uint64_t offset, uint64_t length) const;
  void truncate(uint64_t size) const;
  // Where the data is, by SEEK_DATA and SEEK_HOLE: one flag for each 4096 bytes.
  std::vector<bool> data_pages() const;

 private:
  std::string path_;
};

// Bytes that differ from place to place and from seed to seed, and are never zero.
std::vector<std::byte> pattern(uint64_t length, uint64_t seed);

}  // namespace penstock
