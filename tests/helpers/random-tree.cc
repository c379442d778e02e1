// SPDX-License-Identifier: Apache-2.0
// Creates trees with everything that a copy must keep, and compares two of them.
//| random-tree make DIR SEED COUNT        creates DIR/0, DIR/1, ...: the same for the same seed
//| random-tree compare A B [--no-holes]   prints what differs between the entries of A and B; exits
//|                                        with 1 if anything does
//| random-tree same A B                   the same for A and B themselves, without their holes
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "file/data_ranges.h"
#include "file/directory.h"

namespace {

using file::ByteRange;

// ---- making

class TreeMaker {
 public:
  explicit TreeMaker(uint64_t seed) : random_(seed) {}

  // Directories get their attributes last, because creating entries changes their times.
  void make(const std::string& root) {
    files_.clear();
    make_directory(root, 0);
  }

 private:
  uint64_t below(uint64_t bound) { return random_() % bound; }
  bool once_in(uint64_t bound) { return below(bound) == 0; }

  std::string name() {
    static constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyz0123456789.-_ *?'\n";
    const size_t length = once_in(20) ? NAME_MAX - 4 : 1 + below(12);
    const bool any_byte = once_in(5);
    std::string text;
    while (text.size() < length) {
      const char byte = any_byte ? static_cast<char>(1 + below(255)) : kPlain[below(kPlain.size())];
      if (byte != '/') {
        text += byte;
      }
    }
    return text + std::to_string(++names_);  // never "." or "..", and unique
  }

  void make_directory(const std::string& path, int depth) {
    check(::mkdir(path.c_str(), 0700), path);
    const uint64_t entries = depth == 0 ? 3 + below(6) : below(5);
    for (uint64_t i = 0; i < entries; ++i) {
      const std::string child = path + "/" + name();
      switch (child.size() > PATH_MAX - 600 ? 9 : below(10)) {
        case 0:
        case 1:
          make_directory(child, depth + 1);
          break;
        case 2:
          make_symlink(child);
          break;
        case 3:
          if (!files_.empty()) {
            check(::link(files_[below(files_.size())].c_str(), child.c_str()), child);
            break;
          }
          [[fallthrough]];
        default:
          make_file(child);
      }
    }
    set_attributes(path, true);
  }

  void make_symlink(const std::string& path) {
    const std::string text(1 + below(once_in(4) ? 1000 : 20), 'x');
    check(::symlink(text.c_str(), path.c_str()), path);
    if (once_in(2)) {
      check(::lchown(path.c_str(), static_cast<uid_t>(below(60000)), 7), path);
    }
    set_times(path);
  }

  void make_file(const std::string& path) {
    const base::Fd fd = base::open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    // Set the length first: XFS preallocates for writes beyond the end.
    const auto size = static_cast<off_t>(once_in(4) ? 0 : below(once_in(2) ? 2 << 20 : 9000));
    check(::ftruncate(fd.get(), size), path);
    for (uint64_t i = size == 0 ? 0 : below(4); i > 0; --i) {
      const auto at = static_cast<off_t>(below(static_cast<uint64_t>(size)));
      const auto room = static_cast<uint64_t>(size - at);
      // Some zeros are stored as data.
      const std::vector<std::byte> data(std::min(room, 1 + below(once_in(4) ? 70000 : 5000)),
                                        static_cast<std::byte>(once_in(4) ? 0 : 1 + below(255)));
      base::pwrite_full(fd.get(), data, at, path);
    }
    files_.push_back(path);
    set_attributes(path, false);
  }

  void set_attributes(const std::string& path, bool is_directory) {
    if (once_in(2)) {
      check(
          ::chown(path.c_str(), static_cast<uid_t>(below(60000)), static_cast<gid_t>(below(60000))),
          path);
    }
    check(::chmod(path.c_str(), static_cast<mode_t>(once_in(3) ? below(010000) : 0644)), path);
    for (uint64_t i = below(3); i > 0; --i) {
      set_xattr(path, (once_in(3) ? "trusted.t" : "user.u") + std::to_string(i),
                std::string(below(once_in(3) ? 600 : 20), 'v'));
    }
    if (once_in(4)) {
      set_xattr(path, "system.posix_acl_access", acl());
    }
    if (is_directory && once_in(4)) {
      set_xattr(path, "system.posix_acl_default", acl());
    }
    set_times(path);
  }

