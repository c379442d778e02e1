// SPDX-License-Identifier: Apache-2.0
// Writes a synthetic state file, for tests that need a small memory, or paths that no fixture has.
//
// VERSION is that of a snapshot format. If no release has it, the layout of the newest one is used.
//| write-vmstate FILE VERSION MIB [drive=PATH|ro-drive=PATH|vhost-user=PATH|pmem=PATH|ro-pmem=PATH|
//|                               vsock=PATH|tap=NAME|pmem-bytes=N|balloon=1|boot-args=TEXT|huge-pages=2M]...
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>

#include "tests/unit/meta/vmstate_writer.h"

namespace {

// A real file also has zeros before the devices.
std::string filler() {
  return "kvm\xff" + std::string(1000, '\0') + "\xff\xfe\x80";
}

int run(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: write-vmstate FILE VERSION MIB [KIND=TEXT]...\n";
    return 2;
  }
  StatePlan plan{.version = argv[2]};
  plan.release = kWriterReleases.back().name;
  for (const ReleaseFacts& release : kWriterReleases) {
    if (release.version == *plan.version) {
      plan.release = release.name;  // the newest of these, because 8.0.0 has two
    }
  }
  plan.mem_size_mib = std::stoull(argv[3]);
  for (int i = 4; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string kind = argument.substr(0, equals);
    const std::string text = argument.substr(equals + 1);
    if (kind == "drive") {
      plan.drives.push_back(text);
    } else if (kind == "ro-drive") {
      plan.read_only_drives.insert(plan.drives.size());
      plan.drives.push_back(text);
    } else if (kind == "ro-pmem") {
      plan.read_only_pmems.insert(plan.pmems.size());
      plan.pmems.push_back(text);
    } else if (kind == "boot-args") {
      plan.boot_args = text;
    } else if (kind == "huge-pages") {
      plan.huge_pages = 1;  // the index of 2M before 11.0.0
    } else if (kind == "vhost-user") {
      plan.vhost_users.push_back(text);
    } else if (kind == "tap") {
      plan.taps.push_back(text);
    } else if (kind == "vsock") {
      plan.vsock = text;
    } else if (kind == "pmem") {
      plan.pmems.push_back(text);
    } else if (kind == "pmem-bytes") {
      plan.pmem_bytes = std::stoull(text);
    } else if (kind == "balloon") {
      plan.balloon = true;
    } else {
      std::cerr << "unknown kind: " << kind << "\n";
      return 2;
    }
  }
  std::ofstream out(argv[1], std::ios::binary | std::ios::trunc);
  out << make_state(plan, filler());
  out.close();
  return out ? 0 : 5;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "write-vmstate: " << error.what() << "\n";
    return 1;
  }
}
