#include "base/atomic_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <cstdio>

#include "base/error.h"
#include "base/fd.h"

namespace base {

void write_file_atomic(const std::string& path, std::string_view content, mode_t mode,
                       Durable durable) {
  const size_t slash = path.find_last_of('/');
  const size_t name_at = slash == std::string::npos ? 0 : slash + 1;
  const std::string temporary =
      path.substr(0, name_at) + temporary_name(std::string_view(path).substr(name_at));
  // A leftover may have other links or another owner: take it away rather than write into it.
  if (::unlink(temporary.c_str()) != 0 && errno != ENOENT) {
    throw_errno("cannot remove " + base::quoted(temporary));
  }
  Fd fd = open_file(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  try {
    write_full(fd.get(), content, temporary);
    if (::fchmod(fd.get(), mode) != 0) {  // the umask does not matter
      throw_errno("cannot change the mode of " + base::quoted(temporary));
    }
    if (durable == Durable::yes) {
      sync_fd(fd.get(), temporary);
    }
    fd.close_checked(temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      throw_errno("cannot replace " + base::quoted(path));
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  if (durable == Durable::yes) {
    sync_parent_dir(path);
  }
}

std::string temporary_name(std::string_view name) {
  const size_t room = NAME_MAX - 1 - kTemporarySuffix.size();
  std::string middle(name);
  if (name.size() > room) {
    // Its beginning, for a person to recognise, and FNV-1a of all of it, to tell two such names
    // apart.
    uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : name) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    }
    constexpr int kHexDigits = 16;
    middle.resize(room - kHexDigits);
    for (int digit = 0; digit < kHexDigits; ++digit, hash <<= 4) {
      middle += "0123456789abcdef"[hash >> 60];
    }
  }
  return "." + middle + std::string(kTemporarySuffix);
}

bool is_temporary_name(std::string_view name) {
  return name.starts_with('.') && name.ends_with(kTemporarySuffix);
}

}  // namespace base
