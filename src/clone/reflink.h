// SPDX-License-Identifier: Apache-2.0
// FICLONE, and the meaning of its errors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cloning {

// Makes `dst` (empty, open for writing) share every block of `src` (open for reading), size
// included. Returns 0, or the errno that shows that these two files cannot share: EXDEV (other
// filesystem), EOPNOTSUPP or ENOTTY (the filesystem cannot), EINVAL (this file cannot: btrfs
// without copy-on-write). That is an answer; the caller then copies.
//
// Every other errno (ENOSPC, EDQUOT, EIO, EPERM, EROFS, ETXTBSY for a swap file) would also stop a
// copy, or the caller must know of it: throws base::Error, exit status 5, with the cause and
// advice. `src_path` and `dst_path` are for messages.
//
// Costs 6 us (btrfs) to 40 us (XFS) per extent, and writes out the source's dirty pages first.
[[nodiscard]] int try_reflink(int src, int dst, std::string_view src_path,
                              std::string_view dst_path);

// Asks whether files of `src`'s filesystem can be reflinked to the location of `dst`, without
// sharing or flushing anything. Returns 0, or the errno of an answer. The result may be 0 for a
// single file that cannot be reflinked.
[[nodiscard]] int ask_reflink(int src, int dst);

// Returns the same answers, but tries the first block only and leaves nothing behind: whether files
// of `src`'s filesystem can be reflinked into the directory `dst_dir`. `src` must not be empty.
[[nodiscard]] int probe_reflink(int src, int dst_dir, std::string_view dst_path);
// Returns the same for two new files of the directory.
[[nodiscard]] int probe_reflink_within(int dir, std::string_view path);

// Throws base::Error, exit status 5, for a file larger than RLIMIT_FSIZE, which cannot be written.
// (The kernel returns EINVAL for FICLONE, as for a file that cannot share, and sends SIGXFSZ for a
// copy.)
void check_file_size_limit(int64_t size, std::string_view dst_path);

// Returns the meaning of such an answer for these two files, as a clause for a message: "ext4
// cannot share blocks", "they are on different filesystems". `dst` may be the directory.
std::string refusal_reason(int error_number, int src, int dst);

// Throws base::Error, exit status 5: "cannot VERB 'SUBJECT': ERRNO TEXT; ADVICE".
[[noreturn]] void throw_with_advice(int error_number, const std::string& what);

}  // namespace cloning
