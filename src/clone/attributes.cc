// SPDX-License-Identifier: Apache-2.0
// Copies owner, mode, extended attributes and times.
#include "clone/attributes.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file_status.h"
#include "base/message.h"

namespace cloning {
namespace {

constexpr const char* kAccessAcl = "system.posix_acl_access";
constexpr const char* kDefaultAcl = "system.posix_acl_default";
// XFS shows the same ACLs to root under this prefix. They follow from the ACL attributes above, and
// other filesystems cannot use them.
constexpr std::string_view kXfsAclPrefix = "trusted.SGI_ACL_";
constexpr mode_t kModeBits = 07777;

// flistxattr(2) and similar calls return the needed size for a size of 0; the size may have grown
// by the next call. Returns nothing, and errno, if the filesystem has no attributes (EOPNOTSUPP) or
// the attribute does not exist (ENODATA): an empty value is a different answer.
template <typename Call>
std::optional<std::vector<char>> grow_and_call(Call call, const std::string& what) {
  std::vector<char> buffer(256);  // holds a SELinux label or a small ACL
  for (;;) {
    const ssize_t size = call(buffer.data(), buffer.size());
    if (size >= 0) {
      buffer.resize(static_cast<size_t>(size));
      return buffer;
    }
    if (errno == EOPNOTSUPP || errno == ENODATA) {
      return std::nullopt;
    }
    if (errno != ERANGE) {
      base::throw_errno(what);
    }
    const ssize_t needed = call(nullptr, 0);
    buffer.resize(needed > 0 ? static_cast<size_t>(needed) + buffer.size() : 2 * buffer.size());
  }
}

// These calls have no descriptor form for a symlink, so the path in /proc is used.
std::string proc_name(int dir, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(dir) + "/" + name;
}

}  // namespace

AttributeCopier::AttributeCopier() : is_root_(::geteuid() == 0) {}

void AttributeCopier::lose(const std::string& attribute, const std::string& dst_path) {
  const std::scoped_lock lock(mutex_);
  if (lost_++ == 0) {
    first_lost_ = attribute + " of " + base::quoted(dst_path);
  }
}

void AttributeCopier::note_flags(int src, const std::string& dst_path) {
  struct statx flags {};
  if (::statx(src, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &flags) == 0 &&
      (flags.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0) {
    const std::scoped_lock lock(mutex_);
    if (flagged_++ == 0) {
      first_flagged_ = base::quoted(dst_path);
    }
  }
}

void AttributeCopier::warn() const {
  if (lost_ > 0) {
    base::say_warning("the destination does not support all attributes: " + std::to_string(lost_) +
                      " not copied, the first is " + first_lost_);
  }
  if (flagged_ > 0) {
    base::say_warning(
        "immutable and append-only flags are not cloned: " + std::to_string(flagged_) +
        " not set, the first is that of " + first_flagged_);
  }
}

template <typename List, typename Get, typename Set>
bool AttributeCopier::copy_xattrs(List list, Get get, Set set, const std::string& dst_path) {
  const std::string what = "cannot read the extended attributes for " + base::quoted(dst_path);
  const std::vector<char> names = grow_and_call(list, what).value_or(std::vector<char>{});
  bool set_any = false;
  for (size_t at = 0; at < names.size();) {
    const char* name = names.data() + at;
    at += std::strlen(name) + 1;
    if (std::string_view(name).starts_with(kXfsAclPrefix)) {
      continue;
    }
    const std::optional<std::vector<char>> value =
        grow_and_call([&](char* to, size_t size) { return get(name, to, size); }, what);
    if (!value) {
      if (errno == EOPNOTSUPP) {
        lose(name, dst_path);
      }
      continue;  // ENODATA: removed since it was listed
    }
    if (set(name, value->data(), value->size()) == 0) {
      set_any = true;
      continue;
    }
    if (errno != EOPNOTSUPP && errno != EPERM) {
      base::throw_errno("cannot set the attribute " + std::string(name) + " of " +
                        base::quoted(dst_path));
    }
    lose(name, dst_path);
  }
  return set_any;
}

void AttributeCopier::apply(int src, const struct stat& st, int dst, const std::string& dst_path,
                            mode_t also_mode) {
  note_flags(src, dst_path);
  struct stat now = base::stat_fd(dst, dst_path);
  mode_t mode = (st.st_mode | also_mode) & kModeBits;
  bool mode_touched = false;
  if (now.st_uid != st.st_uid || now.st_gid != st.st_gid) {
    if (is_root_) {
      if (::fchown(dst, st.st_uid, st.st_gid) != 0) {
        base::throw_errno("cannot change the owner of " + base::quoted(dst_path));
      }
      mode_touched = true;  // chown clears the set-id bits
    } else {
      // Without privilege, a user may give a file only to one of their own groups, and not to
      // another user. A set-id bit would then lend that user's rights to others.
      if (::fchown(dst, static_cast<uid_t>(-1), st.st_gid) == 0) {
        now.st_gid = st.st_gid;
      }
      mode &= ~static_cast<mode_t>((now.st_uid != st.st_uid ? S_ISUID : 0) |
                                   (now.st_gid != st.st_gid ? S_ISGID : 0));
    }
  }
  mode_touched |= copy_xattrs(
      [&](char* to, size_t size) { return ::flistxattr(src, to, size); },
      [&](const char* name, char* to, size_t size) { return ::fgetxattr(src, name, to, size); },
      [&](const char* name, const char* value, size_t size) {
        return ::fsetxattr(dst, name, value, size, 0);
      },
      dst_path);
  if ((mode_touched || (now.st_mode & kModeBits) != mode) && ::fchmod(dst, mode) != 0) {
    base::throw_errno("cannot change the mode of " + base::quoted(dst_path));
  }
  const std::array<struct timespec, 2> times{st.st_atim, st.st_mtim};
  if (::futimens(dst, times.data()) != 0) {
    base::throw_errno("cannot set the times of " + base::quoted(dst_path));
  }
}

void AttributeCopier::apply_symlink(int src_dir, const struct stat& st, int dst_dir,
                                    const std::string& name, const std::string& dst_path) {
  if (is_root_ &&
      ::fchownat(dst_dir, name.c_str(), st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    base::throw_errno("cannot change the owner of " + base::quoted(dst_path));
  }
  const std::string src_name = proc_name(src_dir, name);
  const std::string dst_name = proc_name(dst_dir, name);
  copy_xattrs([&](char* to, size_t size) { return ::llistxattr(src_name.c_str(), to, size); },
              [&](const char* attribute, char* to, size_t size) {
                return ::lgetxattr(src_name.c_str(), attribute, to, size);
              },
              [&](const char* attribute, const char* value, size_t size) {
                return ::lsetxattr(dst_name.c_str(), attribute, value, size, 0);
              },
              dst_path);
  const std::array<struct timespec, 2> times{st.st_atim, st.st_mtim};
  if (::utimensat(dst_dir, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    base::throw_errno("cannot set the times of " + base::quoted(dst_path));
  }
}

void remove_inherited_acls(int fd, const std::string& path) {
  for (const char* acl : {kAccessAcl, kDefaultAcl}) {
    // fgetxattr is cheaper: the removal of an absent attribute is still a transaction of the
    // filesystem.
    if (::fgetxattr(fd, acl, nullptr, 0) >= 0 && ::fremovexattr(fd, acl) != 0 && errno != ENODATA) {
      base::throw_errno("cannot remove the inherited ACL of " + base::quoted(path));
    }
  }
}

}  // namespace cloning
