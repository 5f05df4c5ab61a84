// SPDX-License-Identifier: Apache-2.0
// Numbers of the qcow2 format, versions 2 and 3 (QEMU's docs/interop/qcow2.rst), and the limits
// that Penstock sets.
//
// Ownership: constants.
// Threads: pure.
// Errors: none.
// Invariants: all numbers on disk are big-endian. Sizes are bytes unless their name says otherwise.
#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock {

inline constexpr uint32_t kQcow2Magic = 0x514649fb;  // "QFI\xfb"

// Header lengths: version 2, and the shortest of version 3.
inline constexpr uint32_t kQcow2HeaderV2Length = 72;
inline constexpr uint32_t kQcow2HeaderV3Length = 104;

inline constexpr unsigned kQcow2MinClusterBits = 9;
inline constexpr unsigned kQcow2MaxClusterBits = 21;
inline constexpr unsigned kQcow2MinExtendedL2ClusterBits = 14;
inline constexpr unsigned kQcow2SubclustersPerCluster = 32;

// Incompatible feature bits.
inline constexpr uint64_t kQcow2Dirty = 1U << 0;
inline constexpr uint64_t kQcow2Corrupt = 1U << 1;
inline constexpr uint64_t kQcow2ExternalDataFile = 1U << 2;
inline constexpr uint64_t kQcow2CompressionType = 1U << 3;
inline constexpr uint64_t kQcow2ExtendedL2 = 1U << 4;
inline constexpr uint64_t kQcow2KnownIncompatible =
    kQcow2Dirty | kQcow2Corrupt | kQcow2ExternalDataFile | kQcow2CompressionType | kQcow2ExtendedL2;
// Compatible feature bits.
inline constexpr uint64_t kQcow2LazyRefcounts = 1U << 0;
// Autoclear feature bits.
inline constexpr uint64_t kQcow2Bitmaps = 1U << 0;
inline constexpr uint64_t kQcow2DataFileRaw = 1U << 1;

// Header extensions.
inline constexpr uint32_t kQcow2ExtensionEnd = 0;
inline constexpr uint32_t kQcow2ExtensionBackingFormat = 0xe2792aca;
inline constexpr uint32_t kQcow2ExtensionFeatureNames = 0x6803f857;
inline constexpr uint32_t kQcow2ExtensionBitmaps = 0x23852875;
inline constexpr uint32_t kQcow2ExtensionCrypto = 0x0537be77;
inline constexpr uint32_t kQcow2ExtensionDataFile = 0x44415441;

// Entries of the L1 and L2 tables.
inline constexpr uint64_t kQcow2OffsetMask = 0x00fffffffffffe00;
inline constexpr uint64_t kQcow2Copied = uint64_t{1} << 63;
inline constexpr uint64_t kQcow2Compressed = uint64_t{1} << 62;
inline constexpr uint64_t kQcow2ZeroFlag = 1;
inline constexpr uint64_t kQcow2L1Reserved = 0x7f000000000001ff;
inline constexpr uint64_t kQcow2L2Reserved = 0x3f000000000001fe;
inline constexpr uint64_t kQcow2RefcountTableReserved = 0x1ff;

// Limits. The first three are QEMU's.
inline constexpr uint64_t kQcow2MaxL1Size = 32 << 20;            // bytes
inline constexpr uint64_t kQcow2MaxRefcountTableSize = 8 << 20;  // bytes
inline constexpr uint32_t kQcow2MaxBackingNameLength = 1023;     // bytes
inline constexpr uint32_t kQcow2MaxSnapshots = 16384;
inline constexpr uint64_t kQcow2MaxSnapshotTableSize = 16 << 20;  // bytes
// Bytes of a snapshot's id and name that are kept, the same as QEMU's tools show.
inline constexpr size_t kQcow2MaxKeptId = 127;
inline constexpr size_t kQcow2MaxKeptName = 255;

}  // namespace penstock