  // acl(5) in the kernel's format: version 2, then (tag, permissions, id), little-endian.
  std::string acl() {
    std::string text("\2\0\0\0", 4);
    const auto add = [&](uint16_t tag, uint32_t id, uint16_t permissions) {
      text.append(reinterpret_cast<const char*>(&tag), sizeof(tag));
      text.append(reinterpret_cast<const char*>(&permissions), sizeof(permissions));
      text.append(reinterpret_cast<const char*>(&id), sizeof(id));
    };
    constexpr uint32_t kNobody = UINT32_MAX;
    const auto any = [&] { return static_cast<uint16_t>(below(7)); };
    add(0x01, kNobody, any());                             // owner
    add(0x02, static_cast<uint32_t>(below(1000)), any());  // a user
    add(0x04, kNobody, any());                             // group
    add(0x08, static_cast<uint32_t>(below(1000)), any());  // a group
    add(0x10, kNobody, 7);      // mask: rsync loses the group's permissions where they are the same
    add(0x20, kNobody, any());  // others
    return text;
  }

  static void set_xattr(const std::string& path, const std::string& attribute,
                        const std::string& value) {
    const int result = ::lsetxattr(path.c_str(), attribute.c_str(), value.data(), value.size(), 0);
    // Small filesystems have little space for attributes, and some do not support all kinds.
    if (result != 0 && errno != ENOSPC && errno != EOPNOTSUPP) {
      base::throw_errno("cannot set " + attribute + " of " + base::quoted(path));
    }
  }

  void set_times(const std::string& path) {
    const std::array<struct timespec, 2> times{
        {{.tv_sec = static_cast<time_t>(below(1U << 31U)), .tv_nsec = 1},
         {.tv_sec = static_cast<time_t>(below(1U << 31U)),
          .tv_nsec = static_cast<long>(below(1000000000))}}};
    check(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW), path);
  }

  static void check(int result, const std::string& path) {
    if (result != 0) {
      base::throw_errno("cannot create " + base::quoted(path));
    }
  }

  std::mt19937_64 random_;
  uint64_t names_ = 0;
  std::vector<std::string> files_;
};

// ---- comparing

class Comparison {
 public:
  explicit Comparison(bool with_holes) : with_holes_(with_holes) {}

  void compare(const std::string& a, const std::string& b) {
    struct stat of_a {};
    struct stat of_b {};
    if (::lstat(a.c_str(), &of_a) != 0 || ::lstat(b.c_str(), &of_b) != 0) {
      differ(a, "one is missing");
      return;
    }
    expect(of_a.st_mode == of_b.st_mode, a, "mode");
    expect(of_a.st_uid == of_b.st_uid && of_a.st_gid == of_b.st_gid, a, "owner");
    expect(
        of_a.st_mtim.tv_sec == of_b.st_mtim.tv_sec && of_a.st_mtim.tv_nsec == of_b.st_mtim.tv_nsec,
        a, "time");
    expect(attributes(a) == attributes(b), a, "attributes");
    if (of_a.st_mode != of_b.st_mode) {
      return;
    }
    if (S_ISDIR(of_a.st_mode)) {
      compare_directories(a, b);
    } else {
      compare_links(of_a, of_b, a);
      if (S_ISREG(of_a.st_mode)) {
        compare_contents(of_a, of_b, a, b);
      } else {
        expect(link_text(a) == link_text(b), a, "text");
      }
    }
  }

  void compare_directories(const std::string& a, const std::string& b) {
    const std::set<std::string> of_a = names(a);
    expect(of_a == names(b), a, "names");
    for (const std::string& name : of_a) {
      compare(a + "/" + name, b + "/" + name);
    }
  }

  int differences() const { return differences_; }

