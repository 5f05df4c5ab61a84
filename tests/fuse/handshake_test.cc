// SPDX-License-Identifier: Apache-2.0
#include "fuse/handshake.h"

#include <errno.h>
#include <gtest/gtest.h>

#include "base/status.h"

namespace penstock {
namespace {

fuse_init_in offer_of(uint32_t minor, uint64_t flags) {
  fuse_init_in offer = {};
  offer.major = 7;
  offer.minor = minor;
  offer.max_readahead = 131072;
  offer.flags = static_cast<uint32_t>(flags);
  offer.flags2 = static_cast<uint32_t>(flags >> 32);
  return offer;
}

uint64_t flags_of(const fuse_init_out& reply) {
  return reply.flags | static_cast<uint64_t>(reply.flags2) << 32;
}

TEST(Handshake, AsksForMegabyteRequestsAndADeepBackgroundQueue) {
  const auto reply = negotiate(offer_of(45, ~uint64_t{0}), false);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->max_write, 1u << 20);
  EXPECT_EQ(reply->max_pages, 256);
  EXPECT_EQ(reply->max_background, 1024);
  EXPECT_EQ(reply->congestion_threshold, 768);
  EXPECT_EQ(reply->time_gran, 1u);
  EXPECT_EQ(reply->max_readahead, 131072u);
}

TEST(Handshake, TakesOnlyWhatIsOffered) {
  const uint64_t offered = FUSE_MAX_PAGES | FUSE_ASYNC_DIO;
  const auto reply = negotiate(offer_of(31, offered), false);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(flags_of(*reply), offered);
}

TEST(Handshake, IgnoresTheUpperFlagsOfAKernelThatDoesNotSendThem) {
  const uint64_t offered = FUSE_MAX_PAGES | kInitDirectIoAllowMmap;
  const auto reply = negotiate(offer_of(31, offered), false);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->flags2, 0u);
}

TEST(Handshake, NeverTakesTheWritebackCacheOrLocks) {
  for (bool cached : {false, true}) {
    const auto reply = negotiate(offer_of(45, ~uint64_t{0}), cached);
    ASSERT_TRUE(reply.ok());
    EXPECT_EQ(flags_of(*reply) & (FUSE_WRITEBACK_CACHE | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS |
                                  FUSE_AUTO_INVAL_DATA | FUSE_ATOMIC_O_TRUNC),
              0u);
    EXPECT_EQ((flags_of(*reply) & FUSE_EXPLICIT_INVAL_DATA) != 0, cached);
  }
}

TEST(Handshake, RefusesAKernelThatIsTooOld) {
  const auto old = negotiate(offer_of(27, ~uint64_t{0}), false);
  EXPECT_EQ(status_errno(old.status()), EPROTO);
  const auto poor = negotiate(offer_of(31, 0), false);
  EXPECT_EQ(status_errno(poor.status()), EPROTO);
}

}  // namespace
}  // namespace penstock
