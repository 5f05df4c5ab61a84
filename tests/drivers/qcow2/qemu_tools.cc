// SPDX-License-Identifier: Apache-2.0
#include "tests/drivers/qcow2/qemu_tools.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/drivers/child_process.h"

namespace penstock {
namespace {

std::string run(std::vector<std::string> command) {
  const ProcessResult result = run_process(command);
  if (result.exit_status == 0) return result.output;
  std::string line;
  for (const std::string& word : command) line += word + " ";
  std::fprintf(stderr, "%s\nended with status %d: %s\n", line.c_str(), result.exit_status,
               result.output.c_str());
  std::abort();
}

}  // namespace

ImageFolder::ImageFolder() {
  std::string name = "/dev/shm/penstock-images-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) std::abort();
  path_ = name;
}

ImageFolder::~ImageFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string qemu_img(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"qemu-img"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run(std::move(command));
}

void qemu_io(const std::string& image, const std::vector<std::string>& commands) {
  std::vector<std::string> command = {"qemu-io", "-f", "qcow2", "-d", "unmap"};
  for (const std::string& text : commands) {
    command.emplace_back("-c");
    command.push_back(text);
  }
  command.push_back(image);
  run(std::move(command));
}

nlohmann::json qemu_info(const std::string& image) {
  return nlohmann::json::parse(qemu_img({"info", "--output=json", image}));
}

std::vector<std::byte> qemu_bytes(const std::string& image, const std::string& snapshot) {
  const std::string raw = image + ".expected";
  std::vector<std::string> arguments = {"convert", "-f", "qcow2", "-O", "raw"};
  if (!snapshot.empty()) arguments.insert(arguments.end(), {"-l", snapshot});
  arguments.insert(arguments.end(), {image, raw});
  qemu_img(arguments);
  std::vector<std::byte> bytes = file_bytes(raw);
  std::filesystem::remove(raw);
  return bytes;
}

void fill_by_qemu(const std::string& image, uint64_t size, uint64_t cluster_size, bool compressed,
                  unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::string> commands;
  for (unsigned i = 0; i < 60; ++i) {
    const uint64_t unit = 512;
    uint64_t length = (1 + random() % (2 * cluster_size / unit)) * unit;
    uint64_t offset = random() % (size / unit) * unit;
    length = std::min(length, size - offset);
    const std::string range = std::to_string(offset) + " " + std::to_string(length);
    const std::string value = std::to_string(1 + random() % 255);
    switch (random() % (compressed ? 6 : 5)) {
      case 0:
      case 1:
        commands.push_back("write -P " + value + " " + range);
        break;
      case 2:
        commands.push_back("write -z " + range);
        break;
      case 3:
        commands.push_back("write -z -u " + range);
        break;
      case 4:
        commands.push_back("discard " + range);
        break;
      default:
        offset = offset / cluster_size * cluster_size;
        if (offset + cluster_size > size) break;
        // QEMU compresses only into clusters that have no place yet.
        commands.push_back("discard " + std::to_string(offset) + " " +
                           std::to_string(cluster_size));
        commands.push_back("write -c -P " + value + " " + std::to_string(offset) + " " +
                           std::to_string(cluster_size));
    }
  }
  qemu_io(image, commands);
}

std::vector<std::byte> file_bytes(const std::string& path) {
  std::vector<std::byte> bytes(std::filesystem::file_size(path));
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file) std::abort();
  return bytes;
}

void patch_file(const std::string& path, uint64_t offset, const std::vector<uint8_t>& bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) std::abort();
}

}  // namespace penstock
