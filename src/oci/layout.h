// SPDX-License-Identifier: Apache-2.0
// Reads an OCI image layout in a directory that another party may have written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "oci/digest.h"
#include "oci/manifest.h"

namespace oci {

// Files below the directory are opened without following links, without waiting (a FIFO does not
// block), and only if they are regular files.
class Layout {
 public:
  // `path` is a directory; it may be reached through links. Throws base::BadData if it has no valid
  // oci-layout and index.json, std::system_error.
  explicit Layout(const std::string& path);
  // The same; nothing if the directory has no oci-layout.
  static std::optional<Layout> try_open(const std::string& path);

  const std::string& path() const { return path_; }
  const std::vector<Entry>& entries() const { return entries_; }
  // The entry with this tag; with an empty tag, the only entry, or else that with the tag "latest".
  // Throws base::Refused, which lists the tags, if there is none.
  const Entry& entry(const std::string& tag) const;

  // The name of a blob in messages.
  std::string blob_path(const Digest& digest) const;
  // Opens a blob. Throws base::BadData if it does not exist, is not a regular file, or does not
  // have the length of the descriptor.
  base::Fd open_blob(const Descriptor& blob) const;
  // Reads a whole blob of at most `most` bytes. Throws base::BadData if its digest is another one.
  std::string read_blob(const Descriptor& blob, uint64_t most) const;

 private:
  Layout(std::string path, base::Fd dir);
  std::string read_file(const std::string& name) const;

  std::string path_;
  base::Fd dir_;
  std::vector<Entry> entries_;
};

// The path of a blob, relative to the layout.
std::string blob_name(const Digest& digest);

}  // namespace oci
