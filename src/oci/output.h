// SPDX-License-Identifier: Apache-2.0
// Where an export writes its layout: a directory, or a tar on standard output.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "oci/layout.h"
#include "oci/manifest.h"

namespace oci {

class Output {
 public:
  Output() = default;
  Output(const Output&) = delete;
  Output(Output&&) = delete;
  Output& operator=(const Output&) = delete;
  Output& operator=(Output&&) = delete;
  virtual ~Output() = default;

  // Opens a file without a name, for the bytes of a blob. Any thread may call this. Throws
  // base::Unsupported if the filesystem has no such files (O_TMPFILE).
  virtual base::Fd new_blob() const = 0;
  // Gives a blob its name in the layout.
  virtual void add(const Descriptor& blob, base::Fd file) = 0;
  // Writes index.json, in which the manifest has the tag. Only now the new version exists.
  virtual void finish(const Descriptor& manifest, const std::string& tag) = 0;
};

// Adds a blob with these bytes.
Descriptor add_blob(Output& output, const char* media_type, std::string_view bytes);

// Writes into a directory, which is created if it does not exist. It holds the directory locked
// (flock). Until finish() the destructor removes the blobs that were added.
class DirectoryOutput : public Output {
 public:
  // Throws base::Refused if another export has the directory locked, or if it has files and is not
  // an image layout.
  explicit DirectoryOutput(std::string path);
  ~DirectoryOutput() override;
  DirectoryOutput(const DirectoryOutput&) = delete;
  DirectoryOutput(DirectoryOutput&&) = delete;
  DirectoryOutput& operator=(const DirectoryOutput&) = delete;
  DirectoryOutput& operator=(DirectoryOutput&&) = delete;

  // The layout as it was before; nothing if there was none.
  const std::optional<Layout>& layout() const { return layout_; }

  base::Fd new_blob() const override;
  void add(const Descriptor& blob, base::Fd file) override;
  // index.json is flushed before it is renamed, because all versions depend on it; blobs are not
  // flushed. Replaces the entry with the same tag. Removes the blobs of the manifest that this
  // entry had, unless another manifest has them. If any manifest of the layout is not that of a
  // template, no blob is removed, because what it refers to is not known.
  void finish(const Descriptor& manifest, const std::string& tag) override;

 private:
  void undo() noexcept;
  void remove_unused(const Descriptor& old, const std::vector<Entry>& entries) const;

  std::string path_;
  bool is_new_ = false;
  base::Fd dir_;
  base::Fd blobs_;
  std::optional<Layout> layout_;
  std::vector<std::string> added_;
};

// Collects the blobs in unnamed files of the directory `spool`, and writes them as a tar at the
// end, because the header of a tar member has its length.
class TarOutput : public Output {
 public:
  explicit TarOutput(const std::string& spool);
  base::Fd new_blob() const override;
  void add(const Descriptor& blob, base::Fd file) override;
  void finish(const Descriptor& manifest, const std::string& tag) override;

 private:
  std::string spool_path_;
  base::Fd spool_;
  std::vector<std::pair<Descriptor, base::Fd>> blobs_;
};

}  // namespace oci
