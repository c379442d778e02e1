// SPDX-License-Identifier: Apache-2.0
// Reads the header of a state file, checks its CRC, and adds what search_devices finds.
#include "meta/vmstate/vmstate.h"

#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/little_endian.h"
#include "meta/vmstate/bincode_reader.h"
#include "meta/vmstate/bitcode_reader.h"
#include "meta/vmstate/crc64.h"
#include "meta/vmstate/formats.h"
#include "meta/vmstate/search.h"

namespace meta::vmstate {
namespace {

constexpr const char* kMayBeMemory = "; it may be the memory file";

constexpr uint64_t kMagicX86 = 0x0710198486640000;
constexpr uint64_t kMagicArm = 0x07101984aaaa0000;
constexpr size_t kMagicBytes = 8;
constexpr size_t kCrcBytes = 8;
// In bitcode a selector byte precedes the magic number, which is a column of one u64 of full width.
constexpr size_t kBitcodeMagicAt = 1;

// The steps and bytes that the header may use: a few steps, and the bytes of its strings.
constexpr uint64_t kHeaderBudget = uint64_t{1} << 24U;

// 64 TiB, more than any host has. In bytes it does not overflow an int64_t.
constexpr uint64_t kMaxMemoryMib = uint64_t{1} << 26U;

// VIRTIO_BLK_F_RO of the virtio specification. Firecracker opens the file of a drive with it for
// reading only.
constexpr uint64_t kBlockReadOnly = uint64_t{1} << 5U;

std::optional<Arch> arch_at(std::string_view bytes, size_t offset) {
  if (bytes.size() < offset + kMagicBytes) {
    return std::nullopt;
  }
  const uint64_t magic = base::read_little_endian(bytes.substr(offset, kMagicBytes));
  return magic == kMagicX86   ? std::optional(Arch::x86_64)
         : magic == kMagicArm ? std::optional(Arch::aarch64)
                              : std::nullopt;
}

// Whether `text` is a version such as "10.0.0". The letters allow a suffix such as "-alpha",
// "-beta", "-dev", "-rc" or a commit in hexadecimal.
bool is_version(std::string_view text) {
  const size_t digits = text.find_first_not_of("0123456789");
  return digits > 0 && digits < text.size() && text[digits] == '.' &&
         text.find_first_not_of("0123456789.abcdeflphrtv-") == std::string_view::npos;
}

PageSize page_size_of(uint64_t variant, PageSizes sizes) {
  if (variant == 0) {
    return PageSize::normal;
  }
  return sizes == PageSizes::none_transparent_2m && variant == 1 ? PageSize::transparent
                                                                 : PageSize::huge_2m;
}

EmbeddedText embedded_text(std::string_view bytes, const Field& part) {
  return {.role = part.role,
          .text = std::string(bytes.substr(part.offset, part.value)),
          .offset = part.offset,
          .lengths_at = part.lengths_at};
}

// The state without its CRC.
std::string_view body_of(std::string_view bytes) {
  return bytes.substr(0, std::max(bytes.size(), kCrcBytes) - kCrcBytes);
}

// Sets the members of `state` that the parts of its devices determine.
void add_devices(std::string_view bytes, const std::vector<Field>& fields, VmState& state) {
  std::string_view iface_id;
  for (const Field& part : fields) {
    switch (part.role) {
      case Role::hotplug_bytes:
        state.hotplug_bytes = part.value;
        break;
      case Role::pmem_bytes:
        state.pmem_bytes.push_back(part.value);
        break;
      case Role::balloon:
        state.has_balloon = true;
        break;
      case Role::drive_features:
        state.paths.back().is_read_only = (part.value & kBlockReadOnly) != 0;
        break;
      case Role::pmem_read_only:
        state.paths.back().is_read_only = part.value != 0;
        break;
      case Role::iface_id:
        iface_id = bytes.substr(part.offset, part.value);
        break;
      case Role::tap:
        state.taps.push_back(embedded_text(bytes, part));
        state.taps.back().iface_id = iface_id;
        break;
      default:
        state.paths.push_back(embedded_text(bytes, part));
    }
  }
  std::ranges::stable_sort(state.paths, {}, &EmbeddedText::offset);
}

}  // namespace

VmState parse_vmstate(std::string_view bytes, std::string_view name) {
  const auto refuse = [&](const std::string& why) {
    throw base::BadData("cannot read vmstate " + base::quoted(name) + ": " + why);
  };
  if (bytes.empty()) {
    refuse("it is empty");
  }
  VmState state;
  std::optional<Arch> arch = arch_at(bytes, 0);
  if (!arch && bytes[0] == '\0') {
    arch = arch_at(bytes, kBitcodeMagicAt);
    state.encoding = Encoding::bitcode;
  }
  if (!arch) {
    refuse(std::string("it does not start with the magic number of a Firecracker state file") +
           kMayBeMemory);
  }
  state.arch = *arch;
  state.crc_ok = crc64(bytes) == 0;

  TypeArena arena;
  const Type* header = header_type(arena);
  Budget budget{.left = kHeaderBudget};
  std::vector<Field> found;
  const std::string_view body = bytes.substr(0, std::max(bytes.size(), kCrcBytes) - kCrcBytes);
  const std::optional<size_t> end = state.encoding == Encoding::bincode
                                        ? read_bincode(body, 0, *header, budget, found)
                                        : BitcodeReader(*header).read(body, 0, budget, found);
  if (!end) {
    refuse("it is truncated, or a Firecracker release before 1.10 wrote it");
  }
  state.header_bytes = *end;
  uint64_t page_size_variant = 0;
  for (const Field& part : found) {
    const auto text = [&] { return std::string(bytes.substr(part.offset, part.value)); };
    if (part.role == Role::version) {
      state.snapshot_version = text();
    } else if (part.role == Role::mem_size_mib) {
      state.mem_size_mib = part.value;
    } else if (part.role == Role::kernel || part.role == Role::initrd) {
      (part.role == Role::kernel ? state.kernel_path : state.initrd_path.emplace()) = text();
      state.boot_paths.push_back(embedded_text(bytes, part));
    } else if (part.role == Role::boot_args) {
      state.boot_args = text();
    } else if (part.role == Role::huge_pages) {
      page_size_variant = part.value;
    }
  }
  if (!is_version(state.snapshot_version)) {
    refuse("it has no snapshot version");
  }
  if (state.mem_size_mib == 0 || state.mem_size_mib > kMaxMemoryMib) {
    refuse("its memory size is " + std::to_string(state.mem_size_mib) + " MiB");
  }
  state.page_size = page_size_of(page_size_variant, format_like(state.snapshot_version).page_sizes);
  return state;
}

void read_devices(std::string_view bytes, VmState& state) {
  const std::optional<FoundDevices> found = search_devices(
      body_of(bytes), state.header_bytes, state.snapshot_version, state.encoding, state.arch);
  if (!found) {
    state.paths_problem = "the devices of snapshot version " +
                          base::quoted(state.snapshot_version) + " cannot be read";
    return;
  }
  state.paths_problem.clear();
  state.layout_is_assumed = found->is_assumed;
  state.devices_at = found->offset;
  state.layout = found->layout;
  add_devices(bytes, found->fields, state);
}

void read_devices_like(std::string_view bytes, const VmState& like, VmState& state) {
  const std::optional<std::vector<Field>> fields =
      read_devices_at(body_of(bytes), like.devices_at, like.layout, like.encoding, like.arch);
  if (!fields) {
    state.paths_problem = "its devices cannot be read";
    return;
  }
  state.paths_problem.clear();
  state.layout_is_assumed = like.layout_is_assumed;
  state.devices_at = like.devices_at;
  state.layout = like.layout;
  add_devices(bytes, *fields, state);
}

std::string read_vmstate_file(const std::string& path) {
  // The usual mistake is to name the memory file.
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) &&
      st.st_size > static_cast<off_t>(kMaxVmStateBytes)) {
    throw base::BadData("cannot read vmstate " + base::quoted(path) + ": its size is " +
                        std::to_string(st.st_size) + " bytes, and a state file has at most " +
                        std::to_string(kMaxVmStateBytes) + " bytes" + kMayBeMemory);
  }
  return base::read_file(path, kMaxVmStateBytes);
}

