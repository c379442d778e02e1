// SPDX-License-Identifier: Apache-2.0
// The directory of one VMM: its API socket, its pid, its console and its input.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/fd.h"

namespace fc {

// The names in the directory. Console output is in `console`, and older output in `console.1`.
inline constexpr const char* kApiSocket = "api.sock";
inline constexpr const char* kPid = "pid";
inline constexpr const char* kInput = "input";
inline constexpr const char* kConsole = "console";
inline constexpr const char* kOlderConsole = "console.1";
// The path of the guest's directory. `snapshot-meta fsck` reads it.
inline constexpr const char* kGuest = "guest";
// Written and read by the driver: the options of the run, each with a NUL after it.
inline constexpr const char* kOptions = "options";

// The process that starts the VMM holds a flock on the directory until the VMM has ended. All files
// are reached through one descriptor, so if another process removes the directory and makes a new
// one, the files in the new one are not touched.
class VmmDirectory {
 public:
  // Creates the directory and its parents with mode 0700, takes its lock, and removes what an ended
  // VMM left there. Throws base::Refused if a VMM uses the directory (a VMM that is ending gets
  // until `deadline`), if it belongs to another user, or if others can write to it;
  // base::UsageError if the path of the socket is too long.
  static VmmDirectory take(const std::string& path, const base::Deadline& deadline);
  // Throws what take() would throw, without a change.
  static void check(const std::string& path);

  const std::string& path() const { return path_; }
  std::string file(const char* name) const { return path_ + "/" + name; }
  // Shared with threads that write files of the directory.
  std::shared_ptr<const base::Fd> fd() const { return fd_; }

  // Makes the FIFO `input` and opens it for reading and writing, without blocking. Firecracker
  // reads its standard input in the thread that serves its API, so a read must not block, and the
  // input must not end. What is written to the FIFO goes to the guest's serial line.
  base::Fd make_input() const;
  // Writes `pid`: the pid and the start time of the VMM.
  void write_pid(pid_t pid) const;

  void write_guest(const std::string& guest) const;

  // Undoes the jail of the VMM, if it had one (store/jail_undo.h), and removes the files that are
  // useless without the VMM: all but the console, `guest` and `options`. Never throws.
  void remove_run_files() const;
  // Removes the directory. Never throws.
  void remove() const;

 private:
  VmmDirectory(std::string path, base::Fd fd);
  void write_new(const char* name, const std::string& text) const;
  void remove_kept_files() const;

  std::string path_;
  std::shared_ptr<const base::Fd> fd_;
};

// The pid in the file `pid` of a directory, if that process is alive.
std::optional<pid_t> live_pid(int directory);

}  // namespace fc
