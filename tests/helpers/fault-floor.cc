// SPDX-License-Identifier: Apache-2.0
// The floor of a demand fault: a minimal page server, and a client that measures any page server.
//
// Uses system calls only, no code of the page server, so that both sides of a comparison are
// independent of it.
//
//   fault-floor serve SOCKET MEMORY mapped|read    polls, reads one message, copies one page
//   fault-floor touch SOCKET MEMORY PAGES [PID [FILE]]
//
// `touch` plays Firecracker: it sends its userfaultfd, touches PAGES random pages once each, and
// compares them with MEMORY. It prints one JSON object: mean, median and 99th percentile of the
// time of a touch, and the time on a core that all threads of PID took for each touch. FILE gets
// the time of each touch in ns, one per line.
#include <dirent.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr uint64_t kPage = 4096;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(5);
}

// Passes on the result of a system call, unless it failed.
template <typename Result>
Result check(Result result, const char* what) {
  if (result < 0) {
    fail(what);
  }
  return result;
}

uint64_t now_ns() {
  constexpr uint64_t kSecond = 1'000'000'000;
  struct timespec now {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
}

struct File {
  int fd = -1;
  uint64_t size = 0;
  const char* bytes = nullptr;
};

File open_memory(const char* path) {
  File file;
  file.fd = check(::open(path, O_RDONLY | O_CLOEXEC), path);
  struct stat st {};
  check(::fstat(file.fd, &st), path);
  file.size = static_cast<uint64_t>(st.st_size);
  void* mapped = ::mmap(nullptr, file.size, PROT_READ, MAP_SHARED, file.fd, 0);
  if (mapped == MAP_FAILED) {
    fail(path);
  }
  file.bytes = static_cast<const char*>(mapped);
  return file;
}

struct sockaddr_un address_of(const char* path) {
  struct sockaddr_un address {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  return address;
}

// A message of one byte range and room for one descriptor.
struct Packet {
  std::array<char, 4096> text{};
  alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  struct iovec where {};
  struct msghdr header {};

  explicit Packet(size_t length) {
    where = {.iov_base = text.data(), .iov_len = length};
    header.msg_iov = &where;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
};

// Receives the handshake of a VMM with one region. Returns its userfaultfd.
int receive_uffd(int socket, uint64_t& base) {
  Packet packet(4095);
  check(::recvmsg(socket, &packet.header, MSG_CMSG_CLOEXEC), "recvmsg");
  constexpr const char* kKey = "\"base_host_virt_addr\":";
  const char* found = std::strstr(packet.text.data(), kKey);
  const struct cmsghdr* control = CMSG_FIRSTHDR(&packet.header);
  if (found == nullptr || control == nullptr) {
    std::fputs("fault-floor: not a handshake\n", stderr);
    std::exit(4);
  }
  base = std::strtoull(found + std::strlen(kKey), nullptr, 10);
  int uffd = -1;
  std::memcpy(&uffd, CMSG_DATA(control), sizeof uffd);
  return uffd;
}

void serve_one(int socket, const File& file, bool mapped) {
  uint64_t base = 0;
  const int uffd = receive_uffd(socket, base);
  std::array<struct pollfd, 2> fds{
      {{.fd = uffd, .events = POLLIN, .revents = 0}, {.fd = socket, .events = 0, .revents = 0}}};
  alignas(kPage) static std::array<char, kPage> page;
  while (::poll(fds.data(), fds.size(), -1) > 0 && fds[1].revents == 0) {
    struct uffd_msg message {};
    if (::read(uffd, &message, sizeof message) != sizeof message) {
      continue;
    }
    const uint64_t address = message.arg.pagefault.address & ~(kPage - 1);
    const char* source = file.bytes + (address - base);
    if (!mapped) {
      check(::pread(file.fd, page.data(), kPage, static_cast<off_t>(address - base)), "pread");
      source = page.data();
    }
    struct uffdio_copy copy {};
    copy.dst = address;
    copy.src = reinterpret_cast<uintptr_t>(source);
    copy.len = kPage;
    check(::ioctl(uffd, UFFDIO_COPY, &copy), "UFFDIO_COPY");
  }
  ::close(uffd);
  ::close(socket);
}

[[noreturn]] void serve(const char* path, const File& file, bool mapped) {
  const int listener = check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const struct sockaddr_un address = address_of(path);
  ::unlink(path);
  check(::bind(listener, reinterpret_cast<const struct sockaddr*>(&address), sizeof address), path);
  check(::listen(listener, 16), path);
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    serve_one(check(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept"), file, mapped);
  }
}

int connect_to(const char* path) {
  const int socket = check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const struct sockaddr_un address = address_of(path);
  check(::connect(socket, reinterpret_cast<const struct sockaddr*>(&address), sizeof address),
        path);
  return socket;
}

int make_uffd(const char* base, uint64_t size) {
  const int uffd =
      check(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)), "userfaultfd");
  struct uffdio_api api {};
  api.api = UFFD_API;
  api.features = UFFD_FEATURE_EVENT_REMOVE;
  check(::ioctl(uffd, UFFDIO_API, &api), "UFFDIO_API");
  struct uffdio_register registration {};
  registration.range = {.start = reinterpret_cast<uintptr_t>(base), .len = size};
  registration.mode = UFFDIO_REGISTER_MODE_MISSING;
  check(::ioctl(uffd, UFFDIO_REGISTER, &registration), "UFFDIO_REGISTER");
  return uffd;
}

void send_handshake(int socket, int uffd, const char* base, uint64_t size) {
  Packet packet(0);
  const int length = std::snprintf(
      packet.text.data(), packet.text.size(),
      R"([{"base_host_virt_addr":%llu,"size":%llu,"offset":0,"page_size":4096,"page_size_kib":4096}])",
      static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(base)),
      static_cast<unsigned long long>(size));
  packet.where.iov_len = static_cast<size_t>(length);
  struct cmsghdr* control = CMSG_FIRSTHDR(&packet.header);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof uffd);
  std::memcpy(CMSG_DATA(control), &uffd, sizeof uffd);
  check(::sendmsg(socket, &packet.header, 0), "sendmsg");
}