std::optional<VmState> try_read_vmstate(const std::string& path) {
  try {
    const std::string bytes = read_vmstate_file(path);
    VmState state = parse_vmstate(bytes, path);
    read_devices(bytes, state);
    return state;
  } catch (const base::BadData&) {
    return std::nullopt;
  } catch (const std::system_error&) {
    return std::nullopt;
  }
}

std::string assumed_layout_warning(const VmState& state) {
  return state.layout_is_assumed
             ? "the layout of snapshot version " + base::quoted(state.snapshot_version) +
                   " is assumed to be that of an older one; compare the paths with those of the "
                   "machine"
             : "";
}

const char* page_size_name(PageSize size) {
  switch (size) {
    case PageSize::huge_2m:
      return "2M";
    case PageSize::transparent:
      return "transparent";
    default:
      return "none";
  }
}

const char* encoding_name(Encoding encoding) {
  return encoding == Encoding::bincode ? "bincode" : "bitcode";
}

const char* arch_name(Arch arch) {
  return arch == Arch::x86_64 ? "x86_64" : "aarch64";
}

const char* role_name(Role role) {
  switch (role) {
    case Role::drive:
      return "drive";
    case Role::vhost_user_block:
      return "vhost-user-block";
    case Role::pmem:
      return "pmem";
    case Role::vsock:
      return "vsock";
    case Role::tap:
      return "tap";
    case Role::kernel:
      return "kernel";
    case Role::initrd:
      return "initrd";
    default:
      return "other";
  }
}

}  // namespace meta::vmstate
