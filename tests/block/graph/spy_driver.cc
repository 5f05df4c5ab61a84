// SPDX-License-Identifier: Apache-2.0
#include "tests/block/graph/spy_driver.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/status.h"
#include "block/io/child_io.h"
#include "block/node/node.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

class SpyDriver : public Driver, public DirectIo, public Resizable {
 public:
  SpyDriver(Spy& spy, Child* file, bool filter) : spy_(spy), file_(file), filter_(filter) {
    ++spy_.live;
  }
  ~SpyDriver() override { --spy_.live; }

  DirectIo* direct_io() override { return this; }
  Resizable* resizable() override { return this; }
  bool grows_by_writing() const override { return false; }
  bool is_filter() const override { return filter_; }

  Permissions child_permissions(const Child& child,
                                const Permissions& parents) const override GLOBAL_STATE_CODE {
    if (spy_.child_permissions) return spy_.child_permissions(child, parents);
    return Driver::child_permissions(child, parents);
  }
  absl::Status co_prepare_permissions(const Permissions& permissions) override
      CONTROL_COROUTINE_CODE {
    if (spy_.on_prepare) {
      if (absl::Status status = spy_.on_prepare(permissions); !status.ok()) return status;
    }
    ++spy_.prepared;
    prepared_ = permissions;
    return absl::OkStatus();
  }
  void commit_permissions() override GLOBAL_STATE_CODE {
    --spy_.prepared;
    spy_.permissions = prepared_;
  }
  void roll_back_permissions() override GLOBAL_STATE_CODE { --spy_.prepared; }

  void drain_begin() override GLOBAL_STATE_CODE {
    ++spy_.drained;
    ++spy_.drain_begins;
  }
  void drain_end() override GLOBAL_STATE_CODE { --spy_.drained; }

  absl::StatusOr<Reopened> co_prepare_reopen(const ReopenContext& context) override
      CONTROL_COROUTINE_CODE {
    if (spy_.on_reopen) {
      if (absl::Status status = spy_.on_reopen(); !status.ok()) return status;
    }
    if (absl::Status status = refuse_changed_options(context); !status.ok()) return status;
    if (spy_.keeps_its_storage) {
      if (absl::Status status = refuse_other_storage(context); !status.ok()) return status;
    }
    Reopened result;
    if (filter_) result.size = context.new_file_size;
    result.size_follows_file = filter_;
    result.driver = std::make_unique<SpyDriver>(spy_, file_, filter_);
    return result;
  }

  absl::Status co_inactivate() override IO_CODE {
    ++spy_.inactivations;
    return spy_.on_inactivate ? spy_.on_inactivate() : absl::OkStatus();
  }

 private:
  absl::Status co_request() {
    if (spy_.quiet.load() != 0) ++spy_.violations;
    absl::Status status = spy_.on_request ? spy_.on_request() : absl::OkStatus();
    if (spy_.quiet.load() != 0) ++spy_.violations;
    return status;
  }

