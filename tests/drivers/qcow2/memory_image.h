// SPDX-License-Identifier: Apache-2.0
// A file in memory below a node, for tests of qcow2's parts without a graph or a driver.
//
// Ownership: owns the nodes. Declare it before the threads that use it.
// Threads: built on the test's thread before requests run; in_flight() in a coroutine.
// Errors: none.
// Invariants: none.
#pragma once

#include <endian.h>

#include <cstring>
#include <functional>
#include <memory>
#include <utility>

#include "tests/block/block_test_support.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"

namespace penstock {

class MemoryImage {
 public:
  explicit MemoryImage(uint64_t size) : bytes_(size), image_(add_image()) {
    file_ = &add_child("file", size);
  }
  MemoryImage(const MemoryImage&) = delete;
  MemoryImage& operator=(const MemoryImage&) = delete;

  const Child& file() const { return *file_; }
  MemoryDriver& memory() { return *memory_; }

  // Another child of the image, `size` bytes in memory.
  const Child& add(const std::string& name, uint64_t size) { return add_child(name, size); }

  // A big-endian word of the file. REQUIRES: store() follows before it is read.
  void put(uint64_t offset, uint64_t word) {
    word = htobe64(word);
    std::memcpy(bytes_.data() + offset, &word, sizeof(word));
  }
  void store() { memory_->set_bytes(bytes_); }

  // Runs `work` as a request that is in flight in the image's node, in the current coroutine.
  template <typename F>
  auto in_flight(F&& work) COROUTINE_CODE {
    BackendRequest request(*backend_, "test", 0, 0);
    return work();
  }

 private:
  Node& add_image() {
    Node& node = graph_.add_node("image", std::make_unique<MappedTestDriver>(), 1 << 20);
    backend_ = &graph_.add_backend(node);
    return node;
  }
  Child& add_child(const std::string& name, uint64_t size) {
    auto driver = std::make_unique<MemoryDriver>(size);
    if (memory_ == nullptr) memory_ = driver.get();
    Node& node = graph_.add_node(name, std::move(driver), size);
    return graph_.add_child(image_, name, ChildRole::kImage, node);
  }

  Bytes bytes_;
  TestGraph graph_;
  Backend* backend_ = nullptr;
  MemoryDriver* memory_ = nullptr;
  Node& image_;
  Child* file_ = nullptr;
};

}  // namespace penstock
