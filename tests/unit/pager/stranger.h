// SPDX-License-Identifier: Apache-2.0
// A process that connects on behalf of another one, whose memory it does not have.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "hot/region.h"
#include "pager/faults/vmm.h"
#include "tests/unit/child_process.h"

namespace pager {

class Stranger {
 public:
  // `without` is what it does not have mapped. A socket is made at `path`.
  Stranger(const std::string& path, const hot::Region& without)
      : listener_(path, base::SocketClaim::directory_is_ours),
        process_([&](const std::function<void()>& ready) {
          ::munmap(reinterpret_cast<void*>(without.base), without.size);
          const auto socket =
              base::connect_unix(path, base::Deadline::after(std::chrono::minutes(1)));
          ready();
          ::pause();
        }) {
    process_.wait_ready();
    socket_ = listener_.accept();
  }

  int socket() const { return socket_->get(); }
  Vmm as_vmm() const { return Vmm::of_peer(socket_->get()); }

 private:
  base::UnixListener listener_;
  ChildProcess process_;
  std::optional<base::Fd> socket_;
};

}  // namespace pager
