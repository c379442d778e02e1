// SPDX-License-Identifier: Apache-2.0
// The name of a guest's session at the page server.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace store {

// Returns "ID@HHHHHHHH": the id, and eight hexadecimal digits that stand for the device and inode
// of the guest's directory. Two stores may share a page server: their guests with the same id have
// different session names. A rename of the directory does not change the name, so a fork has its
// session name before it is published. The digits are an FNV-1a hash; on a collision the server
// refuses the second image.
std::string session_name(std::string_view id, const struct stat& guest_dir);
// The same for the directory at `path`, which must not be a symbolic link. Throws
// std::system_error.
std::string session_name(std::string_view id, const std::string& path);

// The number of bytes that a session name adds to the id.
inline constexpr size_t kSessionSuffixBytes = 9;

}  // namespace store
