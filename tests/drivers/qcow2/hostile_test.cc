// SPDX-License-Identifier: Apache-2.0
// Hostile images: whatever is in them, the process lives, ends its work, stays small, and reads the
// undamaged ranges exactly.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "base/malloc_limits.h"
#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/io/image_check.h"
#include "fuzz/image_world.h"
#include "gtest/gtest.h"
#include "iothreads/coroutine.h"
#include "iothreads/sanitizers.h"
#include "tests/drivers/child_process.h"
#include "tests/drivers/qcow2/built_image.h"
#include "tests/drivers/qcow2/hostile_images.h"
#include "tests/drivers/qcow2/qemu_tools.h"

namespace penstock {

// GoogleTest finds it by this name; else it lists a test with the plan's raw bytes.
static void PrintTo(const ImagePlan& plan, std::ostream* stream) { *stream << plan.name; }

namespace {

constexpr uint64_t kMemoryLimit = 64 << 10;     // KiB beyond the normal footprint
constexpr unsigned kVariantTimeLimit = 60;      // seconds; seconds too many for any variant
constexpr uint64_t kPieceOfCluster = 64 << 10;  // bytes that are compared of each end of a cluster
constexpr unsigned kMaxStatuses = 64;

std::vector<ImagePlan> plans() {
  return {
      {.name = "version_2", .version = 2, .cluster_bits = 9, .snapshots = true},
      {.name = "version_3", .cluster_bits = 12, .snapshots = true},
      {.name = "smallest_clusters", .cluster_bits = 9, .refcount_order = 6, .snapshots = true},
      {.name = "one_bit_refcounts", .cluster_bits = 12, .refcount_order = 0},
      {.name = "usual_clusters", .cluster_bits = 16, .snapshots = true, .backing = true},
      {.name = "extended_l2", .cluster_bits = 14, .extended_l2 = true, .backing = true},
      {.name = "extended_l2_zstd",
       .cluster_bits = 14,
       .extended_l2 = true,
       .compression = Qcow2Compression::kZstd},
      {.name = "zstd", .cluster_bits = 12, .compression = Qcow2Compression::kZstd, .backing = true},
      {.name = "data_file", .cluster_bits = 12, .data_file = true},
      {.name = "extended_l2_data_file", .cluster_bits = 14, .extended_l2 = true, .data_file = true},
      {.name = "largest_clusters", .cluster_bits = 21},
  };
}

// Of this process: a line of /proc/self/status, in KiB.
uint64_t status_kib(const std::string& name) {
  std::ifstream file("/proc/self/status");
  std::string word;
  uint64_t value = 0;
  while (file >> word) {
    if (word == name + ":" && file >> value) return value;
  }
  return 0;
}

void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

// Aborts the child; its parent says for which variant.
void require(bool kept, const std::string& promise) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n", promise.c_str());
  std::abort();
}

bool is_refusal(const absl::Status& status) {
  constexpr int kRefusals[] = {EINVAL, ENOTSUP, EIO, EPERM, EFBIG};
  return std::find(std::begin(kRefusals), std::end(kRefusals), status_errno(status)) !=
         std::end(kRefusals);
}

class Reader {
 public:
  explicit Reader(const BuiltImage& image) : image_(image) {
    world_.files()["backing"] = image.backing;
    world_.files()["data"] = image.data_file;
  }

  void look_at(const HostileImage& variant) {
    world_.files()["image"] = variant.bytes;
    const absl::Status opened =
        world_.with_image(memory_image_options("qcow2", "image"), [&](Backend& backend) {
          assert_in_coroutine();
          co_read_clusters(backend, variant);
          co_read_in_order(backend);
          co_look_at_statuses(backend);
          co_check_image(backend);
          look_at_facts(backend);
        });
    check_opening(opened, variant);
    if (opened.ok() && image_.plan.snapshots) look_at_snapshots();
  }

