// SPDX-License-Identifier: Apache-2.0
// The steps of an import: read the manifest and the index, share, unpack, publish.
#include "oci/import.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/message.h"
#include "clone/reflink.h"
#include "file/extents.h"
#include "file/zero_runs.h"
#include "meta/guest/guest.h"
#include "oci/format.h"
#include "oci/hash_chunks.h"
#include "oci/layout.h"
#include "oci/share.h"
#include "oci/tar.h"
#include "store/files.h"

namespace oci {
namespace {

// The layout that came as a tar on standard input, unpacked in the store while it is imported.
class UnpackedTar {
 public:
  UnpackedTar(const store::Store& store, const std::string& id)
      : store_(store), path_(store.tmp_dir() + "/oci-layout." + id) {
    remove();
    try {
      unpack_tar(STDIN_FILENO, "standard input", store, path_);
    } catch (...) {
      remove();
      throw;
    }
  }
  ~UnpackedTar() {
    try {
      remove();
    } catch (const std::exception&) {
      // The next import of this id, and fsck, remove it.
    }
  }
  UnpackedTar(const UnpackedTar&) = delete;
  UnpackedTar(UnpackedTar&&) = delete;
  UnpackedTar& operator=(const UnpackedTar&) = delete;
  UnpackedTar& operator=(UnpackedTar&&) = delete;
  const std::string& path() const { return path_; }

 private:
  void remove() const { store::remove_tree(store_, path_); }

  const store::Store& store_;
  std::string path_;
};

Description read_version(const Layout& layout, const Descriptor& blob, Version& version) {
  const std::string name = layout.blob_path(blob.digest);
  version.layout = &layout;
  version.manifest = parse_manifest(layout.read_blob(blob, kMostJsonBytes), name);
  Description description =
      parse_description(layout.read_blob(version.manifest.description, kMostJsonBytes),
                        layout.blob_path(version.manifest.description.digest));
  const std::string index_name = layout.blob_path(version.manifest.index.digest);
  version.index =
      decode_index(layout.read_blob(version.manifest.index, kMostIndexBytes), index_name);
  std::vector<uint64_t> packs;
  for (const Descriptor& pack : version.manifest.packs) {
    packs.push_back(pack.bytes);
    layout.open_blob(pack);  // a missing or truncated pack is found before any work
  }
  version.order = check_index(version.index, file_lengths(description), packs, index_name);
  return description;
}

std::unique_ptr<TemplateFiles> share_source(const store::Store& store, const ImportRequest& request,
                                            const Description& description,
                                            const ChunkIndex& index) {
  if (request.share == "never") {
    return nullptr;
  }
  const base::Fd dir = store.open_below(store.tmp_dir(), O_RDONLY | O_DIRECTORY);
  const bool can_share = cloning::probe_reflink_within(dir.get(), store.tmp_dir()) == 0;
  if (request.share == "auto") {
    return can_share ? find_share_source(store, description, index) : nullptr;
  }
  if (!can_share) {
    throw base::Unsupported("cannot share blocks with " + base::quoted(request.share) +
                            ": the filesystem of " + base::quoted(store.root()) +
                            " cannot share blocks");
  }
  meta::require_guest(store, request.share);
  std::unique_ptr<TemplateFiles> source = open_share_source(store, request.share);
  if (!source) {
    store::require_free(store, request.share);
    throw base::Refused("cannot lock " + base::quoted(request.share) + "; try again");
  }
  return source;
}

uint64_t bytes_of(const ChunkIndex& index, const std::vector<bool>& is_chosen, bool chosen) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < index.chunks.size(); ++i) {
    bytes += is_chosen[i] == chosen ? index.chunks[i].raw : 0;
  }
  return bytes;
}

// The ranges between the data of one file.
std::vector<file::ByteRange> holes_of(const ChunkIndex& index, uint32_t file, uint64_t bytes) {
  std::vector<file::ByteRange> holes;
  uint64_t at = 0;
  for (const ChunkRecord& chunk : index.chunks) {
    if (chunk.file != file) {
      continue;
    }
    const uint64_t begin = chunk.number * kChunkBytes;
    if (begin > at) {
      holes.push_back({.begin = static_cast<off_t>(at), .end = static_cast<off_t>(begin)});
    }
    at = begin + chunk.raw;
  }
  if (at < bytes) {
    holes.push_back({.begin = static_cast<off_t>(at), .end = static_cast<off_t>(bytes)});
  }
  return holes;
}

uint64_t total_size(const std::vector<file::ByteRange>& ranges) {
  uint64_t bytes = 0;
  for (const file::ByteRange& range : ranges) {
    bytes += static_cast<uint64_t>(range.size());
  }
  return bytes;
}

// Allocates the blocks between the holes that a file keeps, so that chunks that several threads
// write lie in few extents. Blocks that are shared stay shared. The shorter holes of a file with
// more than kMostHoles get zeros, because each clone of the file pays for each of its extents.
void allocate(const Target& target, const std::vector<file::ByteRange>& holes, uint64_t bytes) {
  const std::vector<file::ByteRange> kept = file::longest(holes, kMostHoles);
  const auto size = static_cast<off_t>(bytes);
  off_t at = 0;
  for (size_t i = 0; i <= kept.size(); ++i) {
    const file::ByteRange next =
        i < kept.size() ? kept[i] : file::ByteRange{.begin = size, .end = size};
    if (next.begin > at && ::fallocate(target.fd.get(), 0, at, next.begin - at) != 0 &&
        errno != EOPNOTSUPP) {
      base::throw_errno("cannot allocate " + base::quoted(target.path));
    }
    at = next.end;
  }
  const std::vector<std::byte> zeros(kChunkBytes);
  auto next_kept = kept.begin();
  for (const file::ByteRange& hole : holes) {
    if (next_kept != kept.end() && hole == *next_kept) {
      ++next_kept;
      continue;
    }
    for (off_t zero = hole.begin; zero < hole.end; zero += static_cast<off_t>(kChunkBytes)) {
      const auto count = std::min<uint64_t>(kChunkBytes, static_cast<uint64_t>(hole.end - zero));
      base::pwrite_full(target.fd.get(), std::span(zeros).first(count), zero, target.path);
    }
  }
}

