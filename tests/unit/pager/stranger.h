// SPDX-License-Identifier: Apache-2.0
// A process that connects on behalf of another one, whose memory it does not have.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/unix_listener.h"
#include "base/unix_socket.h"
#include "hot/region.h"
#include "pager/faults/vmm.h"
#include "tests/unit/child_process.h"

namespace pager {

// Addresses that nothing else of this process and of its children gets. A child may map its memory
// there.
class ReservedAddresses {
 public:
  explicit ReservedAddresses(uint64_t bytes)
      : bytes_(bytes),
        at_(::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (at_ == MAP_FAILED) {
      base::throw_errno("cannot reserve addresses");
    }
  }
  ~ReservedAddresses() { ::munmap(at_, bytes_); }
  ReservedAddresses(const ReservedAddresses&) = delete;
  ReservedAddresses(ReservedAddresses&&) = delete;
  ReservedAddresses& operator=(const ReservedAddresses&) = delete;
  ReservedAddresses& operator=(ReservedAddresses&&) = delete;

  void* at() const { return at_; }

 private:
  uint64_t bytes_;
  void* at_;
};

class Stranger {
 public:
  // `without` is what it does not have mapped: memory or ReservedAddresses of this process, because
  // its child unmaps them. A socket is made at `path`.
  Stranger(const std::string& path, const hot::Region& without)
      : listener_(path, base::SocketClaim::directory_is_ours),
        process_([&](const std::function<void()>& ready) {
          const auto socket =
              base::connect_unix(path, base::Deadline::after(std::chrono::minutes(1)));
          // Last, so that nothing of the child is mapped there afterward.
          ::munmap(reinterpret_cast<void*>(without.base), without.size);
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