 private:
  void check_opening(const absl::Status& opened, const HostileImage& variant) {
    if (opened.ok()) return;
    const std::string text = status_text(opened);
    require(!variant.opens, "the image opens: " + text);
    require(is_refusal(opened), "a refusal has a fitting errno: " + text);
    const bool one_line = std::all_of(text.begin(), text.end(), [](char c) {
      return static_cast<unsigned char>(c) >= ' ' && c != '\x7f';
    });
    require(!text.empty() && text.size() < 4096 && one_line, "a refusal is one line: " + text);
  }

  // Each by itself, in two pieces if it is large, and with a neighbour.
  void co_read_clusters(Backend& backend, const HostileImage& variant) COROUTINE_CODE {
    for (const KnownCluster& cluster : image_.clusters) {
      const uint64_t length = cluster.bytes.size();
      const uint64_t offset = cluster.index * image_.geometry.cluster_size();
      const bool intact = variant.intact(cluster);
      const uint64_t piece = std::min(length, kPieceOfCluster);
      co_compare(backend, offset, std::span(cluster.bytes).first(piece), intact);
      co_compare(backend, offset + length - piece, std::span(cluster.bytes).last(piece), intact);
    }
  }

  void co_compare(Backend& backend, uint64_t offset, std::span<const std::byte> expected,
                  bool intact) COROUTINE_CODE {
    const uint64_t size = backend.root.node->size();
    if (offset > size || expected.size() > size - offset) {
      require(!intact, "the disk is as large as before");
      return;
    }
    buffer_.assign(expected.size(), std::byte{0xee});
    const absl::Status status = co_read_image(backend, offset, buffer_);
    check_reading(status);
    if (!intact) return;
    const std::string where = " at " + std::to_string(offset);
    require(status.ok(), "an undamaged range can be read" + where + ": " + status_text(status));
    require(std::equal(buffer_.begin(), buffer_.end(), expected.begin()),
            "an undamaged range reads as before" + where);
  }

  void co_read_in_order(Backend& backend) COROUTINE_CODE {
    constexpr uint64_t kRead = 1 << 20;
    buffer_.resize(
        std::min({kRead, backend.root.node->size(), 10 * image_.geometry.cluster_size()}));
    check_reading(co_read_image(backend, 0, buffer_));
  }

  void co_look_at_statuses(Backend& backend) COROUTINE_CODE {
    const uint64_t size = backend.root.node->size();
    uint64_t offset = 0;
    for (unsigned i = 0; i < kMaxStatuses && offset < size; ++i) {
      BackendRequest request(backend, "block status", offset, size - offset);
      const auto status = co_block_status(request.root(), {offset, size - offset});
      if (!status.ok()) check_reading(status.status());
      offset += status.ok() ? status->length : image_.geometry.cluster_size();
    }
  }

  void co_check_image(Backend& backend) COROUTINE_CODE {
    BackendRequest request(backend, "check", 0, 0);
    const auto check = co_check(request.root());
    if (!check.ok()) require(is_refusal(check.status()), "a check fails with a fitting errno");
  }

  void look_at_facts(Backend& backend) {
    (void)backend.root.node->driver->describe().dump(-1, ' ', false,
                                                     nlohmann::json::error_handler_t::replace);
    (void)backend.root.node->driver->snapshots();
  }

  void look_at_snapshots() {
    for (const char* name : {"first", "second one"}) {
      NodeOptions options = memory_image_options("qcow2", "image");
      options.driver_options["snapshot"] = name;
      const absl::Status opened = world_.with_image(options, [&](Backend& backend) {
        assert_in_coroutine();
        co_read_in_order(backend);
      });
      require(opened.ok() || status_errno(opened) == ENOENT || is_refusal(opened),
              "a snapshot opens or is refused: " + status_text(opened));
    }
  }

  void check_reading(const absl::Status& status) {
    require(status.ok() || status_errno(status) == EIO,
            "a damaged range is EIO: " + status_text(status));
  }

