// SPDX-License-Identifier: Apache-2.0
// Reads the directories of records, and finds the records that belong to a guest's session.
#include "meta/guest/served_vmms.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>

#include "base/file_status.h"
#include "store/files.h"
#include "store/run_dir.h"
#include "store/session_name.h"
#include "store/vmm_record.h"

namespace meta {
namespace {

constexpr std::string_view kSuffix = ".vmm";

// Whether the file `name` is a record of `session`, which is NAME here. `pid` is the recorded pid,
// or 0 if the record cannot be read. The names are:
//
//| NAME.vmm, NAME.old-N.vmm       records of the session
//| NAME.PID.vmm, NAME.PID~N.vmm   records of a guest that hangs because an earlier server was killed
//
// If NAME.PID.vmm has another pid, it belongs to a session named NAME.PID.
bool is_record_of(std::string_view name, const std::string& session, pid_t pid) {
  if (!name.starts_with(session) || !name.ends_with(kSuffix)) {
    return false;
  }
  std::string_view rest = name.substr(session.size());
  if (rest == kSuffix || rest.starts_with(".old-")) {
    return true;
  }
  rest.remove_suffix(kSuffix.size());
  rest = rest.substr(0, rest.find('~'));
  if (pid > 0) {
    return rest == "." + std::to_string(pid);
  }
  return rest == ".unreadable" ||
         (rest.size() > 1 && rest.front() == '.' &&
          rest.find_first_not_of("0123456789", 1) == std::string_view::npos);
}

struct Record {
  pid_t pid = 0;  // in the PID namespace of the server; 0: not known
  ServedVmm vmm;
};

// Returns nothing if the record does not exist or its process has ended.
std::optional<Record> read_record(const std::string& path) {
  try {
    const std::optional<base::ProcessIdentity> recorded = store::read_vmm_record(path);
    const base::FoundProcess found =
        recorded ? store::find_recorded_vmm(*recorded) : base::FoundProcess{};
    return found.alive
               ? std::optional(Record{
                     .pid = recorded->pid,
                     .vmm = {.path = path, .process = found, .start_time = recorded->start_time}})
               : std::nullopt;
  } catch (const std::exception&) {
    return Record{.vmm = {.path = path}};
  }
}

}  // namespace

ServedVmms::ServedVmms(const store::Store& store) : store_(store) {
  if (const std::string dir = store::find_socket_dir(); !dir.empty()) {
    add(dir, false);
  }
  const std::string versions = store.root() + "/uffd";
  try {
    for (const std::string& version :
         store::list_names(versions).value_or(std::vector<std::string>())) {
      add(std::string(versions).append("/").append(version).append("/sessions"), true);
    }
  } catch (const std::system_error& error) {
    if (error.code().value() != ENOTDIR) {
      directories_.push_back(
          {.path = versions, .names = {}, .is_readable = false, .has_bare_ids = true});
    }
  }
}

void ServedVmms::add(const std::string& path, bool has_bare_ids) {
  try {
    if (std::optional<std::vector<std::string>> names = store::list_names(path)) {
      std::erase_if(*names, [](const std::string& name) { return !name.ends_with(kSuffix); });
      directories_.push_back({.path = path,
                              .names = *std::move(names),
                              .is_readable = true,
                              .has_bare_ids = has_bare_ids});
    }
  } catch (const std::system_error& error) {
    if (error.code().value() != ENOTDIR) {
      directories_.push_back(
          {.path = path, .names = {}, .is_readable = false, .has_bare_ids = has_bare_ids});
    }
  }
}

void ServedVmms::find(const Directory& directory, const std::string& session,
                      std::vector<ServedVmm>& found) {
  if (!directory.is_readable) {
    found.push_back({.path = directory.path});
    return;
  }
  for (auto name = std::ranges::lower_bound(directory.names, session);
       name != directory.names.end() && name->starts_with(session); ++name) {
    if (!std::string_view(*name).substr(session.size()).starts_with('.')) {
      continue;
    }
    const std::optional<Record> record = read_record(directory.path + "/" + *name);
    if (record && is_record_of(*name, session, record->pid)) {
      found.push_back(record->vmm);
    }
  }
}

std::vector<ServedVmm> ServedVmms::of(const std::string& id) const {
  std::vector<ServedVmm> found;
  // A name that is a link or a file has no session.
  const std::optional<struct stat> dir = base::try_lstat_path(store_.guest_dir(id));
  for (const Directory& directory : directories_) {
    if (directory.has_bare_ids) {
      find(directory, id, found);
    } else if (dir && S_ISDIR(dir->st_mode)) {
      find(directory, store::session_name(id, *dir), found);
    }
  }
  return found;
}

}  // namespace meta
