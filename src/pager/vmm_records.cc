#include "pager/vmm_records.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <system_error>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/message.h"
#include "base/process.h"

namespace pager {

bool VmmRecords::write(const std::string& id, Record vmm) {
  if (dir_.empty()) {
    return true;
  }
  constexpr mode_t kMode = 0600;
  const std::string text = std::to_string(vmm.pid) + " " + std::to_string(vmm.start_time) + "\n";
  try {
    keep_earlier(id);
    base::write_file_atomic(path(id), text, kMode, base::Durable::no);
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

// What an earlier server left under this name names a guest that hangs, as long as its VMM lives.
void VmmRecords::keep_earlier(const std::string& id) {
  drop_ended();
  const std::string earlier = path(id);
  if (::access(earlier.c_str(), F_OK) != 0 || !names_living_process(earlier)) {
    return;
  }
  std::string name = id + ".unreadable";
  try {
    name = id + "." + std::to_string(read(earlier).value_or(Record{}).pid);
  } catch (const std::exception&) {
    // What it holds is kept all the same.
  }
  if (::rename(earlier.c_str(), path(name).c_str()) != 0) {
    base::throw_errno("cannot rename " + base::quoted(earlier));
  }
  kept_.push_back(path(name));
  base::say_warning(base::quoted(kept_.back()) + " names a VMM of session " + base::quoted(id) +
                    " that a killed server served: its guest hangs");
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

void VmmRecords::rename(const std::string& id, const std::string& to) const {
  if (!dir_.empty()) {
    // Where it fails only the record is lost, as when it could not be written.
    static_cast<void>(::rename(path(id).c_str(), path(to).c_str()));
  }
}

void VmmRecords::remove(const std::string& id) {
  if (!dir_.empty()) {
    ::unlink(path(id).c_str());
    drop_ended();
  }
}

std::optional<VmmRecords::Record> VmmRecords::read(const std::string& path) {
  constexpr size_t kMaxRecord = 100;
  std::string text;
  try {
    text = base::read_file(path, kMaxRecord);
  } catch (const std::system_error& error) {
    if (error.code().value() == ENOENT) {
      return std::nullopt;
    }
    throw;
  }
  Record record;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, record.pid);
  if (first.ec != std::errc() || first.ptr == end ||
      std::from_chars(first.ptr + 1, end, record.start_time).ec != std::errc()) {
    throw base::BadData("cannot use " + base::quoted(path) + ": not the record of a VMM");
  }
  return record;
}

std::string VmmRecords::session_of(const std::string& name, const Record& record) {
  const std::string kept = "." + std::to_string(record.pid);
  return name.size() > kept.size() && name.ends_with(kept)
             ? name.substr(0, name.size() - kept.size())
             : name;
}

bool VmmRecords::names_living_process(const std::string& record) {
  try {
    const std::optional<Record> read_record = read(record);
    return read_record && base::process_start_time(read_record->pid) == read_record->start_time;
  } catch (const std::exception&) {
    return true;
  }
}

}  // namespace pager