  const BuiltImage& image_;
  ImageWorld world_;
  std::vector<std::byte> buffer_;
};

// What the child process is doing, for its parent.
struct Progress {
  char what[256];
  uint64_t variants;
  uint64_t worst_kib;
  char worst[256];
};

void keep_text(char (&target)[256], const std::string& text) {
  std::snprintf(target, sizeof(target), "%s", text.c_str());
}

// PENSTOCK_TEST_SEED chooses other values, PENSTOCK_HOSTILE=all takes every one (some minutes).
HostilePlan hostile_plan(const ImagePlan& plan) {
  HostilePlan hostile;
  if (const char* seed = std::getenv("PENSTOCK_TEST_SEED")) {
    hostile.seed = std::strtoull(seed, nullptr, 0);
  }
  if (const char* wanted = std::getenv("PENSTOCK_HOSTILE");
      wanted && wanted == std::string("all")) {
    hostile.heaps = 2000;
    return hostile;
  }
  // Large clusters cost time.
  hostile.values_per_field = plan.cluster_bits < 16 ? 12 : plan.cluster_bits < 18 ? 6 : 1;
  hostile.heaps = plan.cluster_bits < 18 ? 100 : 4;
  return hostile;
}

void run_child(const BuiltImage& image, Progress& progress) {
  limit_kept_memory();  // as the program does
  Reader reader(image);
  uint64_t normal = 0;
  for_each_hostile_image(image, hostile_plan(image.plan), [&](const HostileImage& variant) {
    keep_text(progress.what, variant.what);
    ++progress.variants;
    alarm(kVariantTimeLimit);
    if (normal == 0) reader.look_at(variant);  // caches of the process fill
    forget_peak();
    reader.look_at(variant);
    const uint64_t peak = status_kib("VmHWM");
    if (normal == 0) normal = peak;
    if (peak > normal + progress.worst_kib) {
      progress.worst_kib = peak - normal;
      keep_text(progress.worst, variant.what);
    }
  });
  alarm(0);
}

class HostileQcow2 : public testing::TestWithParam<ImagePlan> {};

TEST_P(HostileQcow2, NeitherCrashesNorHangsNorGrowsAndKeepsWhatIsSound) {
  const BuiltImage image = build_image(GetParam());
  void* const shared =
      mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto& progress = *static_cast<Progress*>(shared);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    run_child(image, progress);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "after " << progress.variants << " variants, at: " << progress.what;
  EXPECT_GT(progress.variants, 100u);
  std::printf("%llu variants, %llu KiB at most (%s)\n",
              static_cast<unsigned long long>(progress.variants),
              static_cast<unsigned long long>(progress.worst_kib), progress.worst);
#if !defined(PENSTOCK_ASAN) && !defined(PENSTOCK_TSAN)
  EXPECT_LE(progress.worst_kib, kMemoryLimit) << progress.worst;
#endif
  munmap(shared, sizeof(Progress));
}

TEST_P(HostileQcow2, TheImageItBeginsWithIsSoundToQemu) {
  const BuiltImage image = build_image(GetParam());
  const ImageFolder folder;
  const auto store = [&](const std::string& name, const std::vector<std::byte>& bytes) {
    std::ofstream(folder.path(name), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  };
  store("base.raw", image.backing);
  store("data.raw", image.data_file);
  store("image.qcow2", image.bytes);
  std::vector<std::string> command = {"qemu-img", "check", "--image-opts",
                                      "driver=qcow2,file.filename=" + folder.path("image.qcow2")};
  if (image.plan.data_file) {
    command.back() += ",data-file.driver=file,data-file.filename=" + folder.path("data.raw");
  }
  const ProcessResult check = run_process(command);
  EXPECT_EQ(check.exit_status, 0) << check.output;
}

TEST(HostileQcow2Chain, AnImageThatIsItsOwnBackingFileIsRefused) {
  const BuiltImage image = build_image(
      {.name = "own backing", .cluster_bits = 9, .backing = true, .backing_format = "qcow2"});
  ImageWorld world;
  world.files()["image"] = image.bytes;
  world.files()["backing"] = image.bytes;
  const absl::Status opened =
      world.with_image(memory_image_options("qcow2", "image"), [](Backend&) {});
  EXPECT_EQ(status_errno(opened), EINVAL);
  EXPECT_NE(status_text(opened).find("longer than 256"), std::string::npos) << opened;
}

INSTANTIATE_TEST_SUITE_P(Every, HostileQcow2, testing::ValuesIn(plans()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace penstock
