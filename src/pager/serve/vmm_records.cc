// SPDX-License-Identifier: Apache-2.0
// Writes, renames and removes the records of served VMMs.
#include "pager/serve/vmm_records.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/message.h"
#include "store/vmm_record.h"

namespace pager {
namespace {

// False when `to` exists. Throws std::system_error.
bool rename_to_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  if (errno != EEXIST) {
    base::throw_errno("cannot rename " + base::quoted(from));
  }
  return false;
}

}  // namespace

VmmRecords::VmmRecords(std::string dir) : dir_(std::move(dir)) {
  if (!dir_.empty()) {
    here_ = base::identify_process(::getpid());
  }
}

bool VmmRecords::write(const std::string& id, Record vmm) {
  if (dir_.empty()) {
    return true;
  }
  constexpr mode_t kMode = 0600;
  base::ProcessIdentity record = here_;
  record.pid = vmm.pid;
  record.start_time = vmm.start_time;
  try {
    keep_earlier(id);
    base::write_file_atomic(path(id), store::vmm_record_text(record), kMode, base::Durable::no);
    return true;
  } catch (const std::system_error& error) {
    if (failures_.admit()) {
      base::say_warning(std::string(error.what()) +
                        "; the VMM is served without its record, and the server tries again" +
                        failures_.note());
    }
    return false;
  }
}

// A record of an earlier server under this name identifies a hung guest as long as its VMM lives,
// so it is renamed and kept.
void VmmRecords::keep_earlier(const std::string& id) {
  drop_ended();
  const std::string earlier = path(id);
  if (::access(earlier.c_str(), F_OK) != 0 || !names_living_process(earlier)) {
    return;
  }
  std::string name = id + ".unreadable";
  try {
    name = id + "." + std::to_string(store::read_vmm_record(earlier).value_or(here_).pid);
  } catch (const std::exception&) {
    // The record is kept, although it cannot be read.
  }
  // The name may be taken by a session "ID.PID", or by an earlier process of that pid in another
  // PID namespace. An id contains no '~', so the other names cannot be taken by sessions.
  std::string kept = path(name);
  for (int number = 1; !rename_to_new(earlier, kept); ++number) {
    kept = path(name + "~" + std::to_string(number));
  }
  kept_.push_back(kept);
  base::say_warning(base::quoted(kept) + " names a VMM of session " + base::quoted(id) +
                    " of a killed server; its guest hangs");
}

void VmmRecords::drop_ended() {
  std::erase_if(kept_, [](const std::string& record) {
    const bool ended = !names_living_process(record);
    if (ended) {
      ::unlink(record.c_str());
    }
    return ended;
  });
}

bool VmmRecords::is_free(const std::string& id) const {
  return dir_.empty() || ::access(path(id).c_str(), F_OK) != 0;
}

void VmmRecords::rename(const std::string& id, const std::string& to) {
  if (dir_.empty()) {
    return;
  }
  try {
    if (!rename_to_new(path(id), path(to)) && failures_.admit()) {
      base::say_warning("cannot rename " + base::quoted(path(id)) + ": " + base::quoted(path(to)) +
                        " exists" + failures_.note());
    }
  } catch (const std::system_error&) {
    // Only the record is lost, as if it could not be written.
  }
}

void VmmRecords::remove(const std::string& id) {
  if (!dir_.empty()) {
    ::unlink(path(id).c_str());
    drop_ended();
  }
}

std::string VmmRecords::session_of(const std::string& name, const base::ProcessIdentity& record) {
  const std::string kept = "." + std::to_string(record.pid);
  const std::string_view stem = std::string_view(name).substr(0, name.find('~'));
  return stem.size() > kept.size() && stem.ends_with(kept)
             ? std::string(stem.substr(0, stem.size() - kept.size()))
             : name;
}

bool VmmRecords::names_living_process(const std::string& record) {
  try {
    const std::optional<base::ProcessIdentity> vmm = store::read_vmm_record(record);
    return vmm && store::find_recorded_vmm(*vmm).alive;
  } catch (const std::exception&) {
    return true;
  }
}

}  // namespace pager
