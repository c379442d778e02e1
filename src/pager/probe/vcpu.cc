// SPDX-License-Identifier: Apache-2.0
// A minimal 64-bit KVM guest that loads, stores and copies bytes. x86-64 only.
#include "pager/probe/vcpu.h"

#include <fcntl.h>

#include "base/error.h"
#include "base/fd.h"

#ifdef __x86_64__

#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

namespace pager {
namespace {

constexpr uint64_t kGib = uint64_t{1} << 30U;
// The guest's physical addresses; its page tables map them one to one. The first GiB is for code
// and tables. Byte N of the memory file is at kMemoryAt + N.
constexpr uint64_t kCodeAt = 0;
constexpr uint64_t kPml4At = 0x1000;
constexpr uint64_t kPdptAt = 0x2000;
constexpr uint64_t kTablesAt = 0x3000;
constexpr uint64_t kMemoryAt = kGib;
constexpr uint64_t kMostGib = 511;  // a PDPT maps 512 GiB; the first is for code and tables

// The code of the guest. Each routine has its operands in registers and ends with hlt.
constexpr std::array<uint8_t, 11> kCode{
    0x8a, 0x06, 0xf4,              //  0: mov al, [rsi]
    0x88, 0x06, 0xf4,              //  3: mov [rsi], al
    0xfc, 0xf3, 0x48, 0xa5, 0xf4,  //  6: cld; rep movsq
};
constexpr uint64_t kLoad = kCodeAt;
constexpr uint64_t kStore = kCodeAt + 3;
constexpr uint64_t kCopy = kCodeAt + 6;

base::Fd open_kvm() {
  base::Fd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  const int version = kvm ? ::ioctl(kvm.get(), KVM_GET_API_VERSION, 0) : -1;
  if (version != KVM_API_VERSION) {
    throw base::Unsupported("cannot use --kvm: '/dev/kvm': " +
                            std::string(version < 0 ? std::strerror(errno) : "another version") +
                            "; load the module kvm, or omit --kvm");
  }
  return kvm;
}

template <typename Argument>
void call(int fd, unsigned long request, Argument argument, const char* what) {
  if (::ioctl(fd, request, argument) < 0) {
    base::throw_errno(std::string("cannot ") + what);
  }
}

base::Fd make(int fd, unsigned long request, unsigned long argument, const char* what) {
  base::Fd made(::ioctl(fd, request, argument));
  if (!made) {
    base::throw_errno(std::string("cannot ") + what);
  }
  return made;
}

// A mapping of memory: anonymous and private, or of `fd`.
class Pages {
 public:
  explicit Pages(uint64_t bytes, int fd = -1)
      : bytes_(bytes),
        start_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED, fd, 0)) {
    if (start_ == MAP_FAILED) {
      base::throw_errno("cannot map the memory of a vCPU");
    }
  }
  Pages(Pages&& other) noexcept : bytes_(other.bytes_), start_(other.start_) {
    other.start_ = MAP_FAILED;
  }
  Pages& operator=(Pages&&) = delete;
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() {
    if (start_ != MAP_FAILED) {
      ::munmap(start_, bytes_);
    }
  }
  std::byte* at(uint64_t offset) const { return static_cast<std::byte*>(start_) + offset; }
  void put(uint64_t offset, uint64_t value) const { std::memcpy(at(offset), &value, sizeof value); }

 private:
  uint64_t bytes_;
  void* start_;
};

// Sets up 64-bit mode with flat segments.
void enter_long_mode(kvm_sregs& sregs) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.present = 1;
  segment.s = 1;
  segment.g = 1;
  segment.type = 3;
  segment.selector = 16;
  segment.db = 1;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment;
  segment.type = 11;
  segment.selector = 8;
  segment.db = 0;
  segment.l = 1;
  sregs.cs = segment;
  constexpr uint64_t kProtected = 1;
  constexpr uint64_t kPaging = uint64_t{1} << 31U;
  constexpr uint64_t kPhysicalAddressExtension = 1U << 5U;
  constexpr uint64_t kLongMode = (1U << 8U) | (1U << 10U);                 // enabled and active
  sregs.cr0 = (sregs.cr0 & ~(uint64_t{3} << 29U)) | kProtected | kPaging;  // caches on
  sregs.cr3 = kPml4At;
  sregs.cr4 = kPhysicalAddressExtension;
  sregs.efer = kLongMode;
}

}  // namespace

struct Vcpus::Machine {
  struct Cpu {
    base::Fd fd;
    Pages run;
  };

