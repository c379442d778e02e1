// SPDX-License-Identifier: Apache-2.0
// Calls the steps of a run under the lock of the guest.
#include "launch/guest_run.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "base/deadline.h"
#include "base/effect.h"
#include "lock/lock_set.h"
#include "meta/flows/load_request.h"
#include "meta/flows/run_begin.h"
#include "meta/vmstate/vmstate.h"
#include "store/run_dir.h"

namespace launch {
namespace {

// As the programs that inherit the lock see it.
void take_lock(const store::Store& store, const std::string& id, int fd) {
  lock::LockSet::take(
      store,
      {{.id = id, .waits = false, .file = store::CallersFile{.fd = fd, .owner = ::getppid()}}},
      base::Deadline::after(std::chrono::milliseconds(0)));
  ::setenv("SNAPFORK_LOCK_FD", std::to_string(fd).c_str(), 1);
}

}  // namespace

GuestRun::GuestRun(GuestRunRequest request)
    : request_(std::move(request)), store_(store::Store::from_environment()) {
  store_.require_root();
  take_lock(store_, request_.id, request_.lock_fd);
  run_ = meta::prepare_run(
      store_, request_.id,
      {.vsock_dir = store::find_vsock_dir(), .taps = request_.taps, .force = request_.force},
      base::Effect::real);
}

bool GuestRun::needs_caller() const {
  return !request_.is_file &&
         (run_.first_load_is_unsure || run_.backend.backend != meta::Backend::file);
}

fc::VmmRequest GuestRun::complete(fc::VmmRequest request) const {
  request.directory = store::find_vmm_dir() + "/" + run_.session;
  request.id = request_.id;
  request.guest = store_.guest_dir(request_.id);
  for (const meta::OwnPaths::Path& path : run_.paths.paths) {
    if (path.role == meta::vmstate::Role::vsock) {
      request.vsock = path.path;
    }
  }
  for (const meta::TapName& tap : run_.taps) {
    request.taps.push_back(tap.tap);
  }
  return request;
}

std::string GuestRun::begin(pid_t pid, const std::string& version, bool sets_clock) {
  if (hot_reads_) {
    hot_reads_->await();
  }
  std::string body =
      meta::load_body_of_guest(store_, {.id = request_.id,
                                        .state_path = "",
                                        .uses_uffd = false,
                                        .backend_path = "",
                                        .vmm_version = version,
                                        .host_kernel = "",
                                        .keeps_clock = request_.keeps_clock || !sets_clock,
                                        .taps = request_.taps,
                                        .tracks_dirty_pages = request_.tracks_dirty_pages,
                                        .resumes = request_.resumes,
                                        .is_prepared = true});
  meta::begin_run(store_, request_.id,
                  {.pid = pid,
                   .api_socket = store::find_vmm_dir() + "/" + run_.session + "/api.sock",
                   .force = request_.force,
                   .search = meta::SearchProc::no},
                  base::Effect::real);
  return body;
}

fc::SnapshotLoad GuestRun::load() {
  if (run_.hot_list) {
    hot_reads_.emplace(*run_.hot_list, store_.memory_path(request_.id), request_.lock_fd);
  }
  return {.id = request_.id,
          .begin = [this](pid_t pid, const std::string& version,
                          bool sets_clock) { return begin(pid, version, sets_clock); },
          .deadline =
              [this] {
                return request_.load_timeout.count() == 0
                           ? base::Deadline::never()
                           : base::Deadline::after(request_.load_timeout);
              },
          .end = [fd = request_.lock_fd] { ::close(fd); }};
}

}  // namespace launch