// The ns on a core of all threads of a process.
uint64_t cpu_ns(const std::string& pid) {
  uint64_t total = 0;
  const std::string tasks = "/proc/" + pid + "/task";
  DIR* dir = ::opendir(tasks.c_str());
  if (dir == nullptr) {
    fail(tasks.c_str());
  }
  while (const struct dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] == '.') {
      continue;  // ".." also has a schedstat
    }
    std::FILE* file = std::fopen((tasks + "/" + entry->d_name + "/schedstat").c_str(), "re");
    unsigned long long ns = 0;
    if (file != nullptr) {
      total += std::fscanf(file, "%llu", &ns) == 1 ? ns : 0;
      std::fclose(file);
    }
  }
  ::closedir(dir);
  return total;
}

void write_times(const char* path, const std::vector<uint64_t>& times) {
  std::FILE* file = std::fopen(path, "we");
  if (file == nullptr) {
    fail(path);
  }
  for (const uint64_t ns : times) {
    std::fprintf(file, "%llu\n", static_cast<unsigned long long>(ns));
  }
  if (std::fclose(file) != 0) {
    fail(path);
  }
}

int touch(const char* path, const File& file, size_t pages, const char* pid, const char* times) {
  void* memory =
      ::mmap(nullptr, file.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    fail("mmap");
  }
  const char* base = static_cast<const char*>(memory);
  const int uffd = make_uffd(base, file.size);
  std::vector<uint64_t> order(file.size / kPage);
  for (uint64_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  std::ranges::shuffle(order, std::mt19937_64(1));
  order.resize(std::min(order.size(), pages + 1));
  std::vector<uint64_t> took(order.size());
  send_handshake(connect_to(path), uffd, base, file.size);
  // The first touch waits until the server has taken the handshake. It does not count.
  static_cast<void>(*static_cast<const volatile char*>(base + order[0] * kPage));
  const uint64_t cpu_before = pid != nullptr ? cpu_ns(pid) : 0;
  const uint64_t start = now_ns();
  uint64_t before = start;
  for (size_t i = 1; i < order.size(); ++i) {
    static_cast<void>(*static_cast<const volatile char*>(base + order[i] * kPage));
    const uint64_t now = now_ns();
    took[i] = now - before;
    before = now;
  }
  const uint64_t cpu = pid != nullptr ? cpu_ns(pid) - cpu_before : 0;
  for (const uint64_t page : order) {
    if (std::memcmp(base + page * kPage, file.bytes + page * kPage, kPage) != 0) {
      std::fprintf(stderr, "fault-floor: page %llu is wrong\n",
                   static_cast<unsigned long long>(page));
      return 1;
    }
  }
  took.erase(took.begin());
  if (times != nullptr) {
    write_times(times, took);
  }
  const uint64_t count = took.size();
  std::ranges::sort(took);
  std::printf("{\"pages\":%llu,\"mean_ns\":%llu,\"p50_ns\":%llu,\"p99_ns\":%llu,\"cpu_ns\":%llu}\n",
              static_cast<unsigned long long>(count),
              static_cast<unsigned long long>((before - start) / count),
              static_cast<unsigned long long>(took[count / 2]),
              static_cast<unsigned long long>(took[count * 99 / 100]),
              static_cast<unsigned long long>(cpu / count));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "serve" && argc == 5) {
    serve(argv[2], open_memory(argv[3]), std::string(argv[4]) == "mapped");
  }
  if (verb == "touch" && argc >= 5 && argc <= 7) {
    return touch(argv[2], open_memory(argv[3]), std::strtoul(argv[4], nullptr, 10),
                 argc > 5 ? argv[5] : nullptr, argc > 6 ? argv[6] : nullptr);
  }
  std::fputs(
      "Usage: fault-floor serve SOCKET MEMORY mapped|read\n"
      "       fault-floor touch SOCKET MEMORY PAGES [PID [FILE]]\n",
      stderr);
  return 2;
}
