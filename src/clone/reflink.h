// SPDX-License-Identifier: Apache-2.0
// FICLONE, and what each of its refusals means.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cloning {

// Makes `dst` (empty, open for writing) share every block of `src` (open for reading), size
// included. Returns 0 when it does, or the errno that says that these two files cannot share: EXDEV
// (other filesystem), EOPNOTSUPP or ENOTTY (this one cannot), EINVAL (this file cannot: btrfs
// without copy-on-write). That is an answer; a copy is what comes next.
//
// Every other errno (ENOSPC, EDQUOT, EIO, EPERM, EROFS, ETXTBSY for a swap file) would meet a copy
// as well, or hide something that the caller must know: throws base::Error, exit status 5, with the
// cause and what to do. `src_path` and `dst_path` are for messages.
//
// Costs 6 us (btrfs) to 40 us (XFS) an extent, and writes out the source's dirty pages first.
[[nodiscard]] int try_reflink(int src, int dst, std::string_view src_path,
                              std::string_view dst_path);

// Whether files of `src`'s filesystem can be reflinked to where `dst` is, without sharing or
// flushing anything: 0, or the errno of an answer. It may be 0 for a single file that cannot.
[[nodiscard]] int ask_reflink(int src, int dst);

// The same answers for a first block only, and without leaving anything: tells whether files of
// `src`'s filesystem can be reflinked into the directory `dst_dir`. `src` must not be empty.
[[nodiscard]] int probe_reflink(int src, int dst_dir, std::string_view dst_path);
// Whether two new files of the directory can share blocks.
[[nodiscard]] int probe_reflink_within(int dir, std::string_view path);

// A file larger than RLIMIT_FSIZE cannot be written: throws base::Error, exit status 5. (The kernel
// says EINVAL to FICLONE, as for a file that cannot share, and SIGXFSZ to a copy.)
void check_file_size_limit(int64_t size, std::string_view dst_path);

// What an answer of the functions above means for these two files, as a clause for a message: "ext4
// cannot share blocks", "they are on different filesystems". `dst` may be the directory.
std::string refusal_reason(int error_number, int src, int dst);

// Throws base::Error, exit status 5: "cannot VERB 'SUBJECT': <errno's text>; <what to do>".
[[noreturn]] void throw_with_advice(int error_number, const std::string& what);

}  // namespace cloning
