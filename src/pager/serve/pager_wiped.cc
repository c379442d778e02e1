// SPDX-License-Identifier: Apache-2.0
// Pager: what it does if files of its run directory are removed while it serves.
#include <unistd.h>

#include <vector>

#include "base/error.h"
#include "base/message.h"
#include "pager/kernel/event_fd.h"
#include "pager/serve/pager.h"
#include "pager/serve/run_dir.h"

namespace pager {

// A removal is rarely alone, and sessions that end remove files, too.
void Pager::note_run_dir_event() {
  constexpr std::chrono::milliseconds kSettles{100};
  settings_.run_dir->clear_events();
  check_run_dir_ = base::Deadline::after(kSettles);
}

void Pager::check_run_dir() {
  if (!check_run_dir_.passed()) {
    return;
  }
  check_run_dir_ = base::Deadline::never();
  const std::lock_guard lock(mutex_);
  try {
    if (!settings_.run_dir->is_intact()) {
      restore_run_dir();
    }
    restore_endpoints();
    restore_states();
  } catch (const base::Refused& error) {
    base::say_warning(std::string(error.what()) +
                      "; this server serves its guests on, without a control socket");
  } catch (const std::exception& error) {
    constexpr std::chrono::seconds kAgain{1};
    if (run_dir_failures_.admit()) {
      base::say_warning(std::string(error.what()) + "; the server tries again" +
                        run_dir_failures_.note());
    }
    check_run_dir_ = base::Deadline::after(kAgain);
  }
}

void Pager::restore_run_dir() {
  settings_.run_dir->restore();
  endpoints_.watch(settings_.run_dir->watch_fd(), kRunDirKey);
  settings_.service = settings_.run_dir->descriptors();
  hold_service(settings_.run_dir->listener().file());
  settings_.on_restored();
  base::say_warning("the run directory was removed; the server has made it again");
}

// Sockets where no VMM has connected yet.
void Pager::restore_endpoints() {
  std::vector<Key> missing;
  for (const auto& [key, waiting] : endpoints_.waiting()) {
    if (!waiting.listener.is_reachable() ||
        state_files_.is_missing(key, StateFiles::kEndpoint, waiting.state.fd())) {
      missing.push_back(key);
    }
  }
  for (const Key key : missing) {
    endpoints_.accept_and_read(key);  // of the old socket
    Waiting* waiting = endpoints_.find(key);
    if (waiting == nullptr || endpoints_.is_leaving(key)) {
      continue;
    }
    if (!waiting->listener.is_reachable()) {
      endpoints_.replace_listener(key, base::UnixListener::bind_again(
                                           waiting->listener, waiting->endpoint.serving.peer_uid));
    }
    hold_endpoint(key, *endpoints_.find(key));
  }
}

// The thread of a session copies its state, and gives the copy to the keeper.
void Pager::restore_states() {
  for (auto& [key, connected] : connected_) {
    if (records_.is_free(connected.id)) {
      record(
          key, connected.id,
          {.pid = connected.session->vmm_pid(), .start_time = connected.session->vmm_start_time()});
    }
    const SessionState& state = connected.session->state();
    std::optional<int> file;
    connected.session->with_descriptors(
        [&](std::span<const int> fds) { file = fds[kept::kState]; });
    if (!file || !state_files_.is_missing(key, StateFiles::kSession, *file)) {
      continue;
    }
    KeeperLink* keeper = settings_.keeper;
    connected.session->move_state(state_files_.create(key, StateFiles::kSession, state.total_bytes),
                                  [keeper, key = key](std::span<const int> fds) {
                                    if (keeper != nullptr) {
                                      keeper->hold(Kept::session, key, 0, fds);
                                    }
                                  });
  }
}

}  // namespace pager
