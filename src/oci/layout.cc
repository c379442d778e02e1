// SPDX-License-Identifier: Apache-2.0
// Opens the files of a layout, and checks their kind, length and digest.
#include "oci/layout.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/file_status.h"
#include "file/open_beneath.h"
#include "oci/format.h"

namespace oci {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw base::BadData("cannot read " + base::quoted(path) + ": " + reason);
}

base::Fd open_regular(int dir, const std::string& name, const std::string& shown) {
  std::optional<base::Fd> fd =
      file::try_open_beneath(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, shown);
  if (!fd) {
    refuse(shown + "/" + name, "the layout does not have this file");
  }
  if (!S_ISREG(base::stat_fd(fd->get(), name).st_mode)) {
    refuse(shown + "/" + name, "it is not a regular file");
  }
  return *std::move(fd);
}

}  // namespace

std::string blob_name(const Digest& digest) {
  return "blobs/sha256/" + digest.hex();
}

Layout::Layout(const std::string& path)
    : Layout(path, base::open_file(path, O_RDONLY | O_DIRECTORY)) {}

Layout::Layout(std::string path, base::Fd dir) : path_(std::move(path)), dir_(std::move(dir)) {
  check_layout_file(read_file("oci-layout"), path_ + "/oci-layout");
  entries_ = parse_entries(read_file("index.json"), path_ + "/index.json");
}

std::optional<Layout> Layout::try_open(const std::string& path) {
  std::optional<base::Fd> dir = base::try_open(path, O_RDONLY | O_DIRECTORY);
  if (!dir || !base::try_lstat_at(dir->get(), "oci-layout", path + "/oci-layout")) {
    return std::nullopt;
  }
  return Layout(path, *std::move(dir));
}

std::string Layout::read_file(const std::string& name) const {
  const base::Fd fd = open_regular(dir_.get(), name, path_);
  return base::read_regular(fd.get(), kMostJsonBytes, path_ + "/" + name);
}

const Entry& Layout::entry(const std::string& tag) const {
  if (tag.empty() && entries_.size() == 1) {
    return entries_.front();
  }
  const std::string wanted = tag.empty() ? "latest" : tag;
  const auto found = std::ranges::find(entries_, wanted, &Entry::tag);
  if (found != entries_.end()) {
    return *found;
  }
  std::string tags;
  for (const Entry& entry : entries_) {
    tags += (tags.empty() ? "" : ", ") + base::quoted(entry.tag);
  }
  throw base::Refused("cannot find the tag " + base::quoted(wanted) + " in " + base::quoted(path_) +
                      ": it has " + (tags.empty() ? "no manifest" : tags + "; use --tag"));
}

std::string Layout::blob_path(const Digest& digest) const {
  return path_ + "/" + blob_name(digest);
}

base::Fd Layout::open_blob(const Descriptor& blob) const {
  base::Fd fd = open_regular(dir_.get(), blob_name(blob.digest), path_);
  const auto bytes = static_cast<uint64_t>(base::stat_fd(fd.get(), blob_path(blob.digest)).st_size);
  if (bytes != blob.bytes) {
    refuse(blob_path(blob.digest), "it has " + std::to_string(bytes) + " bytes, and " +
                                       std::to_string(blob.bytes) + " are needed");
  }
  return fd;
}

std::string Layout::read_blob(const Descriptor& blob, uint64_t most) const {
  const std::string path = blob_path(blob.digest);
  if (blob.bytes > most) {
    refuse(path, "it has " + std::to_string(blob.bytes) + " bytes; at most " +
                     std::to_string(most) + " are possible");
  }
  const base::Fd fd = open_blob(blob);
  std::string bytes = base::read_regular(fd.get(), most, path);
  if (bytes.size() != blob.bytes || sha256(bytes) != blob.digest) {
    refuse(path, "its bytes have another digest; the blob is corrupt");
  }
  return bytes;
}

}  // namespace oci
