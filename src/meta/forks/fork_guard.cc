// SPDX-License-Identifier: Apache-2.0
// Classifies the entries of the fork index and words the refusal.
#include "meta/forks/fork_guard.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "meta/forks/fork_index.h"
#include "meta/guest/fork_relation.h"
#include "meta/guest/guest.h"
#include "store/inherited_locks.h"
#include "store/seal.h"

namespace meta {
namespace {

// The metadata of the guest in question.
struct Subject {
  bool is_template = false;
  std::string problem;           // why the metadata cannot be read; empty if they can
  bool is_half_demoted = false;  // IsTemplate is not set, but has_template_rest
};

Subject read_subject(const store::Store& store, std::string_view id) {
  require_guest(store, id);
  try {
    if (const std::optional<ForkRelation> keys = read_fork_relation(store, id)) {
      return {.is_template = keys->is_template, .problem = ""};
    }
  } catch (const std::exception& error) {
    return {.is_template = false, .problem = error.what()};
  }
  throw_no_guest(store, id);  // deleted at the same time
}

// Whether the guest has a sealed memory file that no other guest has. A fork shares the memory file
// of its template: by a link, or behind a symbolic link, where the link count does not show it.
bool has_sealed_memory_of_its_own(const store::Store& store, std::string_view id) {
  struct stat memory {};
  try {
    const std::optional<base::Fd> fd = store.try_open_below(store.memory_path(id), O_PATH);
    return fd && ::fstat(fd->get(), &memory) == 0 && S_ISREG(memory.st_mode) &&
           memory.st_nlink == 1 && store::is_sealed(memory);
  } catch (const base::BadData&) {
    return false;  // behind a symbolic link
  }
}

// Whether the guest has what demote removes after it cleared IsTemplate: template/, then the seal.
bool has_template_rest(const store::Store& store, std::string_view id) {
  return store.try_open_below(store.template_dir(id), O_PATH) ||
         has_sealed_memory_of_its_own(store, id);
}

const char* verb_of(Intent intent) {
  switch (intent) {
    case Intent::remove:
      return "delete";
    case Intent::demote:
      return "demote";
    case Intent::restore:
      return "restore";
    case Intent::unseal:
      return "unseal";
    case Intent::write:
      return "write";
  }
  return "change";
}

// "3 forks live (a1, b7, c2)". Names at most 8, so that the message stays short with thousands.
std::string count_and_names(const std::vector<std::string>& ids, const std::string& what) {
  constexpr size_t kNamed = 8;
  std::string text =
      std::to_string(ids.size()) + (ids.size() == 1 ? " fork " : " forks ") + what + " (";
  for (size_t i = 0; i < std::min(ids.size(), kNamed); ++i) {
    text += (i == 0 ? "" : ", ") + ids[i];
  }
  return text + (ids.size() > kNamed ? ", ...)" : ")");
}

// Why the forks do not allow it, without the start of the sentence. Empty if they do.
std::string objection_of_forks(const GuardAnswer& answer) {
  std::vector<std::string> live;
  std::ranges::set_difference(answer.forks, answer.pending, std::back_inserter(live));
  std::string text = live.empty() ? "" : count_and_names(live, "live");
  if (!answer.pending.empty()) {
    text += (text.empty() ? "" : ", ") + count_and_names(answer.pending, "being made or left over");
  }
  if (!answer.unreadable.empty()) {
    text += (text.empty() ? "" : ", ") + count_and_names(answer.unreadable, "unreadable") +
            ", which may be live";
  }
  return text.empty()
             ? text
             : text + (answer.forks.size() + answer.unreadable.size() == 1 ? "; delete it first"
                                                                           : "; delete them first");
}

std::string objection(Intent intent, std::string_view id, const Subject& subject,
                      const GuardAnswer& answer) {
  std::string forks = objection_of_forks(answer);
  if (intent == Intent::remove || (intent == Intent::demote && subject.is_template)) {
    return forks;
  }
  if (!subject.problem.empty()) {
    return "it may be a template: " + subject.problem;
  }
  if (intent == Intent::demote) {
    return subject.is_half_demoted ? forks : "it is not a template";
  }
  if (!subject.is_template) {
    return forks;
  }
  if (!forks.empty()) {
    return forks + ", then demote it";
  }
  const std::string rule = intent == Intent::unseal
                               ? "a template stays sealed"
                               : std::string("a template is never ") +
                                     (intent == Intent::restore ? "restored" : "written");
  return rule + "; demote it first (snapfork demote " + std::string(id) + ")";
}

std::vector<ForkRecord> find_forks(const store::Store& store, std::string_view id,
                                   const Subject& subject) {
  if (has_fork_index(store, id)) {
    return read_fork_index(store, id);
  }
  if (subject.is_template) {
    return scan_for_forks(store, id);
  }
  if (subject.problem.empty()) {
    return {};
  }
  // Nothing shows that this guest was a template. Other guests that cannot be read are ignored
  // here. Otherwise two guests with damaged metadata would prevent each other's deletion.
  std::vector<ForkRecord> records = scan_for_forks(store, id);
  std::erase_if(records, [](const ForkRecord& r) { return r.state == ForkState::unreadable; });
  return records;
}

}  // namespace

GuardAnswer guard(const store::Store& store, std::string_view id, Intent intent,
                  bool holds_exclusive) {
  store::check_id(id);
  store.require_root();
  Subject subject = read_subject(store, id);
  subject.is_half_demoted = !subject.is_template && has_template_rest(store, id);
  const bool alone =
      holds_exclusive || store::inherited_lock(store, id) == store::LockMode::exclusive;
  GuardAnswer answer;
  for (ForkRecord& record : find_forks(store, id, subject)) {
    if (record.state == ForkState::unreadable) {
      answer.unreadable.push_back(std::move(record.id));
    } else if (record.state == ForkState::live || !alone) {
      if (record.state != ForkState::live) {
        answer.pending.push_back(record.id);
      }
      answer.forks.push_back(std::move(record.id));
    } else {
      answer.stale.push_back(std::move(record.id));
    }
  }
  const std::string why = objection(intent, id, subject, answer);
  answer.allowed = why.empty();
  if (!answer.allowed) {
    answer.reason = std::string("cannot ") + verb_of(intent) +
                    (subject.is_template ? " template " : " ") + base::quoted(id) + ": " + why;
  }
  return answer;
}

}  // namespace meta
