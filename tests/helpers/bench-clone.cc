// SPDX-License-Identifier: Apache-2.0
// The reference measurements of bench/bench-clone.sh, and its test files.
//| bench-clone ficlone SRC DST     the minimum that a clone needs; prints its microseconds
//| bench-clone clone SRC DST       the work of reflink-clone -q; prints its microseconds
//| bench-clone numbers SRC DST     the same, with the numbers of --json
//| bench-clone fragment FILE N     N blocks of data, each an extent of its own
//| bench-clone memory FILE MIB     60 % of its pages are zero, scattered
//| bench-clone start COMMAND...    ends COMMAND at its first FICLONE; prints the microseconds from
//|                                 fork
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "clone/clone.h"
#include "clone/progress.h"
#include "clone/request.h"
#include "clone/source_file.h"

namespace {

constexpr size_t kPage = 4096;

using Clock = std::chrono::steady_clock;

void print(Clock::duration elapsed) {
  std::cout << std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count() << "\n";
}

void print_since(Clock::time_point begun) {
  print(Clock::now() - begun);
}

void clone(const std::string& src, const std::string& dst, cloning::Detail detail) {
  const Clock::time_point begun = Clock::now();
  cloning::Request request;
  request.detail = detail;
  cloning::Progress progress(cloning::ProgressMode::never);
  cloning::clone_to(cloning::open_operand(src), dst, request, progress);
  print_since(begun);
}

void ficlone(const std::string& src, const std::string& dst) {
  const Clock::time_point begun = Clock::now();
  const base::Fd from = base::open_file(src, O_RDONLY);
  const base::Fd to = base::open_file(".", O_TMPFILE | O_WRONLY, 0600);
  const std::string self = "/proc/self/fd/" + std::to_string(to.get());
  if (::ioctl(to.get(), FICLONE, from.get()) != 0 ||
      ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, dst.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    base::throw_errno("cannot clone " + base::quoted(src));
  }
  print_since(begun);
}

void fragment(const std::string& path, off_t extents) {
  const base::Fd fd = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (::ftruncate(fd.get(), extents * 2 * static_cast<off_t>(kPage)) != 0) {
    base::throw_errno("cannot create " + base::quoted(path));
  }
  const std::vector<std::byte> page(kPage, std::byte{7});
  for (off_t i = 0; i < extents; ++i) {
    base::pwrite_full(fd.get(), page, i * 2 * static_cast<off_t>(kPage), path);
  }
  base::sync_fd(fd.get(), path);
}

void memory(const std::string& path, size_t mib) {
  const base::Fd fd = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::mt19937_64 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same each time
  std::vector<std::byte> piece(1 << 20);
  for (size_t done = 0; done < mib; ++done) {
    for (size_t at = 0; at < piece.size(); at += kPage) {
      const auto byte = static_cast<std::byte>(random() % 10 < 6 ? 0 : 1 + random() % 255);
      std::fill_n(piece.begin() + static_cast<ptrdiff_t>(at), kPage, byte);
    }
    base::pwrite_full(fd.get(), piece, static_cast<off_t>(done * piece.size()), path);
  }
  base::sync_fd(fd.get(), path);
}

// The kernel stops each process that this one starts from now on at its first FICLONE, and makes
// the descriptor readable. Unlike a preloaded library, this also works for a statically linked
// program.
base::Fd hold_at_ficlone() {
  constexpr unsigned int kLoad = BPF_LD | BPF_W | BPF_ABS;
  constexpr unsigned int kIfEqual = BPF_JMP | BPF_JEQ | BPF_K;
  std::array<sock_filter, 6> filter{{
      BPF_STMT(kLoad, offsetof(seccomp_data, nr)),
      BPF_JUMP(kIfEqual, SYS_ioctl, 0, 3),
      BPF_STMT(kLoad, offsetof(seccomp_data, args) + sizeof(uint64_t)),
      BPF_JUMP(kIfEqual, FICLONE, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{.len = filter.size(), .filter = filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    base::throw_errno("cannot give up privileges");
  }
  base::Fd listener(static_cast<int>(
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program)));
  if (!listener) {
    base::throw_errno("cannot set a seccomp filter");
  }
  return listener;
}

int start(const std::vector<std::string>& command) {
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (const std::string& word : command) {
    words.push_back(const_cast<char*>(word.c_str()));  // NOLINT(*-const-cast): execvp changes none
  }
  words.push_back(nullptr);
  const base::Fd listener = hold_at_ficlone();
  const Clock::time_point begun = Clock::now();
  const pid_t child = ::fork();
  if (child == 0) {
    ::execvp(words[0], words.data());
    ::_exit(127);
  }
  const base::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  std::array<pollfd, 2> either{{{.fd = listener.get(), .events = POLLIN, .revents = 0},
                                {.fd = process.get(), .events = POLLIN, .revents = 0}}};
  if (child < 0 || !process || ::poll(either.data(), either.size(), -1) < 0) {
    base::throw_errno("cannot run " + base::quoted(command[0]));
  }
  const Clock::time_point ended = Clock::now();
  const bool held = (either[0].revents & POLLIN) != 0;
  ::kill(child, SIGKILL);
  int status = 0;
  if (::waitpid(child, &status, 0) != child || (!held && status != 0)) {
    std::cerr << "bench-clone: the command failed before its first FICLONE\n";
    return 1;
  }
  print(ended - begun);
  return 0;
}

int run(const std::vector<std::string>& words) {
  if (words.size() > 1 && words[0] == "start") {
    return start({words.begin() + 1, words.end()});
  }
  if (words.size() != 3) {
    std::cerr
        << "usage: bench-clone ficlone|clone|numbers SRC DST | fragment FILE N | memory FILE MIB "
           "| start COMMAND...\n";
    return 2;
  }
  if (words[0] == "ficlone") {
    ficlone(words[1], words[2]);
  } else if (words[0] == "clone") {
    clone(words[1], words[2], cloning::Detail::nothing);
  } else if (words[0] == "numbers") {
    clone(words[1], words[2], cloning::Detail::numbers);
  } else if (words[0] == "fragment") {
    fragment(words[1], std::stol(words[2]));
  } else {
    memory(words[1], std::stoul(words[2]));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "bench-clone: " << error.what() << "\n";
    return 5;
  }
}