// The space that some files need: for the chunks that are wanted, and for the zeros in holes that
// allocate() does not keep.
uint64_t space_for(const std::vector<uint32_t>& files, const Description& description,
                   const Version& version, const std::vector<bool>& is_wanted) {
  uint64_t bytes = bytes_of(version.index, is_wanted, true);
  for (const uint32_t file : files) {
    const std::vector<file::ByteRange> holes =
        holes_of(version.index, file, description.files[file].bytes);
    bytes += total_size(holes) - total_size(file::longest(holes, kMostHoles));
  }
  return bytes;
}

void fill_files(const std::vector<uint32_t>& files, const NewGuest& guest,
                const Description& description, const Version& version,
                const std::vector<bool>& is_wanted, cloning::Progress& progress) {
  guest.require_space(space_for(files, description, version, is_wanted));
  progress.begin("packs", static_cast<int64_t>(bytes_of(version.index, is_wanted, true)));
  for (const uint32_t file : files) {
    const uint64_t bytes = description.files[file].bytes;
    allocate(guest.targets()[file], holes_of(version.index, file, bytes), bytes);
  }
  unpack(version, is_wanted, guest.targets(), jobs_here(), progress);
}

// Whether the file shares chunks, and has too many extents because those blocks are in many pieces.
bool is_fragmented(uint32_t file, const Target& target, const ChunkIndex& index,
                   const std::vector<bool>& is_shared) {
  bool shares = false;
  for (size_t i = 0; i < is_shared.size(); ++i) {
    shares = shares || (index.chunks[i].file == file && is_shared[i]);
  }
  return shares && file::count_extents(target.fd.get(), file::Flush::yes, target.path).value_or(0) >
                       file::kManyExtents;
}

// Writes the chunks that are not shared. A file that is then fragmented is written again without
// sharing.
void fill(const NewGuest& guest, const Description& description, const Version& version,
          std::vector<bool>& is_shared, cloning::Progress& progress) {
  std::vector<uint32_t> all(description.files.size());
  std::iota(all.begin(), all.end(), 0U);
  std::vector<bool> is_wanted = is_shared;
  is_wanted.flip();
  fill_files(all, guest, description, version, is_wanted, progress);
  std::vector<uint32_t> fragmented;
  std::vector<bool> again(is_shared.size());
  for (const uint32_t file : all) {
    const Target& target = guest.targets()[file];
    if (!is_fragmented(file, target, version.index, is_shared)) {
      continue;
    }
    base::say_detail(base::quoted(target.path) +
                     " would have too many extents; it is copied instead of shared");
    if (::ftruncate(target.fd.get(), 0) != 0 ||
        ::ftruncate(target.fd.get(), static_cast<off_t>(description.files[file].bytes)) != 0) {
      base::throw_errno("cannot truncate " + base::quoted(target.path));
    }
    for (size_t i = 0; i < is_shared.size(); ++i) {
      if (version.index.chunks[i].file == file) {
        is_shared[i] = false;
        again[i] = true;
      }
    }
    fragmented.push_back(file);
  }
  if (!fragmented.empty()) {
    fill_files(fragmented, guest, description, version, again, progress);
  }
}

ImportReport import_layout(const store::Store& store, const ImportRequest& request,
                           const std::string& path, cloning::Progress& progress) {
  const Layout layout(path);
  const Descriptor& blob = layout.entry(request.tag).descriptor;
  Version version;
  const Description description = read_version(layout, blob, version);
  if (base::is_dry_run(request.effect)) {
    check_request(request.guest, description);
    return {};
  }
  NewGuest guest(store, request.guest, description);
  ImportReport report;
  report.manifest = blob.digest;
  std::vector<bool> is_shared(version.index.chunks.size());
  {
    const std::unique_ptr<TemplateFiles> source =
        share_source(store, request, description, version.index);
    if (source) {
      is_shared =
          share_chunks(*source, description, version.index, guest.targets(), jobs_here(), progress);
      report.shared_with = source->id();
    }
  }
  fill(guest, description, version, is_shared, progress);
  progress.erase();
  report.shared_bytes = bytes_of(version.index, is_shared, true);
  report.raw_bytes = report.shared_bytes + bytes_of(version.index, is_shared, false);
  if (report.shared_bytes == 0) {
    report.shared_with.clear();
  }
  guest.publish();
  return report;
}

}  // namespace

ImportReport import_template(const store::Store& store, const ImportRequest& request,
                             cloning::Progress& progress) {
  refuse_existing(store, request.guest.id);
  if (base::is_dry_run(request.effect)) {
    return import_layout(store, request, request.source, progress);
  }
  store.create_layout();
  const store::GuestLocks lock(store, request.guest.id);
  refuse_existing(store, request.guest.id);
  if (request.source != "-") {
    return import_layout(store, request, request.source, progress);
  }
  const UnpackedTar tar(store, request.guest.id);
  return import_layout(store, request, tar.path(), progress);
}

}  // namespace oci
