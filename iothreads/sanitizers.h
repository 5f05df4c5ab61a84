// SPDX-License-Identifier: Apache-2.0
// Which sanitizer this build has, as PENSTOCK_ASAN or PENSTOCK_TSAN, and its interface.
//
// Ownership, threads, errors, invariants: none; macros only.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define PENSTOCK_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define PENSTOCK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PENSTOCK_ASAN 1
#elif __has_feature(thread_sanitizer)
#define PENSTOCK_TSAN 1
#endif
#endif

#if defined(PENSTOCK_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(PENSTOCK_TSAN)
#include <sanitizer/tsan_interface.h>
#endif
