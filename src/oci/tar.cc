// SPDX-License-Identifier: Apache-2.0
// Calls libarchive for the tar of a layout.
#include "oci/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/digest.h"
#include "oci/format.h"
#include "oci/layout.h"
#include "store/files.h"

namespace oci {
namespace {

constexpr size_t kBufferBytes = 1 << 20;
constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirMode = 0700;

struct archive* archive_of(void* archive) {
  return static_cast<struct archive*>(archive);
}

struct ReadFree {
  void operator()(struct archive* archive) const { archive_read_free(archive); }
};
using TarReader = std::unique_ptr<struct archive, ReadFree>;

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
  throw base::BadData("cannot read " + base::quoted(name) + ": " + reason);
}

[[noreturn]] void fail_read(struct archive* tar, const std::string& name) {
  const char* const reason = archive_error_string(tar);
  refuse(name, "it is not a whole tar of an image layout" +
                   (reason != nullptr ? ": " + std::string(reason) : std::string()));
}

// Whether a member of the tar belongs to a layout.
bool is_wanted(std::string_view path) {
  constexpr std::string_view kBlobs = "blobs/sha256/";
  return path == "oci-layout" || path == "index.json" ||
         (path.starts_with(kBlobs) &&
          parse_digest("sha256:" + std::string(path.substr(kBlobs.size()))));
}

// Writes the bytes of a member, and checks the digest if it is a blob.
void unpack_member(struct archive* tar, const std::string& path, const store::Store& store,
                   const std::string& dir, const std::string& name) {
  const std::string target = dir + "/" + path;
  base::Fd file = store.open_below(target, O_WRONLY | O_CREAT | O_EXCL, kFileMode);
  Sha256 hash;
  std::vector<char> buffer(kBufferBytes);
  for (;;) {
    const la_ssize_t count = archive_read_data(tar, buffer.data(), buffer.size());
    if (count < 0) {
      fail_read(tar, name);
    }
    if (count == 0) {
      break;
    }
    const std::string_view bytes(buffer.data(), static_cast<size_t>(count));
    hash.add(std::as_bytes(std::span(bytes)));
    base::write_full(file.get(), bytes, target);
  }
  const std::string digest = hash.finish().hex();
  if (path.starts_with("blobs/") && !path.ends_with(digest)) {
    refuse(name, "the blob " + base::quoted(path) + " has another digest; it is corrupt");
  }
  file.close_checked(target);
}

}  // namespace

void TarWriter::Free::operator()(void* archive) const {
  archive_write_free(archive_of(archive));
}

TarWriter::TarWriter(int fd, std::string name)
    : archive_(archive_write_new()), name_(std::move(name)) {
  struct archive* const tar = archive_of(archive_.get());
  // pax is ustar with an extension for files of more than 8 GiB.
  if (archive_write_set_format_pax_restricted(tar) != ARCHIVE_OK ||
      archive_write_open_fd(tar, fd) != ARCHIVE_OK) {
    fail();
  }
}

void TarWriter::fail() const {
  struct archive* const tar = archive_of(archive_.get());
  const int number = archive_errno(tar);
  base::throw_error_number(number > 0 ? number : EIO, "cannot write " + base::quoted(name_));
}

void TarWriter::begin(const std::string& path, uint64_t bytes, bool is_directory) {
  const std::unique_ptr<struct archive_entry, void (*)(struct archive_entry*)> entry(
      archive_entry_new(), archive_entry_free);
  archive_entry_set_pathname(entry.get(), path.c_str());
  archive_entry_set_filetype(entry.get(), is_directory ? AE_IFDIR : AE_IFREG);
  archive_entry_set_perm(entry.get(), is_directory ? 0755 : 0644);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(bytes));
  archive_entry_set_mtime(entry.get(), 0, 0);
  if (archive_write_header(archive_of(archive_.get()), entry.get()) != ARCHIVE_OK) {
    fail();
  }
}

void TarWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const la_ssize_t count =
        archive_write_data(archive_of(archive_.get()), bytes.data(), bytes.size());
    if (count <= 0) {
      fail();
    }
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

void TarWriter::add_directory(const std::string& path) {
  begin(path, 0, true);
}

void TarWriter::add_bytes(const std::string& path, std::string_view bytes) {
  begin(path, bytes.size(), false);
  write(bytes);
}

void TarWriter::add_file(const std::string& path, int fd, uint64_t bytes) {
  begin(path, bytes, false);
  std::vector<char> buffer(kBufferBytes);
  for (uint64_t at = 0; at < bytes;) {
    const size_t wanted = std::min<uint64_t>(buffer.size(), bytes - at);
    const size_t count = base::pread_full(
        fd, std::as_writable_bytes(std::span(buffer)).first(wanted), static_cast<off_t>(at), path);
    SNAPFORK_CHECK(count == wanted);  // this process wrote the file
    write({buffer.data(), count});
    at += count;
  }
}

void TarWriter::close() {
  if (archive_write_close(archive_of(archive_.get())) != ARCHIVE_OK) {
    fail();
  }
}

void unpack_tar(int fd, const std::string& name, const store::Store& store,
                const std::string& dir) {
  store::make_dirs(dir + "/blobs/sha256", kDirMode);
  const TarReader tar(archive_read_new());
  if (archive_read_support_format_tar(tar.get()) != ARCHIVE_OK ||
      archive_read_open_fd(tar.get(), fd, kBufferBytes) != ARCHIVE_OK) {
    fail_read(tar.get(), name);
  }
  std::set<std::string> seen;
  for (;;) {
    struct archive_entry* entry = nullptr;
    const int result = archive_read_next_header(tar.get(), &entry);
    if (result == ARCHIVE_EOF) {
      break;
    }
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
      fail_read(tar.get(), name);
    }
    const char* const pathname = archive_entry_pathname(entry);
    std::string path = pathname != nullptr ? pathname : "";
    if (path.starts_with("./")) {
      path.erase(0, 2);
    }
    if (!is_wanted(path)) {
      continue;
    }
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) {
      refuse(name, "the member " + base::quoted(path) + " is not a regular file");
    }
    if (!seen.insert(path).second) {
      refuse(name, "it has the member " + base::quoted(path) + " twice");
    }
    unpack_member(tar.get(), path, store, dir, name);
  }
}

}  // namespace oci
