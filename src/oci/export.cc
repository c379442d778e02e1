// SPDX-License-Identifier: Apache-2.0
// The steps of an export: hash, plan, write packs, index, description, manifest.
#include "oci/export.h"

#include <fcntl.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/message.h"
#include "base/parallel.h"
#include "oci/chunk_index.h"
#include "oci/format.h"
#include "oci/hash_chunks.h"
#include "oci/layout.h"
#include "oci/output.h"
#include "oci/pack_plan.h"
#include "oci/template_files.h"
#include "oci/write_packs.h"

namespace oci {
namespace {

using NoLocks = std::vector<store::GuestLocks::Wanted>;

struct Earlier {
  EarlierVersion version;
  std::vector<Descriptor> packs;
};

// Whether the layout has the blob, with the right bytes.
bool is_intact(const Layout& layout, const Descriptor& blob) {
  try {
    const base::Fd fd = layout.open_blob(blob);
    std::vector<std::byte> buffer(kChunkBytes);
    Sha256 hash;
    for (uint64_t at = 0; at < blob.bytes;) {
      const size_t count =
          base::pread_full(fd.get(), buffer, static_cast<off_t>(at), layout.blob_path(blob.digest));
      if (count == 0) {
        return false;
      }
      hash.add(std::span(buffer).first(count));
      at += count;
    }
    return hash.finish() == blob.digest;
  } catch (const base::BadData&) {
    return false;
  }
}

// Reads the index of a version in the layout. Returns nothing if it is not a template.
std::optional<Earlier> read_version(const Layout& layout, const Descriptor& manifest_blob,
                                    int jobs) {
  try {
    const std::string name = layout.blob_path(manifest_blob.digest);
    const Manifest manifest = parse_manifest(layout.read_blob(manifest_blob, kMostJsonBytes), name);
    Earlier earlier;
    earlier.packs = manifest.packs;
    earlier.version.index = decode_index(layout.read_blob(manifest.index, kMostIndexBytes),
                                         layout.blob_path(manifest.index.digest));
    const Description description =
        parse_description(layout.read_blob(manifest.description, kMostJsonBytes),
                          layout.blob_path(manifest.description.digest));
    std::vector<uint64_t> pack_bytes;
    for (const Descriptor& pack : manifest.packs) {
      pack_bytes.push_back(pack.bytes);
    }
    check_index(earlier.version.index, file_lengths(description), pack_bytes, name);
    std::vector<char> intact(manifest.packs.size());
    base::for_each_index(jobs, intact.size(), [&]() -> base::Work {
      return [&](size_t i) { intact[i] = is_intact(layout, manifest.packs[i]) ? 1 : 0; };
    });
    for (size_t i = 0; i < intact.size(); ++i) {
      if (intact[i] == 0) {
        base::say_warning("the pack " + base::quoted(layout.blob_path(manifest.packs[i].digest)) +
                          " is missing or corrupt; its chunks are written again");
        pack_bytes[i] = 0;
      }
    }
    earlier.version.packs = std::move(pack_bytes);
    return earlier;
  } catch (const base::BadData& error) {
    base::say_detail(std::string(error.what()) + "; nothing of it is reused");
    return std::nullopt;
  }
}

// The version whose packs are reused; an empty one if there is none.
Earlier find_earlier(const std::optional<Layout>& layout, const std::string& tag, int jobs) {
  if (!layout) {
    return {};
  }
  for (const Entry& entry : layout->entries()) {
    if (entry.tag == tag) {
      if (std::optional<Earlier> earlier = read_version(*layout, entry.descriptor, jobs)) {
        return *std::move(earlier);
      }
    }
  }
  for (auto entry = layout->entries().rbegin(); entry != layout->entries().rend(); ++entry) {
    if (entry->tag != tag) {
      if (std::optional<Earlier> earlier = read_version(*layout, entry->descriptor, jobs)) {
        return *std::move(earlier);
      }
    }
  }
  return {};
}

uint64_t raw_bytes_of(const std::vector<ChunkRecord>& chunks) {
  uint64_t bytes = 0;
  for (const ChunkRecord& chunk : chunks) {
    bytes += chunk.raw;
  }
  return bytes;
}

uint64_t new_raw_bytes(const std::vector<ChunkRecord>& chunks, const PackPlan& plan) {
  uint64_t bytes = 0;
  for (const std::vector<uint32_t>& pack : plan.added) {
    for (const uint32_t position : pack) {
      bytes += chunks[position].raw;
    }
  }
  return bytes;
}

ExportReport write_version(const TemplateFiles& files, const ExportRequest& request,
                           Earlier earlier, Output& output, cloning::Progress& progress) {
  const int jobs = jobs_here();
  std::vector<ChunkRecord> chunks = hash_chunks(files, jobs, progress);
  const PackPlan plan = plan_packs(chunks, earlier.version);
  earlier.version = {};
  Manifest manifest;
  ExportReport report;
  for (const uint32_t pack : plan.kept) {
    manifest.packs.push_back(earlier.packs[pack]);
    report.bytes += earlier.packs[pack].bytes;
  }
  progress.begin("packs", static_cast<int64_t>(new_raw_bytes(chunks, plan)));
  for (const Descriptor& pack : write_packs(files, plan, chunks, output, jobs, progress)) {
    manifest.packs.push_back(pack);
    report.new_bytes += pack.bytes;
  }
  progress.erase();
  place_duplicates(chunks);
  files.require_unchanged();
  report.chunks = chunks.size();
  report.raw_bytes = raw_bytes_of(chunks);
  const ChunkIndex index{.files = static_cast<uint32_t>(files.description().files.size()),
                         .packs = static_cast<uint32_t>(manifest.packs.size()),
                         .chunks = std::move(chunks)};
  manifest.index = add_blob(output, kIndexType, encode_index(index));
  manifest.description =
      add_blob(output, kDescriptionType, encode_description(files.description()));
  add_blob(output, kEmptyType, kEmptyConfig);
  const Descriptor blob =
      add_blob(output, kManifestType, encode_manifest(manifest, files.annotations()));
  report.new_bytes +=
      manifest.index.bytes + manifest.description.bytes + kEmptyConfig.size() + blob.bytes;
  report.bytes += report.new_bytes;
  report.manifest = blob.digest;
  report.layers = manifest.packs.size() + 2;
  output.finish(blob, request.tag);
  return report;
}

}  // namespace

ExportReport export_template(const store::Store& store, const ExportRequest& request,
                             cloning::Progress& progress) {
  if (base::is_dry_run(request.effect)) {
    // A lock would create the lock file.
    const TemplateFiles checked(store, request.id, store::GuestLocks(store, NoLocks()));
    return {};
  }
  const TemplateFiles files(
      store, request.id,
      store::GuestLocks(store, {{.id = request.id, .mode = store::LockMode::shared}}));
  if (request.target == "-") {
    store.create_layout();
    TarOutput output(store.tmp_dir());
    return write_version(files, request, {}, output, progress);
  }
  DirectoryOutput output(request.target);
  Earlier earlier = find_earlier(output.layout(), request.tag, jobs_here());
  return write_version(files, request, std::move(earlier), output, progress);
}

}  // namespace oci
