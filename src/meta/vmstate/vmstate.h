// SPDX-License-Identifier: Apache-2.0
// Reads Firecracker state files (vmstate) of any release since 1.10, without Firecracker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "meta/vmstate/layout.h"

namespace meta::vmstate {

// The largest state that Firecracker accepts (1.14: 10 MiB; later releases: 10 000 000 bytes).
inline constexpr size_t kMaxVmStateBytes = size_t{10} << 20U;

// An x86 guest with more memory than this, in MiB, has two memory regions.
inline constexpr uint64_t kOneRegionMib = 3072;

enum class PageSize { normal, huge_2m, transparent };

// A path or name of the host in a state file, with the position of its bytes.
struct EmbeddedText {
  Role role;  // drive, vhost_user_block, pmem, vsock, tap; kernel, initrd
  std::string text;
  size_t offset;
  size_t lengths_at;  // offset of its length; in bitcode, of the lengths of its whole column
  bool is_read_only = false;  // of a drive or pmem: Firecracker opens the file for reading only
  std::string iface_id{};     // of a tap: the interface's name in Firecracker's API
};

struct VmState {
  Encoding encoding = Encoding::bincode;
  Arch arch = Arch::x86_64;
  std::string snapshot_version;  // version of the format, such as "10.0.0"
  bool crc_ok = false;
  uint64_t mem_size_mib = 0;
  PageSize page_size = PageSize::normal;
  std::string kernel_path;
  std::optional<std::string> initrd_path;
  std::optional<std::string> boot_args;
  std::vector<EmbeddedText> boot_paths;  // kernel and initrd; loading the state does not open them

  size_t header_bytes = 0;  // length of the header

  // read_devices sets the following members.
  std::vector<EmbeddedText> paths;  // ordered by offset
  std::vector<EmbeddedText> taps;
  // Why `paths` may be incomplete: the snapshot version or the layout of the devices is not known.
  // Empty if `paths` is complete.
  std::string paths_problem = "its devices have not been read";
  // The devices fit a known layout, but it is not known that this snapshot version has it.
  bool layout_is_assumed = false;
  size_t devices_at = 0;  // offset of the devices
  Layout layout = Layout::v1_10;
  bool has_balloon = false;
  std::vector<uint64_t> pmem_bytes;  // sizes of the pmem devices, in the order of their paths
  uint64_t hotplug_bytes = 0;  // of a virtio-mem device; the memory file is longer by this amount
};

// Reads the header of `bytes`, a whole state file, and checks the CRC (crc_ok has the result).
// Throws base::BadData "cannot read vmstate 'NAME': why" if `bytes` is not a Firecracker state.
VmState parse_vmstate(std::string_view bytes, std::string_view name);
// Adds the facts of the devices, which search_devices finds. If it finds none, or readings that
// disagree, paths_problem has the reason.
void read_devices(std::string_view bytes, VmState& state);
// The same without a search, for a copy of the state `like` in which only strings of the devices
// differ: its devices have the same layout and offset.
void read_devices_like(std::string_view bytes, const VmState& like, VmState& state);

// The bytes of a state file. Throws std::system_error, and base::BadData for a file that is empty
// or longer than kMaxVmStateBytes.
std::string read_vmstate_file(const std::string& path);
// The state in the file `path`, with its devices. Returns nothing if the file cannot be read or is
// not a state. For callers whose user gets that error from another check.
std::optional<VmState> try_read_vmstate(const std::string& path);

// The warning about a state whose layout is assumed, without the name of the file; "" for others.
std::string assumed_layout_warning(const VmState& state);

// "none", "2M", "transparent"; "bincode", "bitcode"; "x86_64", "aarch64"; "drive", "vsock", ...
const char* page_size_name(PageSize size);
const char* encoding_name(Encoding encoding);
const char* arch_name(Arch arch);
const char* role_name(Role role);

}  // namespace meta::vmstate