  absl::Status co_readv(uint64_t offset, const IoVector& data,
                        RequestFlags flags) override IO_CODE {
    ++spy_.reads;
    if (absl::Status status = co_request(); !status.ok()) return status;
    if (file_ != nullptr) return co_preadv(*file_, offset, data, flags);
    std::array<std::byte, Spy::kBlockSize> block{};
    const uint64_t value = spy_.current[offset / Spy::kBlockSize].load();
    std::memcpy(block.data(), &value, sizeof(value));
    data.copy_from(std::span<const std::byte>(block));
    return absl::OkStatus();
  }
  absl::Status co_writev(uint64_t offset, const IoVector& data,
                         RequestFlags flags) override IO_CODE {
    ++spy_.writes;
    if (absl::Status status = co_request(); !status.ok()) return status;
    if (file_ != nullptr) return co_pwritev(*file_, offset, data, flags);
    std::array<std::byte, Spy::kBlockSize> block{};
    data.copy_to(std::span<std::byte>(block));
    uint64_t value = 0;
    std::memcpy(&value, block.data(), sizeof(value));
    spy_.current[offset / Spy::kBlockSize].store(value);
    return absl::OkStatus();
  }
  // Durable is what was there when the flush began.
  absl::Status co_flush() override IO_CODE {
    ++spy_.flushes;
    std::array<uint64_t, Spy::kBlocks> seen{};
    for (unsigned i = 0; i < Spy::kBlocks; ++i) seen[i] = spy_.current[i].load();
    if (absl::Status status = co_request(); !status.ok()) return status;
    if (file_ != nullptr) return ::penstock::co_flush(*file_);
    for (unsigned i = 0; i < Spy::kBlocks; ++i) {
      uint64_t old = spy_.durable[i].load();
      while (old < seen[i] && !spy_.durable[i].compare_exchange_weak(old, seen[i])) {
      }
    }
    return absl::OkStatus();
  }
  absl::Status co_resize(uint64_t size) override IO_CODE {
    if (absl::Status status = co_request(); !status.ok()) return status;
    return file_ != nullptr ? ::penstock::co_resize(*file_, size) : absl::OkStatus();
  }

  Spy& spy_;
  Child* const file_;
  const bool filter_;
  Permissions prepared_;
};

class SpyType : public DriverType {
 public:
  SpyType(std::string type_name, bool has_file, bool filter, SpyWorld& world)
      : name_(std::move(type_name)), has_file_(has_file), filter_(filter), world_(world) {}

  std::string_view name() const override { return name_; }
  bool has_file_child() const override { return has_file_; }
  bool takes_child(std::string_view child_name) const override {
    const bool format = has_file_ && !filter_;
    return (has_file_ && child_name == "file") || (format && child_name == "backing");
  }
  ChildRole role_of(std::string_view child_name) const override {
    if (filter_ && child_name == "file") return ChildRole::kFiltered;
    return DriverType::role_of(child_name);
  }
  absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const override IO_CODE {
    Spy& spy = world_.of(context.options.node_name);
    if (spy.on_load) {
      if (absl::Status status = spy.on_load(); !status.ok()) return status;
    }
    LoadedDriver loaded;
    loaded.size = Spy::kBlocks * Spy::kBlockSize;
    if (has_file_) loaded.size = context.file->node->size();
    if (has_file_ && !filter_) {
      // As a format reads its header.
      std::array<std::byte, Spy::kBlockSize> header;
      const iovec memory = iovec_of(std::span<std::byte>(header));
      absl::Status status = co_preadv(*context.file, 0, IoVector(memory));
      if (!status.ok()) return status;
    }
    loaded.driver = std::make_unique<SpyDriver>(spy, context.file, filter_);
    loaded.file_name = "spy:" + context.options.node_name;
    loaded.wanted_children = spy.wanted_children;
    return loaded;
  }

 private:
  const std::string name_;
  const bool has_file_;
  const bool filter_;
  SpyWorld& world_;
};

}  // namespace

Spy& SpyWorld::of(const std::string& node_name) {
  ThreadLock lock(mutex_);
  std::unique_ptr<Spy>& spy = spies_[node_name];
  if (spy == nullptr) spy = std::make_unique<Spy>();
  return *spy;
}

int SpyWorld::live() {
  ThreadLock lock(mutex_);
  int sum = 0;
  for (const auto& [name, spy] : spies_) sum += spy->live;
  return sum;
}

uint64_t SpyWorld::violations() {
  ThreadLock lock(mutex_);
  uint64_t sum = 0;
  for (const auto& [name, spy] : spies_) sum += spy->violations;
  return sum;
}

void SpyWorld::register_drivers(DriverRegistry& registry) {
  registry.add(std::make_unique<SpyType>("spy", false, false, *this));
  registry.add(std::make_unique<SpyType>("spy-format", true, false, *this));
  registry.add(std::make_unique<SpyType>("spy-filter", true, true, *this));
}

}  // namespace penstock