 private:
  void expect(bool is_same, const std::string& path, const char* what) {
    if (!is_same) {
      differ(path, what);
    }
  }
  void differ(const std::string& path, const char* what) {
    ++differences_;
    std::cout << what << " of " << base::quoted(path) << "\n";
  }

  static std::set<std::string> names(const std::string& path) {
    const base::Fd dir = base::open_file(path, O_RDONLY | O_DIRECTORY);
    std::set<std::string> found;
    for (const file::Entry& entry : file::list_directory(dir.get(), path)) {
      found.insert(entry.name);
    }
    return found;
  }

  // The same names must share an inode on both sides.
  void compare_links(const struct stat& a, const struct stat& b, const std::string& path) {
    const auto [known, is_new] = links_.try_emplace({a.st_dev, a.st_ino}, b.st_dev, b.st_ino);
    expect(a.st_nlink == b.st_nlink && known->second == std::pair(b.st_dev, b.st_ino), path,
           "links");
  }

  void compare_contents(const struct stat& of_a, const struct stat& of_b, const std::string& a,
                        const std::string& b) {
    if (of_a.st_size != of_b.st_size) {
      differ(a, "size");
      return;
    }
    const base::Fd fd_a = base::open_file(a, O_RDONLY);
    const base::Fd fd_b = base::open_file(b, O_RDONLY);
    const auto size = static_cast<size_t>(of_a.st_size);
    std::vector<std::byte> data_a(size);
    std::vector<std::byte> data_b(size);
    base::pread_full(fd_a.get(), data_a, 0, a);
    base::pread_full(fd_b.get(), data_b, 0, b);
    expect(data_a == data_b, a, "contents");
    if (with_holes_) {
      expect(data_map(fd_a.get(), of_a.st_size) == data_map(fd_b.get(), of_b.st_size), a, "holes");
    }
  }

  static std::vector<std::pair<off_t, off_t>> data_map(int fd, off_t size) {
    std::vector<std::pair<off_t, off_t>> map;
    for (std::optional<ByteRange> range = file::next_data(fd, 0, size, "file"); range;
         range = file::next_data(fd, range->end, size, "file")) {
      map.emplace_back(range->begin, range->end);
    }
    return map;
  }

  static std::string link_text(const std::string& path) {
    std::array<char, PATH_MAX> text{};
    const ssize_t length = ::readlink(path.c_str(), text.data(), text.size());
    return {text.data(), static_cast<size_t>(std::max<ssize_t>(length, 0))};
  }

  static std::map<std::string, std::string> attributes(const std::string& path) {
    std::array<char, 4096> list{};
    const ssize_t length = ::llistxattr(path.c_str(), list.data(), list.size());
    std::map<std::string, std::string> found;
    for (ssize_t at = 0; at < length;) {
      const std::string name = &list.at(static_cast<size_t>(at));
      at += static_cast<ssize_t>(name.size()) + 1;
      std::array<char, 4096> value{};
      const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
      found[name] = std::string(value.data(), static_cast<size_t>(std::max<ssize_t>(size, 0)));
    }
    return found;
  }

  bool with_holes_;
  int differences_ = 0;
  std::map<std::pair<dev_t, ino_t>, std::pair<dev_t, ino_t>> links_;
};

int run(const std::vector<std::string>& words) {
  if (words.size() == 4 && words[0] == "make") {
    ::umask(0);
    const uint64_t seed = std::stoull(words[2]);
    for (uint64_t i = 0; i < std::stoull(words[3]); ++i) {
      TreeMaker(seed + i).make(words[1] + "/" + std::to_string(i));
    }
    return 0;
  }
  if (words.size() >= 3 && words[0] == "compare") {
    Comparison comparison(words.size() == 3);
    comparison.compare_directories(words[1], words[2]);
    return comparison.differences() == 0 ? 0 : 1;
  }
  if (words.size() == 3 && words[0] == "same") {
    Comparison comparison(false);
    comparison.compare(words[1], words[2]);
    return comparison.differences() == 0 ? 0 : 1;
  }
  std::cerr << "usage: random-tree make DIR SEED COUNT | compare A B [--no-holes] | same A B\n";
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "random-tree: " << error.what() << "\n";
    return 5;
  }
}
