// SPDX-License-Identifier: Apache-2.0
// template-lock guard: reports whether the forks of a guest permit a change.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/open_files.h"
#include "base/options.h"
#include "base/output.h"
#include "lock/verbs.h"
#include "meta/forks/fork_guard.h"
#include "meta/forks/fork_index.h"
#include "meta/guest/metadata.h"
#include "store/store.h"

namespace lock {
namespace {

meta::Intent intent_of(std::string_view word) {
  return word == "delete"   ? meta::Intent::remove
         : word == "demote" ? meta::Intent::demote
         : word == "write"  ? meta::Intent::write
                            : meta::Intent::restore;
}

void refuse(meta::GuardAnswer& answer, const std::string& id, const std::string& why) {
  answer.allowed = false;
  answer.reason = "cannot write " + base::quoted(id) + ": " + why;
}

// A write to a memory file that other guests share also changes those guests. Two cases: the file
// has more links, or a symbolic link leads to the snapshot of another guest, in which case the link
// count shows nothing. A restore replaces the file, so only the second case stops it.
void refuse_shared_memory(const store::Store& store, const std::string& id, bool replaces,
                          meta::GuardAnswer& answer) {
  struct stat memory {};
  const std::string path = store.memory_path(id);
  try {
    const std::optional<base::Fd> fd = store.try_open_below(path, O_PATH);
    if (!fd || ::fstat(fd->get(), &memory) != 0 || replaces) {
      return;
    }
  } catch (const base::BadData& link) {
    refuse(answer, id, link.what());
    return;
  }
  struct stat other {};
  const std::string parent = meta::Metadata::of_guest(store, id).fork_of_template();
  if (memory.st_nlink > 1) {
    refuse(answer, id,
           "its memory has " + std::to_string(memory.st_nlink) +
               " links, so other guests share it; give it its own file first (reflink-clone "
               "--unshare " +
               path + ")");
  } else if (store::is_valid_id(parent) && ::stat(store.memory_path(parent).c_str(), &other) == 0 &&
             base::is_same_file(memory, other)) {
    refuse(answer, id, "its memory is the memory of its template " + base::quoted(parent));
  }
}

void print_record(const std::string& id, const std::string& intent,
                  const meta::GuardAnswer& answer) {
  base::JsonLine line("guard");
  line.text("id", id).text("for", intent).boolean("allowed", answer.allowed);
  if (answer.allowed) {
    line.null("reason");
  } else {
    line.text("reason", answer.reason);
  }
  base::write_line_out(line.raw("forks", base::json_array(answer.forks))
                           .raw("pending", base::json_array(answer.pending))
                           .raw("stale", base::json_array(answer.stale))
                           .raw("unreadable", base::json_array(answer.unreadable))
                           .str());
}

}  // namespace

int run_guard(int argc, char** argv) {
  base::Options options("template-lock guard", "--for delete|demote|restore|write ID",
                        "Report whether the forks of a guest permit INTENT now.");
  options.value("for", "INTENT", "delete, demote, restore or write")
      .footer(
          "It takes no lock: the answer holds for as long as the caller holds one. Under\n"
          "an inherited exclusive lock it drops index entries whose fork does not exist.\n"
          "\n"
          "Exit status: 0 allowed, 1 not allowed or no such guest, 2 usage, 5 system\n"
          "More: man template-lock");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  if (!parsed->has("for")) {
    throw base::UsageError("--for delete, demote, restore or write is needed");
  }
  const std::string intent = parsed->choice("for", {"delete", "demote", "restore", "write"});
  parsed->require_operands(1, 1, "an ID is");
  const std::string& id = parsed->operands()[0];

  const store::Store store = store::Store::from_environment();
  meta::GuardAnswer answer = meta::guard(store, id, intent_of(intent));
  if (answer.allowed && (intent == "write" || intent == "restore")) {
    refuse_shared_memory(store, id, intent == "restore", answer);
  }
  meta::drop_fork_index_entries(store, id, answer.stale);
  for (const std::string& fork : answer.stale) {
    base::say_detail("dropped the stale entry of fork " + base::quoted(fork));
  }
  for (const std::string& fork : answer.forks) {
    base::say_detail("fork " + base::quoted(fork) +
                     (std::ranges::find(answer.pending, fork) == answer.pending.end()
                          ? " lives"
                          : " is in progress, or a leftover"));
  }
  if (!answer.allowed) {
    base::say_error(answer.reason);
  }
  if (base::message_style().json) {
    print_record(id, intent, answer);
  }
  return answer.allowed ? 0 : static_cast<int>(base::ExitCode::no);
}

}  // namespace lock
