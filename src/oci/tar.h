// SPDX-License-Identifier: Apache-2.0
// A tar of an image layout (libarchive).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "store/store.h"

namespace oci {

// Writes a tar whose members have no owner and no time, so that equal layouts give equal tars.
class TarWriter {
 public:
  // `fd` stays open. `name` is for messages.
  TarWriter(int fd, std::string name);
  void add_directory(const std::string& path);
  void add_bytes(const std::string& path, std::string_view bytes);
  // Adds the first `bytes` bytes of the file `fd`.
  void add_file(const std::string& path, int fd, uint64_t bytes);
  // Writes the end of the tar. Throws std::system_error.
  void close();

 private:
  struct Free {
    void operator()(void* archive) const;
  };
  void begin(const std::string& path, uint64_t bytes, bool is_directory);
  void write(std::string_view bytes);
  [[noreturn]] void fail() const;

  std::unique_ptr<void, Free> archive_;
  std::string name_;
};

// Unpacks the tar of a layout from the descriptor `fd` into `dir`, a new directory of the store.
// Only the members oci-layout, index.json and blobs/sha256/DIGEST are unpacked, also with "./" in
// front. Other members are skipped; their bytes are read and dropped. Throws base::BadData if the
// input is not a tar, ends too early, is compressed, has one of these members twice or not as a
// regular file, or if a blob has another digest than its name; std::system_error.
void unpack_tar(int fd, const std::string& name, const store::Store& store, const std::string& dir);

}  // namespace oci