  Machine(const GuestMemory& memory, const MemoryFile& file, size_t count)
      : page_size(file.page_size()),
        mailboxes(kTablesAt + (file.bytes() / kGib + 2) * hot::kSmallPage),
        own(mailboxes + count * hot::kSmallPage),
        kvm(open_kvm()),
        vm(make(kvm.get(), KVM_CREATE_VM, 0, "create a virtual machine")) {
    if (file.bytes() > kMostGib * kGib) {
      throw base::Unsupported("cannot use --kvm: the memory file is larger than 511 GiB");
    }
    write_tables(file.bytes());
    map(0, 0, reinterpret_cast<uint64_t>(own.at(0)), mailboxes + count * hot::kSmallPage);
    uint32_t slot = 1;
    for (const hot::Region& region : memory.regions()) {
      map(slot++, kMemoryAt + region.offset, region.base, region.size);
    }
    const int run_bytes = ::ioctl(kvm.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
    for (size_t i = 0; i < count; ++i) {
      base::Fd cpu = make(vm.get(), KVM_CREATE_VCPU, i, "create a vCPU");
      kvm_sregs sregs{};
      call(cpu.get(), KVM_GET_SREGS, &sregs, "read a vCPU");
      enter_long_mode(sregs);
      call(cpu.get(), KVM_SET_SREGS, &sregs, "set up a vCPU");
      const int fd = cpu.get();
      cpus.push_back({.fd = std::move(cpu), .run = Pages(static_cast<uint64_t>(run_bytes), fd)});
    }
  }

  // Writes the code, and page tables with 2 MiB pages.
  void write_tables(uint64_t bytes) const {
    constexpr uint64_t kPresentWritable = 3;
    constexpr uint64_t kLarge = 0x80;
    std::memcpy(own.at(kCodeAt), kCode.data(), kCode.size());
    own.put(kPml4At, kPdptAt | kPresentWritable);
    const uint64_t end = kMemoryAt + bytes;
    for (uint64_t gib = 0; gib * kGib < end; ++gib) {
      const uint64_t table = kTablesAt + gib * hot::kSmallPage;
      own.put(kPdptAt + gib * sizeof(uint64_t), table | kPresentWritable);
      for (uint64_t i = 0; i < kGib / hot::kHugePage; ++i) {
        own.put(table + i * sizeof(uint64_t),
                (gib * kGib + i * hot::kHugePage) | kLarge | kPresentWritable);
      }
    }
  }

  void map(uint32_t slot, uint64_t guest_address, uint64_t address, uint64_t bytes) const {
    const kvm_userspace_memory_region region{.slot = slot,
                                             .flags = 0,
                                             .guest_phys_addr = guest_address,
                                             .memory_size = bytes,
                                             .userspace_addr = address};
    call(vm.get(), KVM_SET_USER_MEMORY_REGION, &region, "add memory to a virtual machine");
  }

  // Runs one routine to its hlt.
  void run(size_t index, uint64_t code, uint64_t source, uint64_t destination, uint64_t value) {
    Cpu& cpu = cpus[index];
    kvm_regs registers{};
    registers.rip = code;
    registers.rflags = 2;
    registers.rsi = source;
    registers.rdi = destination;
    registers.rcx = kLine / sizeof(uint64_t);
    registers.rax = value;
    call(cpu.fd.get(), KVM_SET_REGS, &registers, "set the registers of a vCPU");
    while (::ioctl(cpu.fd.get(), KVM_RUN, 0) < 0) {
      if (errno == EFAULT || errno == EHWPOISON) {
        static_cast<void>(::raise(SIGBUS));
      }
      if (errno != EINTR && errno != EAGAIN) {
        base::throw_errno("cannot run a vCPU");
      }
    }
    const auto* const state = reinterpret_cast<const kvm_run*>(cpu.run.at(0));
    if (state->exit_reason == KVM_EXIT_MMIO) {
      // The guest accesses only memory. KVM could not read the page and treats the access as MMIO.
      static_cast<void>(::raise(SIGBUS));
    }
    if (state->exit_reason != KVM_EXIT_HLT) {
      throw base::Error(base::ExitCode::system, "a vCPU stopped unexpectedly: KVM exit reason " +
                                                    std::to_string(state->exit_reason));
    }
  }

  uint64_t address(PageNumber page, size_t at) const { return kMemoryAt + page * page_size + at; }

  // The address to which a vCPU copies.
  uint64_t mailbox(size_t vcpu) const { return mailboxes + vcpu * hot::kSmallPage; }

  uint64_t page_size;
  uint64_t mailboxes;  // after the page tables
  Pages own;
  base::Fd kvm;
  base::Fd vm;
  std::vector<Cpu> cpus;
};

void require_kvm() {
  open_kvm();
}

Vcpus::Vcpus(const GuestMemory& memory, const MemoryFile& file, size_t count)
    : machine_(std::make_unique<Machine>(memory, file, count)) {}

Vcpus::~Vcpus() = default;

void Vcpus::load(size_t vcpu, PageNumber page, size_t at) {
  machine_->run(vcpu, kLoad, machine_->address(page, at), 0, 0);
}

void Vcpus::store(size_t vcpu, PageNumber page, size_t at, std::byte value) {
  machine_->run(vcpu, kStore, machine_->address(page, at), 0, std::to_integer<uint64_t>(value));
}

std::span<const std::byte> Vcpus::read_line(size_t vcpu, PageNumber page, size_t at) {
  const uint64_t mailbox = machine_->mailbox(vcpu);
  machine_->run(vcpu, kCopy, machine_->address(page, at), mailbox, 0);
  return {machine_->own.at(mailbox), kLine};
}

}  // namespace pager

#else

namespace pager {

struct Vcpus::Machine {};

void require_kvm() {
  throw base::Unsupported("cannot use --kvm: it is implemented only for x86-64; omit --kvm");
}
Vcpus::Vcpus(const GuestMemory&, const MemoryFile&, size_t) {
  require_kvm();
}
Vcpus::~Vcpus() = default;
void Vcpus::load(size_t, PageNumber, size_t) {}
void Vcpus::store(size_t, PageNumber, size_t, std::byte) {}
std::span<const std::byte> Vcpus::read_line(size_t, PageNumber, size_t) {
  return {};
}

}  // namespace pager

#endif
