// SPDX-License-Identifier: Apache-2.0
#include "drivers/null/null_driver.h"

#include <cerrno>
#include <utility>

#include "base/status.h"
#include "iothreads/co_sleep.h"

namespace penstock {
namespace {

constexpr uint64_t kDefaultSize = 1ull << 30;

absl::StatusOr<LoadedDriver> load(const NodeOptions& options) {
  OptionReader reader(options);
  const auto size = reader.take_size("size", kDefaultSize);
  if (!size.ok()) return size.status();
  const auto latency = reader.take_size("latency-ns", 0);
  if (!latency.ok()) return latency.status();
  const auto read_zeroes = reader.take_bool("read-zeroes", true);
  if (!read_zeroes.ok()) return read_zeroes.status();
  if (const auto left = reader.finish(); !left.ok()) return left;
  if (*size > INT64_MAX || *latency > INT64_MAX) {
    return errno_message(EINVAL, "null-co: size and latency-ns must be below 2^63.");
  }

  LoadedDriver loaded;
  loaded.driver = std::make_unique<NullDriver>(Nanoseconds(*latency), *read_zeroes);
  loaded.size = *size;
  return loaded;
}

}  // namespace

nlohmann::json NullDriver::describe() const {
  return {{"latency-ns", latency_.count()}, {"read-zeroes", read_zeroes_}};
}

absl::Status NullDriver::co_take_time() {
  if (latency_.count() > 0) co_sleep(latency_);
  return absl::OkStatus();
}

absl::Status NullDriver::co_readv(uint64_t /*offset*/, const IoVector& data,
                                  RequestFlags /*flags*/) {
  if (read_zeroes_) data.fill_zero();
  return co_take_time();
}

absl::Status NullDriver::co_writev(uint64_t /*offset*/, const IoVector& /*data*/,
                                   RequestFlags /*flags*/) {
  return co_take_time();
}

absl::Status NullDriver::co_flush() { return co_take_time(); }

absl::Status NullDriver::co_write_zeroes(ByteRange /*range*/, RequestFlags /*flags*/) {
  return co_take_time();
}

absl::Status NullDriver::co_discard(ByteRange /*range*/) { return co_take_time(); }

absl::StatusOr<BlockStatus> NullDriver::co_block_status(ByteRange range) {
  BlockStatus status;
  status.length = range.length;
  status.zero = read_zeroes_;
  status.data = !read_zeroes_;
  status.allocated = true;
  return status;
}

absl::StatusOr<Reopened> NullDriver::co_prepare_reopen(const ReopenContext& context) {
  absl::StatusOr<LoadedDriver> loaded = load(context.options);
  if (!loaded.ok()) return loaded.status();
  Reopened result;
  result.driver = std::move(loaded->driver);
  result.size = loaded->size;
  return result;
}

absl::StatusOr<LoadedDriver> NullDriverType::co_load(const LoadContext& context) const {
  return load(context.options);
}

}  // namespace penstock
