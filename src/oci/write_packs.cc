// SPDX-License-Identifier: Apache-2.0
// One thread writes one pack at a time: its chunks, one frame after the other.
#include "oci/write_packs.h"

#include <memory>
#include <utility>

#include "base/parallel.h"
#include "oci/format.h"
#include "oci/frame.h"
#include "oci/hash_chunks.h"

namespace oci {

std::vector<Descriptor> write_packs(const TemplateFiles& files, const PackPlan& plan,
                                    std::vector<ChunkRecord>& chunks, Output& output, int jobs,
                                    cloning::Progress& progress) {
  std::vector<base::Fd> written(plan.added.size());
  std::vector<Descriptor> packs(plan.added.size());
  base::for_each_index(jobs, plan.added.size(), [&]() -> base::Work {
    const auto buffer = std::make_shared<std::vector<std::byte>>(kChunkBytes);
    const auto writer = std::make_shared<FrameWriter>();
    return [&, buffer, writer](size_t pack) {
      base::Fd fd = output.new_blob();
      Sha256 hash;
      uint64_t offset = 0;
      for (const uint32_t position : plan.added[pack]) {
        ChunkRecord& chunk = chunks[position];
        const uint32_t file = chunk.file;
        const std::span<const std::byte> frame = writer->compress(
            read_chunk(files.fd(file), chunk.number, files.description().files[file].bytes, *buffer,
                       files.path(file)));
        hash.add(frame);
        base::pwrite_full(fd.get(), frame, static_cast<off_t>(offset), "a pack");
        chunk.pack = static_cast<uint32_t>(plan.kept.size() + pack);
        chunk.offset = offset;
        chunk.length = static_cast<uint32_t>(frame.size());
        offset += frame.size();
        progress.add(chunk.raw);
      }
      packs[pack] = {.media_type = kPackType, .digest = hash.finish(), .bytes = offset};
      written[pack] = std::move(fd);
    };
  });
  for (size_t pack = 0; pack < packs.size(); ++pack) {
    output.add(packs[pack], std::move(written[pack]));
  }
  return packs;
}

}  // namespace oci
