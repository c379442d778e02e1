// SPDX-License-Identifier: Apache-2.0
// Replaces a file so that a reader, or a crash, sees either the old file or the new one.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>

namespace base {

// What a write flushes. With `whole`, the name has the old or the new content after a power cut,
// and never a part of it; with `yes`, it has the new content.
enum class Durable { no, whole, yes };

// Writes `content` beside `path` under the temporary name ".NAME.snapfork-tmp" and renames it to
// `path`. Unless `durable` is `no`, flushes the file before the rename; with Durable::yes, flushes
// the directory after it. Throws
// std::system_error; `path` is then unchanged. Writers of one `path` take turns: the temporary name
// is fixed, so that a leftover is found and reused, and the writer keeps it locked (flock). Throws
// Refused if another writer holds it for 10 s.
void write_file_atomic(const std::string& path, std::string_view content, mode_t mode,
                       Durable durable);
// The same for a content that is too large for memory: `fill` writes it to the descriptor, in any
// order; `name` is for its messages.
void write_file_atomic(const std::string& path,
                       const std::function<void(int fd, const std::string& name)>& fill,
                       mode_t mode, Durable durable);
// The same for a file that must not exist. If it exists, returns false and changes nothing.
[[nodiscard]] bool create_file_atomic(const std::string& path, std::string_view content,
                                      mode_t mode, Durable durable);

// The same for a file that may exist: it keeps its mode, its extended attributes, and, if the
// caller may set them, its owner and group. `mode` is for a new file.
void update_file_atomic(const std::string& path, std::string_view content, mode_t mode,
                        Durable durable);

// write_file_atomic with the mode, the extended attributes, and, if the caller may set them, the
// owner and group of the file `like`.
void write_file_like(const std::string& path, std::string_view content, const std::string& like,
                     Durable durable);

// For a check before any work, and for a dry run. Throws std::system_error if no file can get the
// name `path`, because its directory does not exist or is not writable, or because `path` is a
// directory.
void require_writable_name(const std::string& path);

// Returns the temporary name beside `name` (one component) during a write. It depends on `name`
// alone, and fits into a directory entry (255 bytes) for any length of `name`.
std::string temporary_name(std::string_view name);

// Returns whether `name` (one component) is a leftover that a killed program of the suite may
// leave.
bool is_temporary_name(std::string_view name);

inline constexpr std::string_view kTemporarySuffix = ".snapfork-tmp";

}  // namespace base
