// SPDX-License-Identifier: Apache-2.0
// Opens files beneath the guest's directory, and checks their kind and their links.
#include "fc/jail_files.h"

#include <fcntl.h>

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/file_status.h"
#include "file/open_beneath.h"

namespace fc {
namespace {

void check_path(const std::string& path) {
  const bool is_plain = std::ranges::none_of(
      path, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
  const std::string all = path + "/";
  if (!path.starts_with('/') || !is_plain || all.find("/../") != std::string::npos ||
      all.find("/./") != std::string::npos || all.find("//") != std::string::npos) {
    throw base::UsageError("bad path " + base::quoted(path) +
                           " for a jail: it must be absolute, without '.', '..', empty components "
                           "and control characters");
  }
}

OpenJailFile open_given(const OpenJailFiles& open, const JailRequest& request,
                        const std::string& path) {
  const std::string what = "cannot give " + base::quoted(path) + " to a jail: ";
  if (!path.starts_with(request.base + "/")) {
    throw base::Refused(what + "it is not below " + base::quoted(request.base));
  }
  OpenJailFile file{.fd = file::open_beneath(open.base.get(), path.substr(request.base.size() + 1),
                                             O_PATH | O_NOFOLLOW, request.base)};
  file.status = base::stat_fd(file.fd.get(), path);
  if (!S_ISREG(file.status.st_mode)) {
    throw base::Refused(what + "it is not a regular file");
  }
  if (file.status.st_nlink != 1) {
    throw base::Refused(what + "it has " + std::to_string(file.status.st_nlink) +
                        " links, so it is not the guest's alone; memory of a template is served "
                        "by the page server (--backend uffd)");
  }
  return file;
}

OpenJailFile open_shown(const std::string& path) {
  OpenJailFile file{.fd = base::open_file(path, O_PATH)};
  file.status = base::stat_fd(file.fd.get(), path);
  if (S_ISDIR(file.status.st_mode)) {
    throw base::Refused("cannot show " + base::quoted(path) + " in a jail: it is a directory");
  }
  return file;
}

}  // namespace

OpenJailFiles open_jail_files(const JailRequest& request) {
  check_path(request.base);
  check_path(request.shared);
  OpenJailFiles open;
  open.base = base::open_file(request.base, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  for (const JailFile& file : request.files) {
    check_path(file.path);
    open.files.push_back(file.access == JailFile::Access::show
                             ? open_shown(file.path)
                             : open_given(open, request, file.path));
  }
  return open;
}

}  // namespace fc
