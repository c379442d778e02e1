// SPDX-License-Identifier: Apache-2.0
// Compares chunks of a local template by digest, and clones the longest runs.
#include "oci/share.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/message.h"
#include "base/parallel.h"
#include "file/zero_runs.h"
#include "meta/guest/guest.h"
#include "oci/format.h"
#include "oci/hash_chunks.h"

namespace oci {
namespace {

constexpr size_t kSamples = 32;

// Whether the chunk of the source has the digest of `chunk`.
bool has_chunk(const TemplateFiles& source, size_t file, const ChunkRecord& chunk,
               std::span<std::byte> buffer) {
  const uint64_t bytes = source.description().files[file].bytes;
  if ((chunk.number + 1) * kChunkBytes > bytes) {
    return false;  // FICLONERANGE takes whole blocks; the last chunk may not have them
  }
  return sha256(read_chunk(source.fd(file), chunk.number, bytes, buffer, source.path(file))) ==
         chunk.digest;
}

// The file of the source with the same role and name.
std::optional<size_t> same_file(const TemplateFiles& source, const TemplateFile& wanted) {
  const std::vector<TemplateFile>& files = source.description().files;
  const auto found = std::ranges::find_if(files, [&](const TemplateFile& file) {
    return file.role == wanted.role && file.name == wanted.name;
  });
  return found == files.end() || wanted.role == Role::state
             ? std::nullopt
             : std::optional(static_cast<size_t>(found - files.begin()));
}

// The chunks of one file of the index.
struct Part {
  size_t begin;
  size_t end;
};
Part part_of(const ChunkIndex& index, uint32_t file) {
  const auto begin = std::ranges::lower_bound(index.chunks, file, {}, &ChunkRecord::file);
  const auto end = std::ranges::upper_bound(index.chunks, file, {}, &ChunkRecord::file);
  return {.begin = static_cast<size_t>(begin - index.chunks.begin()),
          .end = static_cast<size_t>(end - index.chunks.begin())};
}

std::vector<char> compare(const TemplateFiles& source, size_t file, const ChunkIndex& index,
                          const Part& part, int jobs, cloning::Progress& progress) {
  std::vector<char> is_equal(part.end - part.begin);
  base::for_each_index(jobs, is_equal.size(), [&]() -> base::Work {
    const auto buffer = std::make_shared<std::vector<std::byte>>(kChunkBytes);
    return [&, buffer](size_t i) {
      const ChunkRecord& chunk = index.chunks[part.begin + i];
      is_equal[i] = chunk.raw == kChunkBytes && has_chunk(source, file, chunk, *buffer) ? 1 : 0;
      progress.add(chunk.raw);
    };
  });
  return is_equal;
}

// The longest runs of equal chunks, as ranges of bytes.
std::vector<file::ByteRange> runs_of(const ChunkIndex& index, const Part& part,
                                     const std::vector<char>& is_equal) {
  std::vector<file::ByteRange> runs;
  for (size_t i = 0; i < is_equal.size(); ++i) {
    const auto begin = static_cast<off_t>(index.chunks[part.begin + i].number * kChunkBytes);
    if (is_equal[i] == 0) {
      continue;
    }
    if (runs.empty() || runs.back().end != begin) {
      runs.push_back({.begin = begin, .end = begin});
    }
    runs.back().end += static_cast<off_t>(kChunkBytes);
  }
  std::erase_if(runs, [](const file::ByteRange& run) {
    return static_cast<uint64_t>(run.size()) < kLeastSharedBytes;
  });
  return file::longest(std::move(runs), kMostSharedRuns);
}

// Returns false if the two files cannot share.
bool clone_run(int from, const Target& target, const file::ByteRange& run) {
  struct file_clone_range range {};
  range.src_fd = from;
  range.src_offset = static_cast<uint64_t>(run.begin);
  range.src_length = static_cast<uint64_t>(run.size());
  range.dest_offset = range.src_offset;
  if (::ioctl(target.fd.get(), FICLONERANGE, &range) == 0) {
    return true;
  }
  if (errno == EXDEV || errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL) {
    return false;
  }
  base::throw_errno("cannot share blocks with " + base::quoted(target.path));
}

// How many of some chunks of the memory the source has.
size_t count_samples(const TemplateFiles& source, const ChunkIndex& index) {
  const Part part = part_of(index, kMemoryFile);
  const size_t step = std::max<size_t>(1, (part.end - part.begin) / kSamples);
  std::vector<std::byte> buffer(kChunkBytes);
  size_t count = 0;
  for (size_t i = part.begin; i < part.end; i += step) {
    count += has_chunk(source, kMemoryFile, index.chunks[i], buffer) ? 1 : 0;
  }
  return count;
}

}  // namespace

std::unique_ptr<TemplateFiles> open_share_source(const store::Store& store, const std::string& id) {
  std::optional<store::GuestLocks> lock =
      store::GuestLocks::try_take(store, {{.id = id, .mode = store::LockMode::shared}});
  return lock ? std::make_unique<TemplateFiles>(store, id, *std::move(lock)) : nullptr;
}

std::unique_ptr<TemplateFiles> find_share_source(const store::Store& store,
                                                 const Description& description,
                                                 const ChunkIndex& index) {
  std::unique_ptr<TemplateFiles> best;
  size_t most = 0;
  for (const std::string& id : meta::list_guests(store)) {
    try {
      if (!meta::Metadata::of_guest(store, id).is_template()) {
        continue;
      }
      // The analyzer does not see that `source` is destroyed.
      // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks)
      std::unique_ptr<TemplateFiles> source = open_share_source(store, id);
      if (!source ||
          source->description().files[kMemoryFile].bytes != description.files[kMemoryFile].bytes) {
        continue;
      }
      const size_t count = count_samples(*source, index);
      if (count > most) {
        most = count;
        best = std::move(source);
      }
    } catch (const std::exception& error) {
      base::say_detail("not sharing with " + base::quoted(id) + ": " + error.what());
    }
  }
  return best;
}

std::vector<bool> share_chunks(const TemplateFiles& source, const Description& description,
                               const ChunkIndex& index, const std::vector<Target>& targets,
                               int jobs, cloning::Progress& progress) {
  std::vector<bool> is_shared(index.chunks.size());
  for (uint32_t file = 0; file < description.files.size(); ++file) {
    const std::optional<size_t> from = same_file(source, description.files[file]);
    const Part part = part_of(index, file);
    if (!from || part.begin == part.end) {
      continue;
    }
    progress.begin(source.path(*from), static_cast<int64_t>(description.files[file].bytes));
    const std::vector<char> is_equal = compare(source, *from, index, part, jobs, progress);
    size_t at = part.begin;
    for (const file::ByteRange& run : runs_of(index, part, is_equal)) {
      if (!clone_run(source.fd(*from), targets[file], run)) {
        break;
      }
      while (static_cast<off_t>(index.chunks[at].number * kChunkBytes) < run.begin) {
        ++at;
      }
      for (off_t done = run.begin; done < run.end; done += static_cast<off_t>(kChunkBytes)) {
        is_shared[at++] = true;
      }
    }
  }
  return is_shared;
}

}  // namespace oci
