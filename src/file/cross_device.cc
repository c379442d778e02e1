// SPDX-License-Identifier: Apache-2.0
// Distinguishes the causes of EXDEV; names filesystem types.
#include "file/cross_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <array>
#include <optional>

#include "base/fd.h"

namespace file {
namespace {

// linux/magic.h lacks this number. Source: fs/bcachefs.
constexpr unsigned kBcachefs = 0xca451a4e;
constexpr unsigned kZfs = 0x2fc12fc1;

unsigned filesystem_magic(int fd) {
  struct statfs fs {};
  return ::fstatfs(fd, &fs) == 0 ? static_cast<unsigned>(fs.f_type) : 0;
}

struct statx identity_of(int fd) {
  struct statx stx {};
  static_cast<void>(
      ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO | STATX_MNT_ID, &stx));
  return stx;
}

bool is_same_device(const struct statx& a, const struct statx& b) {
  return a.stx_dev_major == b.stx_dev_major && a.stx_dev_minor == b.stx_dev_minor;
}

bool knows_mounts(const struct statx& a, const struct statx& b) {
  return (a.stx_mask & b.stx_mask & STATX_MNT_ID) != 0;  // Linux 5.8
}

// Returns the quota project of a file or directory (XFS and ext4 have them).
std::optional<unsigned> project_of(int fd) {
  struct fsxattr attributes {};
  return ::ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0 ? std::optional(attributes.fsx_projid)
                                                          : std::nullopt;
}

}  // namespace

std::string cross_device_reason(int from, int to) {
  const struct statx a = identity_of(from);
  const struct statx b = identity_of(to);
  const bool is_one = knows_mounts(a, b) && a.stx_mnt_id == b.stx_mnt_id;
  if (!is_same_device(a, b)) {
    const bool both_btrfs =
        filesystem_magic(from) == BTRFS_SUPER_MAGIC && filesystem_magic(to) == BTRFS_SUPER_MAGIC;
    return is_one       ? "they are in different subvolumes"
           : both_btrfs ? "they are in different btrfs filesystems or subvolumes"
                        : "they are on different filesystems";
  }
  if (knows_mounts(a, b) && !is_one) {
    return "they are on one filesystem, but under different mount points";
  }
  if (project_of(from) != project_of(to)) {
    return "they are in different quota projects (lsattr -p)";
  }
  if (filesystem_magic(to) == OVERLAYFS_SUPER_MAGIC) {
    return "overlayfs cannot do this across its layers";
  }
  return "they are on different filesystems, mount points or subvolumes";
}

std::string cross_device_reason(const std::string& from, const std::string& to) {
  const auto open_any = [](const std::string& path) {
    base::Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    return fd ? std::move(fd) : base::Fd(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  };
  const base::Fd first = open_any(from);
  const base::Fd second = open_any(to);
  return cross_device_reason(first.get(), second.get());
}

bool is_one_mount(int a, int b) {
  const struct statx first = identity_of(a);
  const struct statx second = identity_of(b);
  return is_same_device(first, second) &&
         (!knows_mounts(first, second) || first.stx_mnt_id == second.stx_mnt_id);
}

std::string filesystem_name(int fd) {
  struct Name {
    unsigned magic;
    const char* name;
  };
  constexpr std::array<Name, 16> kNames{{{EXT4_SUPER_MAGIC, "ext4"},
                                         {XFS_SUPER_MAGIC, "xfs"},
                                         {BTRFS_SUPER_MAGIC, "btrfs"},
                                         {TMPFS_MAGIC, "tmpfs"},
                                         {OVERLAYFS_SUPER_MAGIC, "overlay"},
                                         {F2FS_SUPER_MAGIC, "f2fs"},
                                         {kBcachefs, "bcachefs"},
                                         {kZfs, "zfs"},
                                         {NFS_SUPER_MAGIC, "nfs"},
                                         {SMB2_SUPER_MAGIC, "cifs"},
                                         {FUSE_SUPER_MAGIC, "fuse"},
                                         {V9FS_MAGIC, "9p"},
                                         {CEPH_SUPER_MAGIC, "ceph"},
                                         {MSDOS_SUPER_MAGIC, "vfat"},
                                         {EXFAT_SUPER_MAGIC, "exfat"},
                                         {RAMFS_MAGIC, "ramfs"}}};
  const unsigned magic = filesystem_magic(fd);
  for (const Name& name : kNames) {
    if (name.magic == magic) {
      return name.name;
    }
  }
  return "this filesystem";
}

}  // namespace file
