// SPDX-License-Identifier: Apache-2.0
// Renames and copies by descriptors: the VMM can change all names in the directory at any time.
#include "fc/jail_exchange.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "fc/jail_request.h"

namespace fc {
namespace {

constexpr mode_t kOwnerOnly = 0600;

std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

struct Exchange {
  base::Fd shared;
  struct stat owner {};  // of that directory: the user of the jail
  base::Fd outside;      // the directory of the file on the host
  std::string name;
};

Exchange open_exchange(const std::string& vmm_directory, const std::string& path) {
  const std::string link = vmm_directory + "/" + kSharedLink;
  if (!base::try_lstat_path(link)) {
    throw base::Refused("cannot use " + base::quoted(vmm_directory) + ": its VMM is not in a jail");
  }
  Exchange exchange{.shared = base::open_file(link, O_RDONLY | O_DIRECTORY),
                    .outside = base::open_file(path.substr(0, path.rfind('/')),
                                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW),
                    .name = name_of(path)};
  exchange.owner = base::stat_fd(exchange.shared.get(), link);
  return exchange;
}

base::Fd open_file_in(int directory, const std::string& name, const std::string& shown) {
  base::Fd file = base::open_at(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const struct stat st = base::stat_fd(file.get(), shown);
  if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
    throw base::Refused("cannot use " + base::quoted(shown) +
                        ": it is not a regular file with one name");
  }
  return file;
}

// A file that the VMM wrote.
base::Fd open_written(int directory, const Exchange& exchange, const std::string& shown) {
  base::Fd file = open_file_in(directory, exchange.name, shown);
  if (base::stat_fd(file.get(), shown).st_uid != exchange.owner.st_uid) {
    throw base::Refused("cannot use " + base::quoted(shown) + ": it does not belong to user " +
                        std::to_string(exchange.owner.st_uid));
  }
  return file;
}

void give(const base::Fd& file, uid_t uid, gid_t gid, const std::string& shown) {
  if (::fchown(file.get(), uid, gid) != 0 || ::fchmod(file.get(), kOwnerOnly) != 0) {
    base::throw_errno("cannot give " + base::quoted(shown) + " to user " + std::to_string(uid));
  }
}

void rename_new(int from, int to, const std::string& name, const std::string& shown) {
  if (::renameat2(from, name.c_str(), to, name.c_str(), RENAME_NOREPLACE) != 0) {
    base::throw_errno("cannot move " + base::quoted(shown));
  }
}

}  // namespace

void move_into_jail(const std::string& vmm_directory, const std::string& path) {
  const Exchange exchange = open_exchange(vmm_directory, path);
  const base::Fd file = open_file_in(exchange.outside.get(), exchange.name, path);
  rename_new(exchange.outside.get(), exchange.shared.get(), exchange.name, path);
  give(file, exchange.owner.st_uid, exchange.owner.st_gid, path);
}

void move_from_jail(const std::string& vmm_directory, const std::string& path) {
  const Exchange exchange = open_exchange(vmm_directory, path);
  rename_new(exchange.shared.get(), exchange.outside.get(), exchange.name, path);
  try {
    const base::Fd file = open_written(exchange.outside.get(), exchange, path);
    give(file, ::geteuid(), ::getegid(), path);
  } catch (const std::exception&) {
    ::unlinkat(exchange.outside.get(), exchange.name.c_str(), 0);
    throw;
  }
}

void copy_from_jail(const std::string& vmm_directory, const std::string& path) {
  constexpr size_t kMost = size_t{64} << 20U;
  const Exchange exchange = open_exchange(vmm_directory, path);
  const base::Fd file = open_written(exchange.shared.get(), exchange, path);
  const std::string bytes = base::read_regular(file.get(), kMost, path);
  const base::Fd copy = base::open_at(exchange.outside.get(), exchange.name,
                                      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kOwnerOnly);
  base::write_full(copy.get(), bytes, path);
  ::unlinkat(exchange.shared.get(), exchange.name.c_str(), 0);
}

}  // namespace fc
