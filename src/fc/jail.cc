// SPDX-License-Identifier: Apache-2.0
// Prepares a jail, and mounts it in the child.
#include "fc/jail.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/error.h"
#include "base/unix_socket.h"
#include "fc/firecracker_id.h"
#include "fc/jail_files.h"
#include "file/directory.h"
#include "file/remove_tree.h"
#include "store/jail_undo.h"

namespace fc {
namespace {

constexpr mode_t kOwnerOnly = 0700;
constexpr mode_t kForAll = 0755;
constexpr mode_t kFileMask = 022;
constexpr mode_t kOwnerMask = 077;
// For the jailer's directories, devices and pid file, and for files of a VMM that left its seccomp
// filter: they must not fill the memory of the host.
constexpr size_t kMoreBytes = size_t{16} << 20U;
constexpr unsigned kMostFiles = 1024;

std::string parent_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}
std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string path_of(const base::Fd& fd) {
  return "/proc/self/fd/" + std::to_string(fd.get());
}

// Mounts what `fd` is at `target`, which exists.
void mount_at(const base::Fd& fd, const std::string& target, unsigned long flags) {
  if (::mount(path_of(fd).c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
      ::mount(nullptr, target.c_str(), nullptr,
              MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NOEXEC | flags, nullptr) != 0) {
    base::throw_errno("cannot mount " + base::quoted(target) + " for a jail");
  }
}

void bind_directory(const base::Fd& fd, const std::string& target) {
  file::make_directories(target, kForAll);
  mount_at(fd, target, MS_NODEV);
}

void bind_file(const base::Fd& fd, const std::string& target, JailFile::Access access) {
  constexpr mode_t kMode = 0600;
  file::make_directories(parent_of(target), kForAll);
  base::open_file(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kMode);
  switch (access) {
    case JailFile::Access::write:
      return mount_at(fd, target, MS_NODEV);
    case JailFile::Access::read:
      return mount_at(fd, target, MS_NODEV | MS_RDONLY);
    case JailFile::Access::show:
      return mount_at(fd, target, MS_RDONLY);  // a shared drive may be a block device
  }
}

void require_same(const base::FileId& before, const base::Fd& fd, const std::string& path) {
  if (base::file_id(base::stat_fd(fd.get(), path)) != before) {
    throw base::Refused("cannot use " + base::quoted(path) +
                        " in a jail: it was replaced during the start");
  }
}

base::Fd open_directory(const std::string& path) {
  return base::open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

}  // namespace

std::string jail_socket(const std::string& vmm_directory, const std::string& name) {
  std::string path = vmm_directory + "/" + kSharedLink + "/" + name;
  base::check_socket_path(path);
  return path;
}

Jail::Jail(const VmmRequest& request, const VmmDirectory& directory) : request_(*request.jail) {
  check_jail(request_);
  const std::string program = resolved_program(request.program);
  const std::string id = firecracker_id(request.id);
  root_ = request_.base + "/" + name_of(program) + "/" + id + "/root";
  tmpfs_bytes_ = static_cast<size_t>(base::stat_path(program).st_size) + kMoreBytes;
  vsock_directory_ = request.vsock ? parent_of(*request.vsock) : "";

  const OpenJailFiles open = open_jail_files(request_);
  base_ = base::file_id(base::stat_fd(open.base.get(), request_.base));
  store::JailUndo undo;
  for (const std::string& cgroup : new_cgroups(request_.arguments, name_of(program), id)) {
    undo.cgroup(cgroup);
  }
  for (size_t i = 0; i < open.files.size(); ++i) {
    const struct stat& st = open.files[i].status;
    files_.push_back(base::file_id(st));
    if (request_.files[i].access != JailFile::Access::show && st.st_uid != request_.uid) {
      undo.owner(request_.files[i].path, st.st_uid, st.st_gid, request_.uid);
    }
  }
  undo.tree(request_.shared);
  undo.write(directory.fd()->get());

  make_shared_directory();
  if (::symlinkat(request_.shared.c_str(), directory.fd()->get(), kSharedLink) != 0) {
    base::throw_errno("cannot create " + base::quoted(directory.file(kSharedLink)));
  }
  for (size_t i = 0; i < open.files.size(); ++i) {
    if (request_.files[i].access != JailFile::Access::show &&
        ::fchownat(open.files[i].fd.get(), "", request_.uid, request_.gid, AT_EMPTY_PATH) != 0) {
      base::throw_errno("cannot give " + base::quoted(request_.files[i].path) + " to user " +
                        std::to_string(request_.uid));
    }
  }
}

// A leftover, or a link that another program made at the path, is removed and not followed.
void Jail::make_shared_directory() {
  const std::string& path = request_.shared;
  const base::Fd parent = open_directory(parent_of(path));
  const std::string name = name_of(path);
  const auto lock = [&](const base::Fd& fd) {
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      throw base::Refused("cannot use " + base::quoted(path) + ": another process uses it");
    }
  };
  if (const base::Fd old(
          ::openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      old) {
    lock(old);
  }
  file::remove_tree(parent.get(), name, path);
  if (::mkdirat(parent.get(), name.c_str(), kOwnerOnly) != 0) {
    base::throw_errno("cannot create " + base::quoted(path));
  }
  shared_ = base::open_at(parent.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  lock(shared_);
  if (::fchown(shared_.get(), request_.uid, request_.gid) != 0) {
    base::throw_errno("cannot give " + base::quoted(path) + " to user " +
                      std::to_string(request_.uid));
  }
}

void Jail::enter() const {
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0) {
    base::throw_errno("cannot create a mount namespace for a jail");
  }
  // Only descriptors of this namespace can be mounted in it.
  const OpenJailFiles open = open_jail_files(request_);
  require_same(base_, open.base, request_.base);
  for (size_t i = 0; i < files_.size(); ++i) {
    require_same(files_[i], open.files[i].fd, request_.files[i].path);
  }
  const base::Fd shared = open_directory(request_.shared);
  require_same(base::file_id(base::stat_fd(shared_.get(), request_.shared)), shared,
               request_.shared);
  ::umask(kFileMask);
  const std::string settings =
      "mode=0755,size=" + std::to_string(tmpfs_bytes_) + ",nr_inodes=" + std::to_string(kMostFiles);
  if (::mount("snapfork-jail", path_of(open.base).c_str(), "tmpfs", MS_NOSUID, settings.c_str()) !=
      0) {
    base::throw_errno("cannot mount a tmpfs for a jail");
  }
  file::make_directories(root_, kForAll);
  bind_directory(shared, root_ + kInsideShared);
  if (!vsock_directory_.empty()) {
    bind_directory(shared, root_ + vsock_directory_);
  }
  for (size_t i = 0; i < files_.size(); ++i) {
    bind_file(open.files[i].fd, root_ + request_.files[i].path, request_.files[i].access);
  }
  ::umask(kOwnerMask);
}

}  // namespace fc
