// What bench/bench-clone.sh compares with, and what it measures on.
//   bench-clone ficlone SRC DST     the least that a clone needs; prints its microseconds
//   bench-clone clone SRC DST       what reflink-clone -q does; prints its microseconds
//   bench-clone numbers SRC DST     the same with what --json asks for
//   bench-clone fragment FILE N     N blocks of data, each an extent of its own
//   bench-clone memory FILE MIB     60 % of its pages are zero, scattered
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
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

void print_since(Clock::time_point begun) {
  const Clock::duration elapsed = Clock::now() - begun;
  std::cout << std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count() << "\n";
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
    base::throw_errno("cannot make " + base::quoted(path));
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

int run(const std::vector<std::string>& words) {
  if (words.size() != 3) {
    std::cerr
        << "usage: bench-clone ficlone|clone|numbers SRC DST | fragment FILE N | memory FILE MIB\n";
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
