// SPDX-License-Identifier: Apache-2.0
#include "tests/drivers/qcow2/hostile_images.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <random>
#include <set>
#include <vector>

#include "fuzz/big_endian_mutation.h"

namespace penstock {
namespace {

using Damage = ImageField::Damage;

class Generator {
 public:
  Generator(const BuiltImage& image, const HostilePlan& plan,
            const std::function<void(const HostileImage&)>& visit)
      : image_(image), plan_(plan), visit_(visit), bytes_(image.bytes), random_(plan.seed) {}

  void run() {
    show_sound();
    for (const ImageField& field : image_.fields) change_field(field);
    for (const uint64_t border : image_.borders) {
      for (const uint64_t length : {border, border + 1, border + 8, border - 1}) cut(length);
    }
    for (unsigned i = 0; i < plan_.heaps; ++i) heap(i);
  }

 private:
  uint64_t load(const ImageField& field) const {
    uint64_t value = 0;
    for (unsigned i = 0; i < field.size; ++i) {
      value = value << 8 | static_cast<uint64_t>(bytes_[field.offset + i]);
    }
    return value;
  }
  void store(const ImageField& field, uint64_t value) {
    for (unsigned i = 0; i < field.size; ++i) {
      bytes_[field.offset + i] = static_cast<std::byte>(value >> (8 * (field.size - 1 - i)));
    }
  }

  // Values at the limits, tables in the wrong place (their own, others', past the end, unaligned),
  // and each bit that is reserved or a flag.
  std::vector<uint64_t> values_of(const ImageField& field) {
    const uint64_t old = load(field);
    const uint64_t end = image_.bytes.size();
    const uint64_t cluster = image_.geometry.cluster_size();
    const uint64_t flags = old & 0xc000000000000001;
    const uint64_t mask = field.size == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * field.size)) - 1;
    std::vector<uint64_t> values = {0,
                                    1,
                                    2,
                                    ~uint64_t{0},
                                    ~uint64_t{0} >> 1,
                                    mask >> 1,
                                    old + 1,
                                    old - 1,
                                    old + 512,
                                    old + cluster,
                                    old - cluster,
                                    old << 1,
                                    old >> 1,
                                    end,
                                    end + cluster,
                                    end - cluster,
                                    end + (uint64_t{1} << 40),
                                    uint64_t{1} << 55,
                                    (uint64_t{1} << 56) - cluster,
                                    field.offset & ~(cluster - 1),
                                    (field.offset & ~(cluster - 1)) | flags,
                                    end | flags,
                                    (end - cluster) | flags,
                                    ((uint64_t{1} << 56) - cluster) | flags};
    for (uint64_t at = 0; at < end && at < 16 * cluster; at += cluster) {
      values.push_back(at | flags);
    }
    for (unsigned bit = 0; bit < 8 * field.size; ++bit) values.push_back(old ^ uint64_t{1} << bit);

    std::set<uint64_t> seen = {old};
    std::vector<uint64_t> different;
    for (const uint64_t value : values) {
      if (seen.insert(value & mask).second) different.push_back(value & mask);
    }
    if (plan_.values_per_field != 0 && different.size() > plan_.values_per_field) {
      std::shuffle(different.begin(), different.end(), random_);
      different.resize(plan_.values_per_field);
    }
    return different;
  }

  bool is_intact(const ImageField& field, const KnownCluster& cluster) const {
    switch (field.damage) {
      case Damage::kAnything:
        return false;
      case Damage::kNothing:
      case Damage::kNothingOpens:
        return true;
      case Damage::kTable:
        return image_.geometry.l1_index(cluster.index * image_.geometry.cluster_size()) !=
               field.index;
      case Damage::kCluster:
        return cluster.index != field.index;
    }
    return false;
  }

  void show_sound() {
    HostileImage variant;
    variant.what = "sound";
    variant.bytes = bytes_;
    variant.opens = true;
    variant.intact = [](const KnownCluster&) { return true; };
    visit_(variant);
  }

  void change_field(const ImageField& field) {
    const uint64_t old = load(field);
    for (const uint64_t value : values_of(field)) {
      store(field, value);
      char text[32];
      std::snprintf(text, sizeof(text), " = 0x%" PRIx64, value);
      HostileImage variant;
      variant.what = field.name + text;
      variant.bytes = bytes_;
      variant.opens = field.damage == Damage::kNothingOpens || field.damage == Damage::kTable ||
                      field.damage == Damage::kCluster;
      variant.intact = [&](const KnownCluster& cluster) { return is_intact(field, cluster); };
      visit_(variant);
    }
    store(field, old);
  }

  void cut(uint64_t length) {
    if (length >= image_.bytes.size()) return;
    HostileImage variant;
    variant.what = "cut at " + std::to_string(length);
    variant.bytes = std::span<const std::byte>(bytes_).first(length);
    variant.intact = [length](const KnownCluster& cluster) { return cluster.reach <= length; };
    visit_(variant);
  }

  void heap(unsigned number) {
    const auto raw = std::span(reinterpret_cast<uint8_t*>(bytes_.data()), bytes_.size());
    size_t left = bytes_.size();
    for (uint64_t changes = 1 + random_() % 8; changes > 0; --changes) {
      left = mutate_fields(raw.first(left), random_);
    }
    HostileImage variant;
    variant.what = "heap of changes " + std::to_string(number);
    variant.bytes = std::span<const std::byte>(bytes_).first(left);
    variant.intact = [](const KnownCluster&) { return false; };
    visit_(variant);
    std::copy(image_.bytes.begin(), image_.bytes.end(), bytes_.begin());
  }

  const BuiltImage& image_;
  const HostilePlan plan_;
  const std::function<void(const HostileImage&)>& visit_;
  std::vector<std::byte> bytes_;
  std::mt19937_64 random_;
};

}  // namespace

void for_each_hostile_image(const BuiltImage& image, const HostilePlan& plan,
                            const std::function<void(const HostileImage&)>& visit) {
  Generator(image, plan, visit).run();
}

}  // namespace penstock
