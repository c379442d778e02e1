// SPDX-License-Identifier: Apache-2.0
// hotpage-record pack and unpack: a hot list with the contents of its pages, in one file.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/crc32.h"
#include "base/effect.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/input.h"
#include "base/is_zero.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "hot/list_sets.h"
#include "hot/packed.h"
#include "hot/verbs/list_files.h"
#include "hot/verbs/verbs.h"

namespace hot {
namespace {

// The memory file, from which the pages of a list are copied in the order of the list.
class Packer {
 public:
  Packer(const std::string& memory, const HotList& list)
      : name_(memory),
        memory_(base::open_file(memory, O_RDONLY | O_NOCTTY)),
        before_(base::stat_fd(memory_.get(), memory)) {
    map_.list = list;
    map_.pages = count_pages(list.runs);
    map_.inode = before_.st_ino;
    map_.modified_ns = modified_ns(before_);
    map_.piece_pages = usual_piece_pages(list.page_size);
    map_.checksums.resize(packed_pieces(map_.pages, map_.piece_pages));
    map_.data_at = encode_packed_map(map_).size();
  }

  uint64_t bytes() const { return map_.data_at + map_.pages * map_.list.page_size; }
  size_t pieces() const { return map_.checksums.size(); }

  // Writes the whole packed file. Pages of zeros become holes.
  void write(int to, const std::string& to_name) {
    if (::ftruncate(to, static_cast<off_t>(bytes())) != 0) {
      base::throw_errno("cannot extend " + base::quoted(to_name));
    }
    std::vector<std::byte> piece;
    uint64_t index = 0;
    for_each_page([&](uint64_t offset) {
      const size_t at = piece.size();
      piece.resize(at + map_.list.page_size);
      read(std::span(piece).subspan(at), offset);
      if (piece.size() == map_.piece_bytes(index)) {
        write_piece(to, to_name, index++, piece);
        piece.clear();
      }
    });
    require_unchanged();
    const std::string map = encode_packed_map(map_);
    base::pwrite_full(to, std::as_bytes(std::span(map)), 0, to_name);
  }

 private:
  // Calls use(offset in the memory file).
  template <typename Use>
  void for_each_page(const Use& use) const {
    for (const HotRun& run : map_.list.runs) {
      const uint64_t first = map_.list.regions[run.region].offset + run.offset;
      for (uint64_t i = 0; i < run.count; ++i) {
        use(first + i * map_.list.page_size);
      }
    }
  }

  void read(std::span<std::byte> page, uint64_t offset) const {
    if (base::pread_full(memory_.get(), page, static_cast<off_t>(offset), name_) != page.size()) {
      throw base::BadData("cannot pack " + base::quoted(name_) + ": it was truncated");
    }
  }

  void write_piece(int to, const std::string& to_name, uint64_t index,
                   std::span<const std::byte> piece) {
    map_.checksums[index] =
        base::crc32({reinterpret_cast<const char*>(piece.data()), piece.size()});
    const uint64_t at = map_.piece_at(index);
    const auto is_hole = [&](uint64_t from) {
      return base::is_zero(piece.subspan(from, kSmallPage));
    };
    for (uint64_t from = 0; from < piece.size();) {
      uint64_t end = from + kSmallPage;
      const bool hole = is_hole(from);
      while (end < piece.size() && is_hole(end) == hole) {
        end += kSmallPage;
      }
      if (!hole) {
        base::pwrite_full(to, piece.subspan(from, end - from), static_cast<off_t>(at + from),
                          to_name);
      }
      from = end;
    }
  }

  void require_unchanged() const {
    const struct stat after = base::stat_fd(memory_.get(), name_);
    if (after.st_size != before_.st_size || modified_ns(after) != map_.modified_ns) {
      throw base::Refused("cannot pack " + base::quoted(name_) +
                          ": it was written to; pack it when no process writes it");
    }
  }

  std::string name_;
  base::Fd memory_;
  struct stat before_;
  PackedMap map_;
};

// The list as HPL2, after all checks against the memory file.
HotList list_for(const base::ParsedOptions& parsed, const std::string& path,
                 const std::string& memory) {
  HotList list = load_list(path, layout_of(parsed));
  const HotListLayout layout = layout_for_file(list, path, layout_of(parsed), memory);
  if (list.format == ListFormat::hpl1) {
    list.regions = layout.regions;
    list.memory_bytes = static_cast<uint64_t>(base::stat_path(memory).st_size);
    list.format = ListFormat::hpl2;
    list = without_repeats(std::move(list));
  }
  return list;
}

void report(const std::string& path, const Packer& packer, const HotList& list, bool written) {
  const uint64_t pages = count_pages(list.runs);
  const std::string what = std::to_string(pages) + " pages, " + std::to_string(packer.bytes()) +
                           " bytes, to " + base::quoted(path);
  if (base::message_style().json) {
    base::JsonLine json("hot_pack");
    json.path("path", path).boolean("written", written);
    add_count(json, "entries", pages);
    add_count(json, "bytes", packer.bytes());
    base::write_line_out(add_count(json, "pieces", packer.pieces()).str());
  } else if (!written) {
    base::write_line_out("would write " + what);
  } else {
    base::say_detail("wrote " + what);
  }
}

}  // namespace

int pack_verb(int argc, char** argv) {
  base::Options options("hotpage-record pack", "[options] --mem FILE -o PACKED LIST|-",
                        "Write a hot list and the contents of its pages into one file.");
  options.value("mem", "FILE", "the memory file")
      .value("o,output", "PACKED", "write to PACKED, atomically")
      .flag("dry-run", "print what would be written, and write nothing");
  add_layout_options(options);
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, 1, "LIST");
  const std::string memory = required_memory(*parsed);
  const std::string output = parsed->value_or("output", "");
  if (output.empty() || output == "-") {
    throw base::UsageError("-o PACKED is required: the file is not written in order");
  }
  base::require_writable_name(output);
  const HotList list = list_for(*parsed, parsed->operands()[0], memory);
  Packer packer(memory, list);
  const bool writes = !base::is_dry_run(base::effect_of(*parsed));
  if (writes) {
    // As secret as the memory of a guest.
    base::write_file_atomic(
        output, [&](int to, const std::string& name) { packer.write(to, name); }, 0600,
        base::Durable::yes);
  }
  report(output, packer, list, writes);
  return 0;
}

int unpack_verb(int argc, char** argv) {
  base::Options options("hotpage-record unpack", "[options] PACKED",
                        "Check a packed hot list with all of its pages, and write the list.");
  add_output_options(options);
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, 1, "PACKED");
  const ListOutput output = output_of(*parsed, ListFormat::hpl2);
  const std::string& path = parsed->operands()[0];
  const std::optional<PackedInput> packed = open_packed(path);
  if (!packed) {
    throw base::BadData("cannot unpack " + base::quoted(path) + ": it is not a packed hot list");
  }
  check_pieces(*packed, path);
  write_list(packed->map.list, output);
  return 0;
}

}  // namespace hot
