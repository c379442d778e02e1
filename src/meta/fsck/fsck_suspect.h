// SPDX-License-Identifier: Apache-2.0
// One thing that seems to be wrong in a store, on its way to a Finding.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "meta/fsck/fsck.h"
#include "store/files.h"
#include "store/store.h"

namespace meta {

struct Suspect {
  std::string problem;
  std::string id;
  std::string path;
  std::string text;
  std::vector<store::GuestLocks::Wanted> locks;
  std::function<bool()> is_there;  // asked again under the locks: others may have seen to it
  // Mends it and returns what was done ("removed"). Throws when it cannot be done. Empty when only
  // a person can.
  std::function<std::string()> mend;
};

class FsckRun {
 public:
  FsckRun(const store::Store& store, store::Effect effect, std::function<void(const Finding&)> tell)
      : store_(store), effect_(effect), tell_(std::move(tell)) {}

  const store::Store& store() const { return store_; }
  // Takes the locks, looks again, mends or not, and tells what became of it. Does not throw.
  void settle(const Suspect& suspect) const;
  // Tells of what cannot be mended.
  void leave(const std::string& problem, const std::string& id, const std::string& path,
             const std::string& text) const;

 private:
  const store::Store& store_;
  store::Effect effect_;
  std::function<void(const Finding&)> tell_;
};

// The exclusive lock on one id.
std::vector<store::GuestLocks::Wanted> exclusively(const std::string& id);

// .snapfork/tmp, .snapfork/trash, and names in guests/ and in each guest that only a killed program
// leaves.
void check_leftovers(const FsckRun& run);
// Metadata that cannot be read.
void check_metadata(const FsckRun& run);
// Lock files of ids that do not exist, and what is not a lock file in the directory of them.
// `before`: the ids that had lock files before the other checks, which take locks and so make such
// files; those are removed without a finding.
std::set<std::string> ids_with_lock_files(const store::Store& store);
void check_lock_files(const FsckRun& run, const std::set<std::string>& before);
// The fork indexes against the forks' own metadata, and templates that are none (any more).
void check_forks(const FsckRun& run);

}  // namespace meta
