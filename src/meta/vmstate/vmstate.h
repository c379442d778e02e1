// SPDX-License-Identifier: Apache-2.0
// What a Firecracker state file (vmstate) says, of any release since 1.10, without Firecracker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "meta/vmstate/layout.h"

namespace meta {

// What Firecracker itself accepts (1.14: 10 MiB; later 10 000 000 bytes).
inline constexpr size_t kMaxVmStateBytes = size_t{10} << 20U;

enum class PageSize { normal, huge_2m, transparent };

// A text of the host in a state: where its bytes stand, and what it is.
struct EmbeddedText {
  Role role;  // drive, vhost_user_block, pmem, vsock, tap; kernel, initrd
  std::string text;
  size_t offset;
  size_t lengths_at;  // offset of its length; in bitcode: of the lengths of its whole column
};

struct VmState {
  Encoding encoding = Encoding::bincode;
  Arch arch = Arch::x86_64;
  std::string snapshot_version;  // of the format, such as "10.0.0"
  bool crc_ok = false;
  uint64_t mem_size_mib = 0;
  PageSize page_size = PageSize::normal;
  std::string kernel_path;
  std::optional<std::string> initrd_path;
  std::optional<std::string> boot_args;
  std::vector<EmbeddedText> boot_paths;  // kernel and initrd: no load opens them

  // The following only from read_devices.
  std::vector<EmbeddedText> paths;  // in the order of their offsets
  std::vector<EmbeddedText> taps;
  // Why there may be others: the version, or the layout of the devices, is not known. Empty when
  // these are all.
  std::string paths_problem = "its devices have not been looked at";
  bool has_balloon = false;
  std::vector<uint64_t> pmem_bytes;  // sizes of the pmem devices, in the order of their paths
  uint64_t hotplug_bytes = 0;        // of a virtio-mem device: the memory file is longer by as much
};

// Reads the beginning of `bytes`, a whole state file, and checks its CRC (the answer is in crc_ok).
// Throws base::BadData "cannot read vmstate 'NAME': why" when it is no state of Firecracker.
VmState parse_vmstate(std::string_view bytes, std::string_view name);
// Adds what the devices say. The part before them depends on host and guest, so they are looked
// for: wherever a reading of the layout of that version ends exactly where the CRC begins. Only if
// all such readings agree is the answer complete.
void read_devices(std::string_view bytes, VmState& state);

// The bytes of a state file. Throws std::system_error; base::BadData for an empty one, or one
// longer than kMaxVmStateBytes.
std::string read_vmstate_file(const std::string& path);

// "none", "2M", "transparent"; "bincode", "bitcode"; "x86_64", "aarch64"; "drive", "vsock", ...
const char* page_size_name(PageSize size);
const char* encoding_name(Encoding encoding);
const char* arch_name(Arch arch);
const char* role_name(Role role);

// Whether `path` does not lie under `own_dir` (absolute, without a slash at the end).
bool is_foreign_path(std::string_view path, std::string_view own_dir);
// Whether loading this state opens host paths that do not lie under `own_dir` (absolute, without a
// slash at the end), as far as is known; true when it is not.
bool names_foreign_paths(const VmState& state, std::string_view own_dir);

}  // namespace meta
