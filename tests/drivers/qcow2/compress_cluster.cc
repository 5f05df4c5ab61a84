// SPDX-License-Identifier: Apache-2.0
#include "tests/drivers/qcow2/compress_cluster.h"

#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

#include <cstdio>
#include <cstdlib>
#include <random>

namespace penstock {
namespace {

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "the test cannot be set up: %s\n", what);
  std::abort();
}

}  // namespace

Bytes deflate_raw(std::span<const std::byte> data, int window_bits) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -window_bits, 9,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    give_up("deflateInit2");
  }
  Bytes result(deflateBound(&stream, data.size()));
  stream.next_in = reinterpret_cast<const Bytef*>(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) give_up("deflate");
  result.resize(result.size() - stream.avail_out);
  deflateEnd(&stream);
  return result;
}

Bytes zstd_frame(std::span<const std::byte> data, int window_log) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  if (window_log != 0) ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  Bytes result(ZSTD_compressBound(data.size()) + 64);
  ZSTD_inBuffer input = {data.data(), data.size(), 0};
  ZSTD_outBuffer output = {result.data(), result.size(), 0};
  // A first call that does not end the frame keeps the library from fitting the window to the data.
  if (window_log != 0) ZSTD_compressStream2(context, &output, &input, ZSTD_e_continue);
  if (ZSTD_compressStream2(context, &output, &input, ZSTD_e_end) != 0) give_up("zstd");
  ZSTD_freeCCtx(context);
  result.resize(output.pos);
  return result;
}

Bytes compress(Qcow2Compression compression, std::span<const std::byte> data) {
  return compression == Qcow2Compression::kZlib ? deflate_raw(data) : zstd_frame(data);
}

Bytes compressible(uint64_t length, uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes data(length);
  for (auto& byte : data) byte = static_cast<std::byte>('a' + random() % 16);
  return data;
}

Bytes noise(uint64_t length, uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes data(length);
  for (auto& byte : data) byte = static_cast<std::byte>(random());
  return data;
}

uint64_t compressed_descriptor(const Qcow2Geometry& geometry, uint64_t offset, uint64_t size) {
  const unsigned sectors_shift = 62 - (geometry.cluster_bits - 8);
  const uint64_t more_sectors = (offset + size - 1) / 512 - offset / 512;
  return kQcow2Compressed | more_sectors << sectors_shift | offset;
}

}  // namespace penstock
