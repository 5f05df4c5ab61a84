// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over a folder of seeds and, for a while, over mutations of them.
//
// Usage: smoke_main FOLDER MILLISECONDS
//
// PENSTOCK_TEST_SEED chooses other mutations. The target runs in a child process; an input that
// ends it is made again and left in the working folder, to be replayed by the fuzzer itself or by
// this program with FOLDER being a folder that holds nothing else.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "fuzz/big_endian_mutation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

constexpr unsigned kMaxChanges = 4;
constexpr unsigned kInputTimeLimit = 60;  // seconds

std::vector<Bytes> read_seeds(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> seeds;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return seeds;
}

uint64_t chosen_seed() {
  const char* text = std::getenv("PENSTOCK_TEST_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : 1;
}

// An input is a function of the seed and its number.
Bytes make_input(const std::vector<Bytes>& seeds, uint64_t number) {
  if (number < seeds.size()) return seeds[number];
  std::mt19937_64 random(chosen_seed() * 0x9e3779b97f4a7c15 + number);
  Bytes bytes = seeds[random() % seeds.size()];
  for (uint64_t changes = 1 + random() % kMaxChanges; changes > 0; --changes) {
    bytes.resize(penstock::mutate_fields(bytes, random));
  }
  return bytes;
}

void run_inputs(const std::vector<Bytes>& seeds, std::chrono::milliseconds time,
                std::atomic<uint64_t>& number) {
  const auto end = std::chrono::steady_clock::now() + time;
  for (; number < seeds.size() || std::chrono::steady_clock::now() < end; ++number) {
    const Bytes bytes = make_input(seeds, number);
    // A copy of exactly this size, so that a sanitizer sees a read past its end.
    const auto exact = std::make_unique<uint8_t[]>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), exact.get());
    alarm(kInputTimeLimit);
    LLVMFuzzerTestOneInput(exact.get(), bytes.size());
  }
  alarm(0);
}

int report(const std::vector<Bytes>& seeds, uint64_t number, const std::string& program) {
  const Bytes bytes = make_input(seeds, number);
  const std::string path =
      std::filesystem::path(program).filename().string() + "-" + std::to_string(number);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  std::fprintf(stderr, "input %llu ended the target; it is in %s\n",
               static_cast<unsigned long long>(number), std::filesystem::absolute(path).c_str());
  return 1;
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count != 3) {
    std::fprintf(stderr, "usage: %s FOLDER MILLISECONDS\n", arguments[0]);
    return 2;
  }
  const std::vector<Bytes> seeds = read_seeds(arguments[1]);
  if (seeds.empty()) {
    std::fprintf(stderr, "%s holds no seeds; run fuzz/make-corpus\n", arguments[1]);
    return 2;
  }
  const std::chrono::milliseconds time(std::atoll(arguments[2]));

  void* const shared = mmap(nullptr, sizeof(std::atomic<uint64_t>), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) {
    std::perror("mmap");
    return 2;
  }
  auto& number = *new (shared) std::atomic<uint64_t>(0);
  const pid_t child = fork();
  if (child == 0) {
    run_inputs(seeds, time, number);
    std::exit(0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) {
    std::perror("the child process");
    return 2;
  }
  if (status != 0) return report(seeds, number, arguments[0]);
  std::printf("%llu inputs\n", static_cast<unsigned long long>(number.load()));
  return 0;
}
