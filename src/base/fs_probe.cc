#include "base/fs_probe.h"

#include <blkid/blkid.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <memory>

#include "base/error.h"

namespace base {
namespace {

// A library that stays loaded. Its functions are named twice, as a type for the compiler, which
// checks our calls against the library's own header, and as a string for the loader.
class Library {
 public:
  explicit Library(const char* name)
      : name_(name), handle_(::dlopen(name, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE)) {
    if (handle_ == nullptr) {
      throw Unsupported("cannot load " + name_ + ": " + ::dlerror());
    }
  }
  template <typename Function>
  Function* get(const char* function) const {
    void* address = ::dlsym(handle_, function);
    if (address == nullptr) {
      throw Unsupported("cannot use " + name_ + ": it lacks " + function);
    }
    return reinterpret_cast<Function*>(address);
  }

 private:
  std::string name_;
  void* handle_;
};

std::string text_or_empty(const char* text) {
  return text != nullptr ? text : "";
}

// The mount is found by its number, not by comparing paths: bind mounts and mounts on top of each
// other cannot deceive it.
void read_mount(uint64_t mount_id, const std::string& path, FilesystemInfo& info) {
  const Library libmount("libmount.so.1");
  const auto next_fs = libmount.get<decltype(mnt_table_next_fs)>("mnt_table_next_fs");
  const auto get_id = libmount.get<decltype(mnt_fs_get_id)>("mnt_fs_get_id");
  const std::unique_ptr<libmnt_table, decltype(mnt_unref_table)*> table(
      libmount.get<decltype(mnt_new_table_from_file)>("mnt_new_table_from_file")(
          "/proc/self/mountinfo"),
      libmount.get<decltype(mnt_unref_table)>("mnt_unref_table"));
  const std::unique_ptr<libmnt_iter, decltype(mnt_free_iter)*> iterator(
      libmount.get<decltype(mnt_new_iter)>("mnt_new_iter")(MNT_ITER_BACKWARD),
      libmount.get<decltype(mnt_free_iter)>("mnt_free_iter"));
  if (table == nullptr || iterator == nullptr) {
    throw Unsupported("cannot read /proc/self/mountinfo");
  }
  libmnt_fs* fs = nullptr;
  while (next_fs(table.get(), iterator.get(), &fs) == 0) {
    if (static_cast<uint64_t>(get_id(fs)) == mount_id) {
      info.type = text_or_empty(libmount.get<decltype(mnt_fs_get_fstype)>("mnt_fs_get_fstype")(fs));
      info.mount_point =
          text_or_empty(libmount.get<decltype(mnt_fs_get_target)>("mnt_fs_get_target")(fs));
      info.source =
          text_or_empty(libmount.get<decltype(mnt_fs_get_source)>("mnt_fs_get_source")(fs));
      info.options =
          text_or_empty(libmount.get<decltype(mnt_fs_get_fs_options)>("mnt_fs_get_fs_options")(fs));
      return;
    }
  }
  throw Unsupported("cannot find the mount of " + base::quoted(path) + " in /proc/self/mountinfo");
}

void read_device(FilesystemInfo& info) {
  struct stat st {};
  if (::stat(info.source.c_str(), &st) != 0 || !S_ISBLK(st.st_mode)) {
    return;
  }
  const Library libblkid("libblkid.so.1");
  const std::unique_ptr<blkid_struct_probe, decltype(blkid_free_probe)*> probe(
      libblkid.get<decltype(blkid_new_probe_from_filename)>("blkid_new_probe_from_filename")(
          info.source.c_str()),
      libblkid.get<decltype(blkid_free_probe)>("blkid_free_probe"));
  if (probe == nullptr ||
      libblkid.get<decltype(blkid_do_safeprobe)>("blkid_do_safeprobe")(probe.get()) != 0) {
    return;
  }
  const auto lookup = libblkid.get<decltype(blkid_probe_lookup_value)>("blkid_probe_lookup_value");
  const auto value_of = [&](const char* tag) -> std::optional<std::string> {
    const char* value = nullptr;
    if (lookup(probe.get(), tag, &value, nullptr) != 0 || value == nullptr) {
      return std::nullopt;
    }
    return value;
  };
  info.uuid = value_of("UUID");
  info.label = value_of("LABEL");
}

}  // namespace

FilesystemInfo probe_filesystem(const std::string& path) {
  struct statx stx {};
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) != 0) {
    throw_errno("cannot look up " + base::quoted(path));
  }
  if ((stx.stx_mask & STATX_MNT_ID) == 0) {
    throw Unsupported("cannot find the mount of " + base::quoted(path) + ": Linux 5.8 is needed");
  }
  struct statvfs space {};
  if (::statvfs(path.c_str(), &space) != 0) {
    throw_errno("cannot look up the free space of " + base::quoted(path));
  }
  FilesystemInfo info;
  info.free_bytes = static_cast<int64_t>(space.f_bavail * space.f_frsize);
  read_mount(stx.stx_mnt_id, path, info);
  read_device(info);
  return info;
}

}  // namespace base
