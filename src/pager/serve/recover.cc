// SPDX-License-Identifier: Apache-2.0
// Recovers sessions from their states and VMMs, and endpoints from their states.
#include "pager/serve/recover.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "base/deadline.h"
#include "base/error.h"
#include "base/file_status.h"
#include "base/message.h"
#include "base/process.h"
#include "base/unix_socket.h"
#include "pager/faults/session_state.h"
#include "pager/faults/taken_uffd.h"
#include "pager/serve/kept_text.h"
#include "pager/serve/shared_state.h"
#include "pager/serve/vmm_records.h"
#include "store/vmm_record.h"

namespace pager {
namespace {

namespace fs = std::filesystem;

// "KEY" of the name "KEY.state"; nothing for other names.
std::optional<uint64_t> key_in(std::string_view name, std::string_view suffix) {
  uint64_t key = 0;
  const char* const end = name.data() + name.size() - std::min(name.size(), suffix.size());
  const auto [stop, error] = std::from_chars(name.data(), end, key);
  return name.ends_with(suffix) && error == std::errc() && stop == end ? std::optional(key)
                                                                       : std::nullopt;
}

base::Fd duplicate(int fd) {
  base::Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) {
    base::throw_errno("cannot duplicate a descriptor");
  }
  return copy;
}

// Throws base::BadData unless the file still is what the server before this one has opened.
std::shared_ptr<const Image> open_image(const KeptText& text) {
  std::shared_ptr<const Image> image = Image::open(text.image_path);
  ImageIdentity now = image->identity();
  ImageIdentity before = text.identity;
  // Links change the change time of a sealed file. For another file, it shows each change; the file
  // may have been written to between its stat and its copy.
  bool is_same = image->view() == text.view;
  if (text.view == Image::View::sealed) {
    now.changed_ns = before.changed_ns = 0;
  } else {
    is_same = is_same && identity_of(base::stat_path(text.image_path)) == before;
  }
  if (!is_same || now != before) {
    throw base::BadData("cannot serve " + base::quoted(text.image_path) +
                        " again: it is not the memory file that was served");
  }
  return image;
}

class Recoverer {
 public:
  Recoverer(const std::string& dir, OnLost on_lost) : dir_(dir), on_lost_(on_lost) {}

  Recovery run() {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(dir_)) {
      names.push_back(entry.path().filename().string());
    }
    for (const std::string& name : names) {
      if (const std::optional<uint64_t> key = key_in(name, StateFiles::kSession)) {
        found_.last_key = std::max(found_.last_key, *key);
        read_session(*key, name);
      }
    }
    for (const std::string& name : names) {
      if (key_in(name, StateFiles::kEndpoint)) {
        read_endpoint(name);
      }
    }
    if (has_unreadable_) {
      for (const std::string& name : names) {
        lose_recorded(name);
      }
    }
    await_ends();
    return std::move(found_);
  }

 private:
  std::string path_of(const std::string& name) const { return dir_ + "/" + name; }

  void read_session(uint64_t key, const std::string& name) {
    try {
      StateMapping mapping(base::open_file(path_of(name), O_RDWR | O_NOFOLLOW));
      recover_session(key, name, mapping);
    } catch (const OtherBoot&) {
      // Its VMM ended with that boot.
    } catch (const std::exception& error) {
      base::say_warning(base::quoted(path_of(name)) + ": " + error.what());
      has_unreadable_ = true;
    }
  }

  void recover_session(uint64_t key, const std::string& name, StateMapping& mapping) {
    const SessionState& state = mapping.state();
    const std::string id = state.id.data();
    if (state.vmm_pid <= 0 || state.vmm_start_time == 0) {
      throw base::BadData("it does not identify a VMM");
    }
    known_.insert(id);
    std::optional<base::Fd> pidfd = base::open_pidfd(state.vmm_pid);
    if (state.completion.stage == CompletionStage::detached || !pidfd ||
        base::process_start_time(state.vmm_pid) != state.vmm_start_time) {
      return;  // nothing to serve
    }
    Vmm vmm = Vmm::of_pidfd(std::move(*pidfd));
    vmm.set_identity(state.vmm_pid, state.vmm_start_time);
    try {
      const KeptText text = parse_kept_text(mapping.text());
      HeldThing thing{.kind = Kept::session, .parent = 0, .fds = {}};
      thing.fds.resize(KeepMessage::kMostFds);
      thing.fds[kept::kUffd] = take_userfaultfd(vmm, mapping.regions());
      thing.fds[kept::kImage] = duplicate(open_image(text)->fd());
      thing.fds[kept::kState] = duplicate(mapping.file());
      thing.fds[kept::kPidfd] = duplicate(vmm.pidfd());
      // The connection ended with the server. The end of the VMM is all that it would report.
      thing.fds[kept::kSocket] = duplicate(vmm.pidfd());
      base::say_warning("session " + base::quoted(id) + ": serving process " +
                        std::to_string(vmm.pid()) + " again, whose page server was killed");
      found_.sessions.emplace(key, std::move(thing));
      found_.kept.insert({name, id + ".vmm"});
    } catch (const std::exception& error) {
      lose(id, error.what(), std::move(vmm), {name, id + ".vmm"});
    }
  }

