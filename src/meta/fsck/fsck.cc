// SPDX-License-Identifier: Apache-2.0
#include "meta/fsck/fsck.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "meta/fsck/fsck_suspect.h"

namespace meta {

const char* outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::mended:
      return "mended";
    case Outcome::busy:
      return "busy";
    case Outcome::left:
      return "left";
    case Outcome::found:
      break;
  }
  return "found";
}

std::vector<store::GuestLocks::Wanted> exclusively(const std::string& id) {
  return {{.id = id, .mode = store::LockMode::exclusive}};
}

void FsckRun::settle(const Suspect& suspect) const {
  Finding finding{.outcome = Outcome::found,
                  .problem = suspect.problem,
                  .id = suspect.id,
                  .path = suspect.path,
                  .text = suspect.text};
  try {
    std::optional<store::GuestLocks> locks;
    if (effect_ == store::Effect::real) {
      locks = store::GuestLocks::try_take(store_, suspect.locks);
    }
    const bool may_proceed =
        effect_ == store::Effect::real
            ? locks.has_value()
            : std::ranges::all_of(suspect.locks, [this](const store::GuestLocks::Wanted& lock) {
                return store::is_free(store_, lock.id);
              });
    if (!may_proceed) {
      finding.outcome = Outcome::busy;
      finding.text += "; or in use: its lock is taken, so it is left alone";
    } else if (!suspect.is_there()) {
      return;
    } else if (!suspect.mend) {
      finding.outcome = Outcome::left;
    } else if (effect_ == store::Effect::real) {
      const std::string done = suspect.mend();
      finding.outcome = Outcome::mended;
      finding.text += ": " + done;
    }
  } catch (const std::exception& error) {
    finding.outcome = Outcome::left;
    finding.text += std::string(": ") + error.what();
  }
  tell_(finding);
}

void FsckRun::leave(const std::string& problem, const std::string& id, const std::string& path,
                    const std::string& text) const {
  tell_({.outcome = Outcome::left, .problem = problem, .id = id, .path = path, .text = text});
}

namespace {

// Whether other users may list, or change, what is in guests/: memory and disks of all guests. No
// umask makes 0711 or 0750, so those are on purpose.
bool is_open_to_others(const store::Store& store) {
  struct stat st {};
  return ::stat(store.guests_dir().c_str(), &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)) != 0;
}

std::string close_to_others(const store::Store& store) {
  const base::Fd dir = store.open_below(store.guests_dir(), O_RDONLY | O_DIRECTORY);
  if (::fchmod(dir.get(), S_IRWXU) != 0) {
    base::throw_errno("cannot change the mode of " + base::quoted(store.guests_dir()));
  }
  return "its mode is 0700";
}

void check_modes(const FsckRun& run) {
  const store::Store& store = run.store();
  if (is_open_to_others(store)) {
    run.settle({.problem = "open_to_others",
                .id = "",
                .path = store.guests_dir(),
                .text = "other users may read the memory and disks of guests",
                .locks = {},
                .is_there = [&] { return is_open_to_others(store); },
                .mend = [&] { return close_to_others(store); }});
  }
}

}  // namespace

void check_store(const store::Store& store, store::Effect effect,
                 const std::function<void(const Finding&)>& tell) {
  const FsckRun run(store, effect, tell);
  // In this order: a clone or a guest in the trash explains an entry of an index without a fork,
  // and metadata that is whole again makes its guest count.
  const std::set<std::string> with_lock_files = ids_with_lock_files(store);
  check_modes(run);
  check_leftovers(run);
  check_metadata(run);
  check_forks(run);
  check_lock_files(run, with_lock_files);
}

}  // namespace meta
