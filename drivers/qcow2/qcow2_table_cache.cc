// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_table_cache.h"

#include <endian.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <string>

#include "base/aligned_buffer.h"
#include "base/byte_range.h"
#include "base/io_vector.h"
#include "base/status.h"
#include "block/io/child_io.h"
#include "block/node/node.h"
#include "drivers/qcow2/qcow2_slice_pool.h"
#include "iothreads/co_event.h"
#include "iothreads/thread_mutex.h"

namespace penstock {
namespace {

// Direct I/O into such memory needs no copy.
constexpr size_t kMemoryAlignment = 4096;

// One slice on its way into memory. Everybody who waits for it answers from these bytes, so that an
// eviction right after the load sends nobody round again.
struct Load {
  CoEvent done;
  // Constant once `done` is set.
  absl::Status status;
  AlignedBuffer bytes;
};

// The slice at `offset`, with zeroes for what the file has not.
absl::Status co_load_slice(const Child& file, uint64_t offset, std::span<std::byte> bytes) IO_CODE {
  const uint64_t file_size = file.node->size();
  if (offset >= file_size) {
    return errno_message(EIO, "the table at offset " + std::to_string(offset) +
                                  " is past the end of the file, which has " +
                                  std::to_string(file_size) + " bytes");
  }
  const size_t present = std::min<uint64_t>(bytes.size(), file_size - offset);
  std::memset(bytes.data() + present, 0, bytes.size() - present);
  const iovec segment = iovec_of(bytes.first(present));
  return co_preadv(file, offset, IoVector(segment));
}

void copy_words(std::span<const std::byte> bytes, std::span<uint64_t> words) {
  std::memcpy(words.data(), bytes.data(), words.size_bytes());
  for (uint64_t& word : words) word = be64toh(word);
}

}  // namespace

struct Qcow2TableCache::State {
  State(size_t slice_size, size_t capacity) : pool(slice_size, capacity) {}

  // Joins the load of `slice` that is under way, or begins one (`*begun`). nullptr: it has come in
  // meanwhile, and `words` are filled.
  std::shared_ptr<Load> join(uint64_t slice, uint64_t offset, std::span<uint64_t> words,
                             bool* begun) {
    const ThreadLock lock(mutex);
    std::shared_ptr<Load>& load = loads[slice];
    *begun = load == nullptr;
    if (!*begun) return load;
    // Slices come in under the lock: one that is not here now has to be read.
    if (pool.read(offset, words)) {
      loads.erase(slice);
      return nullptr;
    }
    load = std::make_shared<Load>();
    return load;
  }

  // True if another slice went. After a failure the next request reads again.
  bool finish(uint64_t slice, const Load& load) {
    const ThreadLock lock(mutex);
    loads.erase(slice);
    return load.status.ok() && pool.insert(slice, load.bytes.span());
  }

  Qcow2SlicePool pool;
  ThreadMutex mutex{"Qcow2TableCache"};  // also of pool.insert()
  std::map<uint64_t, std::shared_ptr<Load>> loads GUARDED_BY(mutex);
};

Qcow2TableCache::Qcow2TableCache(const Child& file, size_t slice_size, size_t capacity)
    : file_(file), slice_size_(slice_size), state_(std::make_unique<State>(slice_size, capacity)) {}

Qcow2TableCache::~Qcow2TableCache() = default;

bool Qcow2TableCache::try_read(uint64_t offset, std::span<uint64_t> words) {
  return state_->pool.read(offset, words);
}

absl::Status Qcow2TableCache::co_read(uint64_t offset, std::span<uint64_t> words) {
  if (state_->pool.read(offset, words)) [[likely]]
    return absl::OkStatus();
  return co_read_missed(offset, words);
}

absl::Status Qcow2TableCache::co_read_missed(uint64_t offset, std::span<uint64_t> words) {
  const uint64_t slice = align_down(offset, slice_size_);
  bool begun = false;
  const std::shared_ptr<Load> load = state_->join(slice, offset, words, &begun);
  if (load == nullptr) return absl::OkStatus();
  if (begun) {
    statistics_.misses.fetch_add(1, std::memory_order_relaxed);
    load->bytes = AlignedBuffer(slice_size_, kMemoryAlignment);
    load->status = co_load_slice(file_, slice, load->bytes.span());
    if (state_->finish(slice, *load)) {
      statistics_.evictions.fetch_add(1, std::memory_order_relaxed);
    }
    load->done.set();
  } else {
    load->done.co_wait();
  }
  if (!load->status.ok()) return load->status;
  copy_words(load->bytes.span().subspan(offset - slice), words);
  return absl::OkStatus();
}

}  // namespace penstock
