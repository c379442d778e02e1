// SPDX-License-Identifier: Apache-2.0
// Writes the blobs of an export without a name, and names them when they are complete.
#include "oci/output.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/file_status.h"
#include "base/message.h"
#include "file/directory.h"
#include "file/open_beneath.h"
#include "oci/format.h"
#include "oci/tar.h"

namespace oci {
namespace {

constexpr mode_t kFileMode = 0644;
constexpr mode_t kDirMode = 0755;

base::Fd open_unnamed(int dir, const std::string& path) {
  base::Fd fd(::openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, kFileMode));
  if (!fd && (errno == EOPNOTSUPP || errno == EISDIR)) {
    throw base::Unsupported("cannot write to " + base::quoted(path) +
                            ": its filesystem has no unnamed files (O_TMPFILE); export to '-' and "
                            "unpack that with tar");
  }
  if (!fd) {
    base::throw_errno("cannot create a file in " + base::quoted(path));
  }
  return fd;
}

base::Fd make_and_open(int dir, const std::string& name, const std::string& shown) {
  if (::mkdirat(dir, name.c_str(), kDirMode) != 0 && errno != EEXIST) {
    base::throw_errno("cannot create the directory " + base::quoted(shown + "/" + name));
  }
  return file::open_beneath(dir, name, O_RDONLY | O_DIRECTORY, shown);
}

// The digests of all blobs that the manifest needs; nothing if it is not that of a template.
std::optional<std::set<Digest>> blobs_of(const Layout& layout, const Descriptor& descriptor) {
  try {
    const Manifest manifest = parse_manifest(layout.read_blob(descriptor, kMostJsonBytes),
                                             layout.blob_path(descriptor.digest));
    std::set<Digest> digests{descriptor.digest, empty_config().digest, manifest.description.digest,
                             manifest.index.digest};
    for (const Descriptor& pack : manifest.packs) {
      digests.insert(pack.digest);
    }
    return digests;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace

Descriptor add_blob(Output& output, const char* media_type, std::string_view bytes) {
  Descriptor blob{.media_type = media_type, .digest = sha256(bytes), .bytes = bytes.size()};
  base::Fd fd = output.new_blob();
  base::write_full(fd.get(), bytes, blob_name(blob.digest));
  output.add(blob, std::move(fd));
  return blob;
}

DirectoryOutput::DirectoryOutput(std::string path) : path_(std::move(path)) {
  is_new_ = ::mkdir(path_.c_str(), kDirMode) == 0;
  if (!is_new_ && errno != EEXIST) {
    base::throw_errno("cannot create the directory " + base::quoted(path_));
  }
  dir_ = base::open_file(path_, O_RDONLY | O_DIRECTORY);
  if (::flock(dir_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      throw base::Refused("cannot export to " + base::quoted(path_) +
                          ": another export writes to it; wait for it to end");
    }
    base::throw_errno("cannot lock " + base::quoted(path_));
  }
  layout_ = Layout::try_open(path_);
  if (!layout_) {
    // An export that was killed leaves blobs/ alone.
    for (const file::Entry& entry : file::list_directory(dir_.get(), path_)) {
      if (entry.name != "blobs") {
        throw base::Refused("cannot export to " + base::quoted(path_) +
                            ": it is neither empty nor an OCI image layout");
      }
    }
  }
  const base::Fd blobs = make_and_open(dir_.get(), "blobs", path_);
  blobs_ = make_and_open(blobs.get(), "sha256", path_ + "/blobs");
}

DirectoryOutput::~DirectoryOutput() {
  undo();
}

void DirectoryOutput::undo() noexcept {
  for (const std::string& name : added_) {
    ::unlinkat(blobs_.get(), name.c_str(), 0);
  }
  if (is_new_) {
    ::unlinkat(dir_.get(), "blobs/sha256", AT_REMOVEDIR);
    ::unlinkat(dir_.get(), "blobs", AT_REMOVEDIR);
    ::rmdir(path_.c_str());
  }
}

base::Fd DirectoryOutput::new_blob() const {
  return open_unnamed(blobs_.get(), path_ + "/blobs/sha256");
}

void DirectoryOutput::add(const Descriptor& blob, base::Fd file) {
  const std::string name = blob.digest.hex();
  const std::string temporary = base::temporary_name(name);
  const std::string what = "cannot create " + base::quoted(path_ + "/" + blob_name(blob.digest));
  if (file::link_descriptor(file.get(), blobs_.get(), name) == 0) {
    added_.push_back(name);
    return;
  }
  if (errno != EEXIST) {
    base::throw_errno(what);
  }
  // The blob exists, perhaps with wrong bytes.
  ::unlinkat(blobs_.get(), temporary.c_str(), 0);
  if (file::link_descriptor(file.get(), blobs_.get(), temporary) != 0 ||
      ::renameat(blobs_.get(), temporary.c_str(), blobs_.get(), name.c_str()) != 0) {
    base::throw_errno(what);
  }
}

void DirectoryOutput::finish(const Descriptor& manifest, const std::string& tag) {
  std::vector<Entry> entries;
  std::optional<Descriptor> old;
  if (layout_) {
    for (const Entry& entry : layout_->entries()) {
      if (entry.tag == tag) {
        old = entry.descriptor;
      } else {
        entries.push_back(entry);
      }
    }
  } else {
    base::write_file_atomic(path_ + "/oci-layout", layout_file(), kFileMode, base::Durable::whole);
  }
  entries.push_back(make_entry(manifest, tag));
  base::write_file_atomic(path_ + "/index.json", encode_entries(entries), kFileMode,
                          base::Durable::whole);
  added_.clear();
  is_new_ = false;
  if (old && layout_) {
    remove_unused(*old, entries);
  }
}

void DirectoryOutput::remove_unused(const Descriptor& old,
                                    const std::vector<Entry>& entries) const {
  std::optional<std::set<Digest>> unused = blobs_of(*layout_, old);
  for (const Entry& entry : entries) {
    const std::optional<std::set<Digest>> used = blobs_of(*layout_, entry.descriptor);
    if (!used || !unused) {
      base::say_detail("keeping all blobs of " + base::quoted(path_) +
                       ", because it has other manifests");
      return;
    }
    for (const Digest& digest : *used) {
      unused->erase(digest);
    }
  }
  for (const Digest& digest : *unused) {
    ::unlinkat(blobs_.get(), digest.hex().c_str(), 0);
  }
}

TarOutput::TarOutput(const std::string& spool)
    : spool_path_(spool), spool_(base::open_file(spool, O_RDONLY | O_DIRECTORY)) {}

base::Fd TarOutput::new_blob() const {
  return open_unnamed(spool_.get(), spool_path_);
}

void TarOutput::add(const Descriptor& blob, base::Fd file) {
  blobs_.emplace_back(blob, std::move(file));
}

void TarOutput::finish(const Descriptor& manifest, const std::string& tag) {
  TarWriter tar(STDOUT_FILENO, "standard output");
  tar.add_bytes("oci-layout", layout_file());
  tar.add_directory("blobs");
  tar.add_directory("blobs/sha256");
  std::ranges::sort(blobs_, {}, [](const auto& blob) { return blob.first.digest; });
  const Digest* before = nullptr;
  for (const auto& [blob, fd] : blobs_) {
    if (before == nullptr || *before != blob.digest) {
      tar.add_file(blob_name(blob.digest), fd.get(), blob.bytes);
    }
    before = &blob.digest;
  }
  tar.add_bytes("index.json", encode_entries({make_entry(manifest, tag)}));
  tar.close();
}

}  // namespace oci
