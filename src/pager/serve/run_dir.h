// SPDX-License-Identifier: Apache-2.0
// The claimed run directory of a service, and what to do if it is wiped under the server.
#pragma once

#include <list>
#include <vector>

#include "base/fd.h"
#include "base/unix_listener.h"
#include "pager/keep/keeper_link.h"
#include "pager/serve/service_dir.h"

namespace pager {

class RunDir {
 public:
  // Waits a little for servers that end now, because their keeper was killed. Throws base::Refused
  // if another server uses the directory or the control socket; std::system_error.
  static RunDir claim(const ServicePaths& paths);
  // That of the server before. Takes the descriptors out of `things`.
  static RunDir adopt(const ServicePaths& paths, HeldThings& things);

  const base::UnixListener& listener() const { return listeners_.back(); }
  // Of Kept::service, after the state.
  std::vector<int> descriptors() const;

  // Becomes readable when a file is removed from the directory of the sessions or from that of the
  // control socket, or one of them itself. -1: inotify(7) is not available.
  int watch_fd() const { return watch_.get(); }
  void clear_events() const;
  // Whether the paths still are those of this server.
  bool is_intact() const;
  // Makes what is missing again. Earlier listeners stay, for the requests in their queues. Throws
  // base::Refused if another server has taken the paths; std::system_error.
  void restore();

 private:
  explicit RunDir(const ServicePaths& paths) : paths_(paths) {}
  void watch();
  bool has_directory() const;

  ServicePaths paths_;
  base::Fd directory_;  // locked
  std::list<base::UnixListener> listeners_;
  base::Fd watch_;
};

}  // namespace pager