  void lose(const std::string& id, const std::string& why, Vmm vmm,
            const std::set<std::string>& files) {
    const bool killed = on_lost_ == OnLost::kill && vmm.kill();
    base::say_warning(
        "session " + base::quoted(id) + " is lost: " + why + "; " +
        (killed ? "killed process " + std::to_string(vmm.pid()) + ", because its guest would hang"
         : on_lost_ == OnLost::hold
             ? "its guest hangs until its VMM is killed (--on-lost=hold)"
             : "cannot kill process " + std::to_string(vmm.pid()) + ": its guest hangs"));
    if (killed) {
      killed_.push_back(std::move(vmm));
    } else {
      found_.kept.insert(files.begin(), files.end());
    }
  }

  // A state that cannot be read does not name its VMM, but the record of the VMM does.
  void lose_recorded(const std::string& name) {
    constexpr std::string_view kRecord = ".vmm";
    const std::string id = name.substr(0, name.size() - std::min(name.size(), kRecord.size()));
    if (!name.ends_with(kRecord) || known_.contains(id)) {
      return;
    }
    try {
      const std::optional<base::ProcessIdentity> record = store::read_vmm_record(path_of(name));
      const base::FoundProcess found =
          record ? store::find_recorded_vmm(*record) : base::FoundProcess{};
      std::optional<base::Fd> pidfd = found.is_certain ? base::open_pidfd(found.pid) : std::nullopt;
      if (pidfd && base::process_start_time(found.pid) == found.start_time) {
        Vmm vmm = Vmm::of_pidfd(std::move(*pidfd));
        vmm.set_identity(found.pid, found.start_time.value_or(0));
        lose(VmmRecords::session_of(id, *record), "no state of it can be used", std::move(vmm),
             {name});
      }
    } catch (const std::exception&) {
      // A record that cannot be read names no process that may be killed.
    }
  }

  void read_endpoint(const std::string& name) {
    std::string id;
    try {
      const SharedMemory memory(base::open_file(path_of(name), O_RDWR | O_NOFOLLOW),
                                sizeof(EndpointState));
      KeptText text = parse_kept_text(endpoint_text(memory));
      id = text.endpoint.id;
      if (memory.as<EndpointState>().leaving != 0) {
        return;
      }
      Endpoint& endpoint = text.endpoint;
      endpoint.image = open_image(text);
      if (!text.hot_path.empty()) {
        endpoint.hot = hot_files_.open(text.hot_path, *endpoint.image);
      }
      found_.endpoints.push_back(std::move(endpoint));
    } catch (const std::exception& error) {
      base::say_warning(
          (id.empty() ? base::quoted(path_of(name)) : "session " + base::quoted(id) + ": closed") +
          ": " + error.what());
    }
  }

  // Their records are removed after this.
  void await_ends() const {
    const base::Deadline deadline = base::Deadline::after(std::chrono::seconds(1));
    for (const Vmm& vmm : killed_) {
      base::wait_for(vmm.pidfd(), POLLIN, deadline);
    }
  }

  std::string dir_;
  OnLost on_lost_;
  Recovery found_;
  std::set<std::string> known_;  // ids of states that could be read
  std::vector<Vmm> killed_;
  bool has_unreadable_ = false;
  HotListCache hot_files_;
};

}  // namespace

Recovery recover(const std::string& dir, OnLost on_lost) {
  return Recoverer(dir, on_lost).run();
}

}  // namespace pager
