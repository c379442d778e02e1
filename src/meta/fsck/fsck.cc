// SPDX-License-Identifier: Apache-2.0
// Runs all checks in order, and resolves each candidate under its locks.
#include "meta/fsck/fsck.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/effect.h"
#include "base/error.h"
#include "base/fd.h"
#include "meta/fsck/fsck_candidate.h"
#include "store/files.h"

namespace meta {

const char* outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::repaired:
      return "repaired";
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

void FsckRun::resolve(const Candidate& candidate) const {
  Finding finding{.outcome = Outcome::found,
                  .problem = candidate.problem,
                  .id = candidate.id,
                  .path = candidate.path,
                  .text = candidate.text};
  try {
    std::optional<store::GuestLocks> locks;
    if (effect_ == base::Effect::real) {
      locks = store::GuestLocks::try_take(store_, candidate.locks);
    }
    const bool may_proceed =
        effect_ == base::Effect::real
            ? locks.has_value()
            : std::ranges::all_of(candidate.locks, [this](const store::GuestLocks::Wanted& lock) {
                return store::is_free(store_, lock.id);
              });
    if (!may_proceed) {
      finding.outcome = Outcome::busy;
      finding.text += "; its lock is held, so it may be in use and is not changed";
    } else if (!candidate.is_present()) {
      return;
    } else if (!candidate.repair) {
      finding.outcome = Outcome::left;
    } else if (effect_ == base::Effect::real) {
      const std::string done = candidate.repair();
      finding.outcome = Outcome::repaired;
      finding.text += ": " + done;
    }
  } catch (const std::exception& error) {
    finding.outcome = Outcome::left;
    finding.text += std::string(": ") + error.what();
  }
  report_(finding);
}

void FsckRun::leave(const std::string& problem, const std::string& id, const std::string& path,
                    const std::string& text) const {
  report_({.outcome = Outcome::left, .problem = problem, .id = id, .path = path, .text = text});
}

namespace {

// Whether other users may list or change guests/, which holds the memory and disks of all guests.
// Modes 0711 and 0750 do not result from a umask, so they are intended.
bool is_open_to_others(const store::Store& store) {
  struct stat st {};
  return ::stat(store.guests_dir().c_str(), &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)) != 0;
}

std::string close_to_others(const store::Store& store) {
  const base::Fd dir = store.open_below(store.guests_dir(), O_RDONLY | O_DIRECTORY);
  if (::fchmod(dir.get(), S_IRWXU) != 0) {
    base::throw_errno("cannot change the mode of " + base::quoted(store.guests_dir()));
  }
  return "changed the mode to 0700";
}

void check_modes(const FsckRun& run) {
  const store::Store& store = run.store();
  if (is_open_to_others(store)) {
    run.resolve({.problem = "open_to_others",
                 .id = "",
                 .path = store.guests_dir(),
                 .text = "other users may read the memory and disks of guests",
                 .locks = {},
                 .is_present = [&] { return is_open_to_others(store); },
                 .repair = [&] { return close_to_others(store); }});
  }
}

}  // namespace

void check_store(const store::Store& store, base::Effect effect,
                 const std::function<void(const Finding&)>& report) {
  const FsckRun run(store, effect, report);
  // The order matters. A clone or a guest in the trash explains an index entry without a fork, and
  // a guest counts as a fork again after its metadata is repaired.
  const std::set<std::string> with_lock_files = ids_with_lock_files(store);
  check_modes(run);
  check_leftovers(run);
  check_metadata(run);
  check_forks(run);
  check_paths(run);
  check_vmm_directories(run);
  check_lock_files(run, with_lock_files);
}

}  // namespace meta
