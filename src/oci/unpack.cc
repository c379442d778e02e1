// SPDX-License-Identifier: Apache-2.0
// One thread reads one pack from its start to its end.
#include "oci/unpack.h"

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/parallel.h"
#include "oci/format.h"
#include "oci/frame.h"

namespace oci {
namespace {

// Reads one pack in order and hashes it.
class PackReader {
 public:
  PackReader(const Layout& layout, const Descriptor& pack)
      : pack_(pack), name_(layout.blob_path(pack.digest)), fd_(layout.open_blob(pack)) {}

  const std::string& name() const { return name_; }
  uint64_t position() const { return position_; }

  // Fills `buffer` with the next bytes.
  void read(std::span<std::byte> buffer) {
    const size_t count = base::pread_full(fd_.get(), buffer, static_cast<off_t>(position_), name_);
    if (count != buffer.size()) {
      refuse("it has become shorter");
    }
    hash_.add(buffer);
    position_ += count;
  }
  // Reads up to `end`, which is not before the position.
  void skip_to(uint64_t end, std::span<std::byte> buffer) {
    while (position_ < end) {
      read(buffer.first(std::min<uint64_t>(buffer.size(), end - position_)));
    }
  }
  void check_digest() {
    if (hash_.finish() != pack_.digest) {
      refuse("its bytes have another digest; the blob is corrupt");
    }
  }
  [[noreturn]] void refuse(const std::string& reason) const {
    throw base::BadData("cannot read " + base::quoted(name_) + ": " + reason);
  }

 private:
  const Descriptor& pack_;
  std::string name_;
  base::Fd fd_;
  Sha256 hash_;
  uint64_t position_ = 0;
};

// The buffers of one thread.
struct Buffers {
  std::vector<std::byte> frame = std::vector<std::byte>(kMostFrameBytes);
  std::vector<std::byte> chunk = std::vector<std::byte>(kChunkBytes);
  FrameReader reader;
};

class Unpacker {
 public:
  Unpacker(const Version& version, const std::vector<bool>& is_wanted,
           const std::vector<Target>& targets, cloning::Progress& progress)
      : version_(version), is_wanted_(is_wanted), targets_(targets), progress_(progress) {}

  void unpack_pack(uint32_t number, Buffers& buffers) const {
    PackReader pack(*version_.layout, version_.manifest.packs[number]);
    const std::vector<ChunkRecord>& chunks = version_.index.chunks;
    const auto pack_of = [&](uint32_t i) { return chunks[i].pack; };
    const auto stop = std::ranges::upper_bound(version_.order, number, {}, pack_of);
    for (auto at = std::ranges::lower_bound(version_.order, number, {}, pack_of); at != stop;) {
      const ChunkRecord& first = chunks[*at];
      const auto end =
          std::find_if(at, stop, [&](uint32_t i) { return chunks[i].offset != first.offset; });
      if (std::any_of(at, end, [&](uint32_t i) { return is_wanted_[i]; })) {
        const std::span<const std::byte> bytes = read_chunk(pack, *at, buffers);
        std::for_each(at, end, [&](uint32_t i) { write_chunk(i, bytes); });
      }
      at = end;
    }
    pack.skip_to(version_.manifest.packs[number].bytes, buffers.frame);
    pack.check_digest();
  }

 private:
  std::span<const std::byte> read_chunk(PackReader& pack, uint32_t position,
                                        Buffers& buffers) const {
    const ChunkRecord& chunk = version_.index.chunks[position];
    pack.skip_to(chunk.offset, buffers.frame);
    const std::span<std::byte> frame = std::span(buffers.frame).first(chunk.length);
    pack.read(frame);
    const std::span<std::byte> bytes = std::span(buffers.chunk).first(chunk.raw);
    if (!buffers.reader.decompress(frame, bytes)) {
      pack.refuse("the frame at " + std::to_string(chunk.offset) +
                  " is not zstd, or does not have " + std::to_string(chunk.raw) + " bytes");
    }
    if (sha256(bytes) != chunk.digest) {
      pack.refuse("the chunk at " + std::to_string(chunk.offset) + " has another digest than " +
                  chunk.digest.text());
    }
    return bytes;
  }
  void write_chunk(uint32_t position, std::span<const std::byte> bytes) const {
    const ChunkRecord& chunk = version_.index.chunks[position];
    if (!is_wanted_[position]) {
      return;
    }
    const Target& target = targets_[chunk.file];
    base::pwrite_full(target.fd.get(), bytes, static_cast<off_t>(chunk.number * kChunkBytes),
                      target.path);
    progress_.add(chunk.raw);
  }

  const Version& version_;
  const std::vector<bool>& is_wanted_;
  const std::vector<Target>& targets_;
  cloning::Progress& progress_;
};

}  // namespace

void unpack(const Version& version, const std::vector<bool>& is_wanted,
            const std::vector<Target>& targets, int jobs, cloning::Progress& progress) {
  const Unpacker unpacker(version, is_wanted, targets, progress);
  base::for_each_index(jobs, version.manifest.packs.size(), [&]() -> base::Work {
    const auto buffers = std::make_shared<Buffers>();
    return
        [&, buffers](size_t pack) { unpacker.unpack_pack(static_cast<uint32_t>(pack), *buffers); };
  });
}

}  // namespace oci
