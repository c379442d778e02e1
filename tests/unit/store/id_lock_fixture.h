// SPDX-License-Identifier: Apache-2.0
// The fixture of the tests of locks on ids.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>

#include "store/id_lock.h"
#include "tests/unit/scratch_dir.h"

// Longer than any step takes unless it hangs.
inline constexpr std::chrono::milliseconds kLong{60'000};

class IdLockTest : public testing::Test {
 protected:
  void TearDown() override { ::unsetenv("SNAPFORK_LOCK_FD"); }

  std::optional<store::IdLock> acquire(
      store::LockMode mode, std::chrono::milliseconds limit = std::chrono::milliseconds(0),
      const std::string& id = "base") const {
    return store::IdLock::acquire(store, id, mode, base::Deadline::after(limit));
  }
  // For threads: without a timer, which belongs to the process.
  store::IdLock acquire_blocking(store::LockMode mode) const {
    return *store::IdLock::acquire(store, "base", mode, base::Deadline::never());
  }
  std::string lock_file(const std::string& id = "base") const {
    return store.locks_dir() + "/" + id + ".lock";
  }
  static void list_fds(const std::string& list) { ::setenv("SNAPFORK_LOCK_FD", list.c_str(), 1); }

  const ScratchDir dir;
  const store::Store store{dir.path()};
};
