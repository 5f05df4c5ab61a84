// SPDX-License-Identifier: Apache-2.0
// Images made and read by QEMU's tools, to compare with.
//
// Ownership: an ImageFolder removes its files when it goes.
// Threads: blocking; the test's own thread.
// Errors: a tool that fails ends the test program with its output: nothing can be compared then.
// Invariants: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace penstock {

class ImageFolder {
 public:
  ImageFolder();
  ImageFolder(const ImageFolder&) = delete;
  ImageFolder& operator=(const ImageFolder&) = delete;
  ~ImageFolder();

  std::string path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string qemu_img(const std::vector<std::string>& arguments);
void qemu_io(const std::string& image, const std::vector<std::string>& commands);

// What "qemu-img info" says.
nlohmann::json qemu_info(const std::string& image);
// The disk's bytes, or a snapshot's, as "qemu-img convert -O raw" writes them.
std::vector<std::byte> qemu_bytes(const std::string& image, const std::string& snapshot = "");

// Writes, zeroes, discards and (`compressed`) compressed clusters at places that `seed` chooses.
// `size` and `cluster_size` in bytes.
void fill_by_qemu(const std::string& image, uint64_t size, uint64_t cluster_size, bool compressed,
                  unsigned seed);

std::vector<std::byte> file_bytes(const std::string& path);
// Replaces bytes of a file.
void patch_file(const std::string& path, uint64_t offset, const std::vector<uint8_t>& bytes);

}  // namespace penstock
