// SPDX-License-Identifier: Apache-2.0
// Replacing a file so that a reader, or a crash, sees the old one or the new one and nothing else.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace base {

enum class Durable { no, yes };

// Writes `content` beside `path` under the temporary name ".NAME.snapfork-tmp", renames it over
// `path`. With Durable::yes the file is flushed before, and the directory after, the rename.
// Throws std::system_error; then `path` is as before. Writers of one `path` take turns: the
// temporary name is fixed, so that a leftover is found and reused, and it is locked (flock) while
// its writer lives. Throws Refused when another writer holds it for 10 s.
void write_file_atomic(const std::string& path, std::string_view content, mode_t mode,
                       Durable durable);
// The same for a file that must not exist: false, and nothing is changed, when it does.
[[nodiscard]] bool create_file_atomic(const std::string& path, std::string_view content,
                                      mode_t mode, Durable durable);

// The same for a file that may exist already: it keeps its mode, its owner and group where the
// caller may give them, and its extended attributes. `mode` is for a new one.
void update_file_atomic(const std::string& path, std::string_view content, mode_t mode,
                        Durable durable);

// For a check before any work, and for a dry run: throws std::system_error when a file cannot get
// the name `path`, because its directory does not exist or may not be written, or because `path` is
// a directory.
void require_writable_name(const std::string& path);

// The temporary name that stands beside `name` (one component) while that is being written. It
// depends on `name` alone, and fits into a directory entry (255 bytes) however long `name` is.
std::string temporary_name(std::string_view name);

// Whether `name` (one component) is a leftover that a killed program of the suite may leave.
bool is_temporary_name(std::string_view name);

inline constexpr std::string_view kTemporarySuffix = ".snapfork-tmp";

}  // namespace base
