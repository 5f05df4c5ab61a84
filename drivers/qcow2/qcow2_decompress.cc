// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_decompress.h"

#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/status.h"

namespace penstock {
namespace {

class ZlibDecoder {
 public:
  ZlibDecoder() = default;
  ZlibDecoder(const ZlibDecoder&) = delete;
  ZlibDecoder& operator=(const ZlibDecoder&) = delete;
  ~ZlibDecoder() {
    if (made_) inflateEnd(&stream_);
  }

  absl::Status decode(std::span<const std::byte> input, std::span<std::byte> cluster) {
    if (auto ready = prepare(); !ready.ok()) return ready;
    stream_.next_in = reinterpret_cast<const Bytef*>(input.data());
    stream_.avail_in = static_cast<uInt>(input.size());
    stream_.next_out = reinterpret_cast<Bytef*>(cluster.data());
    stream_.avail_out = static_cast<uInt>(cluster.size());
    const int result = inflate(&stream_, Z_FINISH);
    // Decompression stops where the cluster is full, even if the data goes on.
    const bool decoded = result == Z_STREAM_END || result == Z_BUF_ERROR || result == Z_OK;
    if (decoded && stream_.avail_out == 0) return absl::OkStatus();
    if (result == Z_MEM_ERROR) return errno_message(ENOMEM, "there is no memory for zlib");
    if (result == Z_DATA_ERROR || result == Z_NEED_DICT) {
      return errno_message(EIO, std::string("the zlib data is damaged (") +
                                    (stream_.msg == nullptr ? "no detail" : stream_.msg) + ")");
    }
    return errno_message(EIO, "the zlib data ends " + std::to_string(stream_.avail_out) +
                                  " bytes before the cluster is full");
  }

 private:
  absl::Status prepare() {
    // QEMU compresses with a window of 12 bits. Others may use more, which costs nothing to allow:
    // the cluster is decoded in one call and is its own window.
    const int result = made_ ? inflateReset(&stream_) : inflateInit2(&stream_, -MAX_WBITS);
    if (result != Z_OK) return errno_message(ENOMEM, "there is no memory for zlib");
    made_ = true;
    return absl::OkStatus();
  }

  z_stream stream_{};
  bool made_ = false;
};

// True for the two kinds of frame that the format knows. The library may know older kinds, whose
// decoders are not for data that nobody vouches for.
bool is_zstd_frame(std::span<const std::byte> input) {
  if (input.size() < 4) return false;
  uint32_t magic = 0;
  for (size_t i = 0; i < 4; ++i) magic |= std::to_integer<uint32_t>(input[i]) << (8 * i);
  return magic == ZSTD_MAGICNUMBER ||
         (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

class ZstdDecoder {
 public:
  // The streaming interface would allocate the window that a frame asks for, up to 128 MiB. Finding
  // where each frame ends and decoding it into the cluster at once needs no window.
  absl::Status decode(std::span<const std::byte> input, std::span<std::byte> cluster) {
    if (context_ == nullptr) context_.reset(ZSTD_createDCtx());
    if (context_ == nullptr) return errno_message(ENOMEM, "there is no memory for zstd");
    while (!cluster.empty()) {
      if (input.empty() || !is_zstd_frame(input)) {
        return errno_message(EIO, "the zstd data ends " + std::to_string(cluster.size()) +
                                      " bytes before the cluster is full");
      }
      const size_t frame = ZSTD_findFrameCompressedSize(input.data(), input.size());
      if (ZSTD_isError(frame)) return damaged(frame);
      const size_t decoded =
          ZSTD_decompressDCtx(context_.get(), cluster.data(), cluster.size(), input.data(), frame);
      if (ZSTD_isError(decoded)) return damaged(decoded);
      input = input.subspan(frame);
      cluster = cluster.subspan(decoded);
    }
    return absl::OkStatus();
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  static absl::Status damaged(size_t result) {
    return errno_message(
        EIO, std::string("the zstd data is damaged (") + ZSTD_getErrorName(result) + ")");
  }

  std::unique_ptr<ZSTD_DCtx, Free> context_;
};

// Making a decoder costs as much as decoding a small cluster, so each thread keeps its own. Not
// inlined: a coroutine may go on elsewhere between two calls.
[[gnu::noinline]] ZlibDecoder& zlib_decoder_of_this_thread() {
  thread_local ZlibDecoder decoder;
  return decoder;
}

[[gnu::noinline]] ZstdDecoder& zstd_decoder_of_this_thread() {
  thread_local ZstdDecoder decoder;
  return decoder;
}

}  // namespace

absl::Status qcow2_decompress(Qcow2Compression compression, std::span<const std::byte> input,
                              std::span<std::byte> cluster) {
  switch (compression) {
    case Qcow2Compression::kZlib:
      return zlib_decoder_of_this_thread().decode(input, cluster);
    case Qcow2Compression::kZstd:
      return zstd_decoder_of_this_thread().decode(input, cluster);
  }
  return errno_message(EIO, "the kind of compression is unknown");
}

}  // namespace penstock
