#include "meta/fsck.h"

#include <utility>

#include "base/error.h"
#include "meta/fsck_suspect.h"

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

std::vector<GuestLocks::Wanted> exclusively(const std::string& id) {
  return {{.id = id, .mode = base::LockMode::exclusive}};
}

void FsckRun::settle(const Suspect& suspect) const {
  Finding finding{.outcome = Outcome::found,
                  .problem = suspect.problem,
                  .id = suspect.id,
                  .path = suspect.path,
                  .text = suspect.text};
  try {
    const std::optional<GuestLocks> locks = GuestLocks::try_take(store_, suspect.locks);
    if (!locks) {
      finding.outcome = Outcome::busy;
      finding.text += "; or in use: its lock is taken, so it is left alone";
    } else if (!suspect.is_there()) {
      return;
    } else if (!suspect.mend) {
      finding.outcome = Outcome::left;
    } else if (effect_ == Effect::real) {
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

void check_store(const base::Store& store, Effect effect,
                 const std::function<void(const Finding&)>& tell) {
  const FsckRun run(store, effect, tell);
  // In this order: a clone or a guest in the trash explains an entry of an index without a fork,
  // and metadata that is whole again makes its guest count.
  check_leftovers(run);
  check_metadata(run);
  check_forks(run);
}

}  // namespace meta
