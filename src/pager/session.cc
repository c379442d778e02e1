#include "pager/session.h"

#include <fcntl.h>
#include <pthread.h>

#include <utility>

#include "base/error.h"
#include "pager/event_fd.h"
#include "pager/fault_loop.h"
#include "pager/vmm_watch.h"

namespace pager {
namespace {

const std::vector<Region>& checked(const std::vector<Region>& regions, const Image& image) {
  if (const std::optional<std::string> problem = layout_problem(regions, image.size())) {
    throw base::BadData("cannot use the handshake for " + base::quoted(image.path()) + ": " +
                        *problem);
  }
  return regions;
}

}  // namespace

Session::Session(std::string id, ServingPlan plan, HandshakeReader::Result handshake,
                 base::Fd socket, Vmm vmm, int notify)
    : id_(std::move(id)),
      plan_(std::move(plan)),
      regions_(checked(handshake.regions, *plan_.image)),
      uffd_(std::move(handshake.uffd)),
      socket_(std::move(socket)),
      vmm_(std::move(vmm)),
      wake_(make_event_fd()),
      notify_(notify),
      log_(id_, vmm_.pid(), uffd_.get()),
      mapping_(regions_, plan_.image->identity()) {
  SessionState& state = mapping_.state();
  state.vmm_pid = vmm_.pid();
  state.vmm_start_time = vmm_.start_time();
  state.on_failure = plan_.on_failure;
  thread_ = std::thread(&Session::run, this);
}

Session::~Session() {
  stop_.store(true, std::memory_order_relaxed);
  signal_event(wake_.get());
  thread_.join();
}

void Session::run() {
  // For top and gdb: 15 bytes are taken.
  constexpr size_t kNameBytes = 15;
  static_cast<void>(
      ::pthread_setname_np(::pthread_self(), ("vm " + id_).substr(0, kNameBytes).c_str()));
  try {
    serve();
  } catch (const std::exception& error) {
    // A guest that nobody serves hangs: better that its owner sees it end.
    log_.warn(std::string(error.what()) +
              (vmm_.kill() ? "; killed the VMM" : "; the VMM is not served any more"));
  }
  ended_.store(true, std::memory_order_release);
  signal_event(notify_);
}

void Session::serve() {
  // Firecracker sends it non-blocking, and the loop relies on it.
  if (::fcntl(uffd_.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0) {
    base::throw_errno("cannot set the mode of a userfaultfd");
  }
  TraceWriter* trace = plan_.trace ? &*plan_.trace : nullptr;
  if (trace != nullptr) {
    trace->start(regions_, plan_.image->size());
  }
  VmmWatch watch(uffd_.get(), socket_.get(), vmm_, wake_.get(), regions_);
  FaultLoop loop({.uffd = uffd_.get(),
                  .state = mapping_.state(),
                  .image = *plan_.image,
                  .vmm = vmm_,
                  .counters = counters_,
                  .log = log_,
                  .trace = trace},
                 plan_.window);
  if (plan_.hot) {
    loop.prefetch(plan_.hot);
  }
  while (!stop_.load(std::memory_order_relaxed)) {
    const std::optional<uint64_t> wait_ns = loop.wait_ns();
    if (!wait_ns) {
      loop.flush();
    }
    if (wait_ns != 0 && !watch.wait(wait_ns)) {
      break;
    }
    if (!loop.step()) {
      break;
    }
  }
  loop.flush();
}

}  // namespace pager
