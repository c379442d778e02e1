// SPDX-License-Identifier: Apache-2.0
// Queries statx(2), libmount and libblkid.
#include "clone/filesystem.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <memory>

#include "base/error.h"

namespace cloning {
namespace {

struct Deleter {
  void operator()(libmnt_table* table) const { mnt_unref_table(table); }
  void operator()(libmnt_iter* iterator) const { mnt_free_iter(iterator); }
  void operator()(blkid_struct_probe* probe) const { blkid_free_probe(probe); }
};

std::string text_or_empty(const char* text) {
  return text != nullptr ? text : "";
}

// The mount is found by its id, not by comparing paths, so bind mounts and stacked mounts give the
// right result.
void read_mount(uint64_t mount_id, const std::string& path, FilesystemInfo& info) {
  const std::unique_ptr<libmnt_table, Deleter> table(
      mnt_new_table_from_file("/proc/self/mountinfo"));
  const std::unique_ptr<libmnt_iter, Deleter> iterator(mnt_new_iter(MNT_ITER_BACKWARD));
  if (table == nullptr || iterator == nullptr) {
    throw base::Unsupported("cannot read /proc/self/mountinfo");
  }
  libmnt_fs* fs = nullptr;
  while (mnt_table_next_fs(table.get(), iterator.get(), &fs) == 0) {
    if (static_cast<uint64_t>(mnt_fs_get_id(fs)) == mount_id) {
      info.type = text_or_empty(mnt_fs_get_fstype(fs));
      info.mount_point = text_or_empty(mnt_fs_get_target(fs));
      info.source = text_or_empty(mnt_fs_get_source(fs));
      info.options = text_or_empty(mnt_fs_get_fs_options(fs));
      return;
    }
  }
  throw base::Unsupported("cannot find the mount of " + base::quoted(path) +
                          " in /proc/self/mountinfo");
}

void read_device(FilesystemInfo& info) {
  struct stat st {};
  if (::stat(info.source.c_str(), &st) != 0 || !S_ISBLK(st.st_mode)) {
    return;
  }
  const std::unique_ptr<blkid_struct_probe, Deleter> probe(
      blkid_new_probe_from_filename(info.source.c_str()));
  if (probe == nullptr || blkid_do_safeprobe(probe.get()) != 0) {
    return;
  }
  const auto value_of = [&](const char* tag) -> std::optional<std::string> {
    const char* value = nullptr;
    if (blkid_probe_lookup_value(probe.get(), tag, &value, nullptr) != 0 || value == nullptr) {
      return std::nullopt;
    }
    return value;
  };
  info.uuid = value_of("UUID");
  info.label = value_of("LABEL");
}

}  // namespace

FilesystemInfo filesystem_of(const std::string& path) {
  struct statx stx {};
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) != 0) {
    base::throw_errno("cannot look up " + base::quoted(path));
  }
  if ((stx.stx_mask & STATX_MNT_ID) == 0) {
    throw base::Unsupported("cannot find the mount of " + base::quoted(path) +
                            ": Linux 5.8 is needed");
  }
  struct statvfs space {};
  if (::statvfs(path.c_str(), &space) != 0) {
    base::throw_errno("cannot look up the free space of " + base::quoted(path));
  }
  FilesystemInfo info;
  info.free_bytes = static_cast<int64_t>(space.f_bavail * space.f_frsize);
  read_mount(stx.stx_mnt_id, path, info);
  read_device(info);
  return info;
}

}  // namespace cloning
