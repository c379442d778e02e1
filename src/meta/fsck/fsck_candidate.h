// SPDX-License-Identifier: Apache-2.0
// Defines a possible problem in a store, and the run that resolves it to a Finding.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/effect.h"
#include "meta/fsck/fsck.h"
#include "store/files.h"
#include "store/store.h"

namespace meta {

struct Candidate {
  std::string problem;
  std::string id;
  std::string path;
  std::string text;
  std::vector<store::GuestLocks::Wanted> locks;
  // Whether the problem exists. Called again under the locks, because another process may have
  // handled it.
  std::function<bool()> is_present;
  // Repairs the problem and returns what was done, such as "removed". Throws on failure. Empty if
  // only a person can repair it.
  std::function<std::string()> repair;
};

class FsckRun {
 public:
  FsckRun(const store::Store& store, base::Effect effect,
          std::function<void(const Finding&)> report)
      : store_(store), effect_(effect), report_(std::move(report)) {}

  const store::Store& store() const { return store_; }
  // Takes the locks, checks the candidate again, repairs it with Effect::real, and reports the
  // outcome. Does not throw.
  void resolve(const Candidate& candidate) const;
  // Reports a problem that fsck cannot repair.
  void leave(const std::string& problem, const std::string& id, const std::string& path,
             const std::string& text) const;

 private:
  const store::Store& store_;
  base::Effect effect_;
  std::function<void(const Finding&)> report_;
};

// A request for the exclusive lock on one id.
std::vector<store::GuestLocks::Wanted> exclusively(const std::string& id);

// Checks .snapfork/tmp, .snapfork/trash, and temporary names in guests/ and in each guest.
void check_leftovers(const FsckRun& run);
// Checks whether each guest's metadata can be read and has the guest's Id.
void check_metadata(const FsckRun& run);
// Checks for lock files of ids that do not exist, and for other files in the directory of locks.
// `before` has the ids that had lock files before the other checks. Those checks take locks and so
// create lock files, which are removed without a finding.
std::set<std::string> ids_with_lock_files(const store::Store& store);
void check_lock_files(const FsckRun& run, const std::set<std::string>& before);
// Checks the fork indexes against the forks' own metadata, and template/ of guests that are not
// templates.
void check_forks(const FsckRun& run);
// Checks the run directory for VMMs whose guest no longer exists.
void check_vmm_directories(const FsckRun& run);
// Checks whether the states of guests name files of another store.
void check_paths(const FsckRun& run);

}  // namespace meta
