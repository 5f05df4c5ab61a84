// SPDX-License-Identifier: Apache-2.0
// Opening a qcow2 image: its header, what it shows, and the files that it needs.
#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "base/big_endian.h"
#include "base/printable_text.h"
#include "base/status.h"
#include "block/io/child_io.h"
#include "block/node/node.h"
#include "drivers/qcow2/qcow2_driver.h"
#include "drivers/qcow2/qcow2_process_memory.h"
#include "drivers/qcow2/qcow2_snapshot_choice.h"

namespace penstock {
namespace {

constexpr uint64_t kFirstRead = 64 << 10;  // bytes: the whole head of most images

absl::StatusOr<std::vector<std::byte>> co_read_start(const Child& file, uint64_t length) IO_CODE {
  std::vector<std::byte> data(length);
  const iovec segment = iovec_of(std::span(data));
  if (auto status = co_preadv(file, 0, IoVector(segment)); !status.ok()) {
    return annotate(status, "reading the qcow2 header");
  }
  return data;
}

absl::StatusOr<Qcow2Header> co_read_long_header(const Child& file, uint64_t head_size,
                                                Qcow2LostTables lost_tables) IO_CODE {
  const auto head = co_read_start(file, head_size);
  if (!head.ok()) return head.status();
  return parse_qcow2_header(*head, file.node->size(), lost_tables);
}

absl::StatusOr<Qcow2Header> co_read_header(const Child& file, Qcow2LostTables lost_tables) IO_CODE {
  const uint64_t file_size = file.node->size();
  const auto head = co_read_start(file, std::min(kFirstRead, file_size));
  if (!head.ok()) return head.status();
  const auto head_size = qcow2_head_size(*head, file_size);
  if (!head_size.ok()) return head_size.status();
  if (*head_size <= head->size()) return parse_qcow2_header(*head, file_size, lost_tables);
  // Many snapshots of an image may be opened at once.
  Qcow2ByteBudget& budget = Qcow2ProcessMemory::shared().heads;
  budget.co_take(*head_size);
  absl::StatusOr<Qcow2Header> header = co_read_long_header(file, *head_size, lost_tables);
  budget.give_back(*head_size);
  return header;
}

// What the options want: a snapshot, if they name one.
struct WantedView {
  std::string name;  // or id
  std::string id;
  Qcow2LostTables lost_tables = Qcow2LostTables::kRefuse;
};

absl::StatusOr<WantedView> read_options(const NodeOptions& options) {
  OptionReader reader(options);
  auto name = reader.take_string("snapshot", "");
  if (!name.ok()) return name.status();
  auto id = reader.take_string("snapshot-id", "");
  if (!id.ok()) return id.status();
  const auto accept_lost = reader.take_bool("accept-lost-tables", false);
  if (!accept_lost.ok()) return accept_lost.status();
  if (auto left = reader.finish(); !left.ok()) return left;
  if (!name->empty() && !id->empty()) {
    return errno_message(EINVAL, "qcow2: say 'snapshot' or 'snapshot-id', not both.");
  }
  return WantedView{*std::move(name), *std::move(id),
                    *accept_lost ? Qcow2LostTables::kAccept : Qcow2LostTables::kRefuse};
}

// What belongs to the image as a whole. The disk can be read without any of it.
void co_read_extras(const Child& file, Qcow2Image& image) IO_CODE {
  if (image.header.snapshot_count != 0) {
    absl::StatusOr<Qcow2SnapshotTable> table = co_read_qcow2_snapshots(file, image.header);
    if (table.ok()) {
      image.snapshot_table = *std::move(table);
    } else {
      image.snapshot_table.damage = table.status();
    }
  }
  if (image.header.bitmap_count != 0) {
    absl::StatusOr<std::vector<Qcow2Bitmap>> bitmaps = co_read_qcow2_bitmaps(file, image.header);
    if (bitmaps.ok()) image.bitmaps = *std::move(bitmaps);
  }
}

absl::StatusOr<Qcow2Driver::View> co_find_view(const Child& file, const Qcow2Header& header,
                                               const WantedView& wanted) IO_CODE {
  Qcow2SnapshotChoice choice(wanted.name, wanted.id);
  if (header.snapshot_count != 0) {
    const auto read = co_walk_qcow2_snapshots(
        file, header, [&](const Qcow2Snapshot& snapshot) { choice.see(snapshot); });
    if (!read.ok()) return read.status();
  }
  const auto snapshot = choice.chosen();
  if (!snapshot.ok()) return snapshot.status();
  auto status = check_qcow2_snapshot(header, *snapshot, file.node->size());
  if (!status.ok()) return status;
  Qcow2Driver::View view;
  view.size = snapshot->facts.disk_size;
  view.l1 = {snapshot->l1_offset, snapshot->l1_entries};
  view.is_snapshot = true;
  return view;
}

absl::StatusOr<ChildOptions> co_resolve(const LoadContext& context,
                                        const ImageReference& reference) IO_CODE {
  if (context.names == nullptr) {
    const bool is_backing = reference.purpose == ImageReference::Purpose::kBacking;
    return errno_message(
        EPERM, "qcow2: the image names '" + printable_text(reference.name, kLongestQuote) +
                   "' as its " + (is_backing ? "backing file" : "data file") +
                   ", and files that images name are not opened here; name it by the option '" +
                   (is_backing ? "backing" : "data-file") + "'.");
  }
  return context.names->co_resolve(reference, context.options);
}

absl::Status co_want_backing(const LoadContext& context, const Qcow2Header& header,
                             LoadedDriver& loaded) IO_CODE {
  if (header.backing_name.empty() || context.options.children.contains("backing")) {
    return absl::OkStatus();
  }
  ImageReference reference;
  reference.purpose = ImageReference::Purpose::kBacking;
  reference.name = header.backing_name;
  reference.format = header.backing_format;
  reference.referrer = context.file->node->file_name;
  auto child = co_resolve(context, reference);
  if (!child.ok()) return child.status();
  loaded.wanted_children.emplace("backing", *std::move(child));
  return absl::OkStatus();
}

absl::Status co_want_data_file(const LoadContext& context, const Qcow2Header& header,
                               LoadedDriver& loaded) IO_CODE {
  const auto given = context.options.children.find("data-file");
  const bool has_option = given != context.options.children.end();
  if (!header.has_incompatible(kQcow2ExternalDataFile)) {
    if (!has_option) return absl::OkStatus();
    return errno_message(EINVAL, "qcow2: the image keeps its data itself; leave 'data-file' out.");
  }
  if (has_option) {
    if (given->second.inline_options != nullptr || !given->second.reference.empty()) {
      return absl::OkStatus();
    }
    return errno_message(EINVAL,
                         "qcow2: the image keeps its data in another file, so 'data-file' "
                         "cannot be none.");
  }
  if (header.data_file_name.empty()) {
    return errno_message(EINVAL,
                         "qcow2: the image keeps its data in another file and does not say "
                         "in which; name it by the option 'data-file'.");
  }
  ImageReference reference;
  reference.purpose = ImageReference::Purpose::kDataFile;
  reference.name = header.data_file_name;
  reference.format = "raw";  // a guest's bytes: their format is never guessed
  reference.referrer = context.file->node->file_name;
  auto child = co_resolve(context, reference);
  if (!child.ok()) return child.status();
  loaded.wanted_children.emplace("data-file", *std::move(child));
  return absl::OkStatus();
}

}  // namespace

int Qcow2DriverType::probe(std::span<const std::byte> head) const {
  if (head.size() < 8 || load_be32(&head[0]) != kQcow2Magic) return 0;
  const uint32_t version = load_be32(&head[4]);
  return version == 2 || version == 3 ? 100 : 0;
}

absl::StatusOr<LoadedDriver> Qcow2DriverType::co_load(const LoadContext& context) const {
  const absl::StatusOr<WantedView> wanted = read_options(context.options);
  if (!wanted.ok()) return wanted.status();
  if (context.file == nullptr) {
    return errno_message(EINVAL, "qcow2: there is no \"file\" child; name one in the options.");
  }
  if (!context.options.read_only) return refuse_qcow2_writing();
  const Child& file = *context.file;
  Qcow2Image image;
  absl::StatusOr<Qcow2Header> header = co_read_header(file, wanted->lost_tables);
  if (!header.ok()) return header.status();
  image.header = *std::move(header);
  image.header.feature_names = {};  // many views may be open
  Qcow2Driver::View view;
  if (wanted->name.empty() && wanted->id.empty()) {
    view.size = image.header.size;
    view.l1 = {image.header.l1_offset, image.header.l1_entries};
    co_read_extras(file, image);
  } else {
    const auto found = co_find_view(file, image.header, *wanted);
    if (!found.ok()) return found.status();
    view = *found;
  }

  LoadedDriver loaded;
  if (auto status = co_want_data_file(context, image.header, loaded); !status.ok()) return status;
  if (auto status = co_want_backing(context, image.header, loaded); !status.ok()) return status;
  loaded.size = view.size;
  loaded.file_name = file.node->file_name;
  loaded.driver = std::make_unique<Qcow2Driver>(file, std::move(image), view);
  return loaded;
}

}  // namespace penstock
