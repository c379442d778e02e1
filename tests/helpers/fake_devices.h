// SPDX-License-Identifier: Apache-2.0
// The host files and sockets that fake-firecracker opens for the devices of a state.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <fstream>
#include <map>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "base/json_object.h"
#include "base/unix_socket.h"
#include "meta/vmstate/vmstate.h"
#include "tests/helpers/fake_faults.h"
#include "tests/helpers/fake_request.h"

class FakeDevices {
 public:
  // Opens what the state names. FAKE_OPENED is a file to which a line `KIND PATH` is appended for
  // each: drive, pmem, vsock; also for each tap, which is not opened. `overrides` and `vsock` are
  // the request's. Throws FakeFatal.
  void open(const meta::vmstate::VmState& state, const std::string& overrides,
            const std::string& vsock) {
    if (!state.paths_problem.empty()) {
      throw FakeFatal(kFailed + state.paths_problem);
    }
    std::map<std::string, std::string> taps = read_overrides(overrides);
    bool has_vsock = false;
    for (const meta::vmstate::EmbeddedText& path : state.paths) {
      if (path.role == meta::vmstate::Role::vsock) {
        has_vsock = true;
        listen_at(vsock.empty() ? path.text : vsock);
      } else {
        open_drive(path);
      }
    }
    for (const meta::vmstate::EmbeddedText& tap : state.taps) {
      const auto found = taps.find(tap.iface_id);
      note("tap", found == taps.end() ? tap.text : found->second);
      taps.erase(tap.iface_id);
    }
    if (!taps.empty()) {
      throw FakeFatal(kNotRead + "Unknown Network Device.");
    }
    if (!vsock.empty() && !has_vsock) {
      throw FakeFatal(kNotRead + "Unknown Vsock Device.");
    }
  }

  // Changes the first byte of each drive that the guest may write to.
  void work() {
    for (const base::Fd& drive : drives_) {
      char byte = 0;
      if (::pread(drive.get(), &byte, 1, 0) == 1) {
        ++byte;
        base::pwrite_full(drive.get(), std::as_bytes(std::span(&byte, 1)), 0, "a drive");
      }
    }
  }

  inline static const std::string kNotRead =
      "Load snapshot error: Failed to restore from snapshot: Failed to get snapshot state from "
      "file: ";

 private:
  inline static const std::string kFailed =
      "Load snapshot error: Failed to restore from snapshot: Failed to build microVM from "
      "snapshot: Failed to restore devices: Error restoring MMIO devices: ";

  static void note(const std::string& kind, const std::string& path) {
    if (const std::string file = fake_setting("FAKE_OPENED"); !file.empty()) {
      std::ofstream(file, std::ios::app) << kind << " " << path << "\n";
    }
  }

  static std::map<std::string, std::string> read_overrides(const std::string& raw) {
    std::map<std::string, std::string> taps;
    if (raw.empty()) {
      return taps;
    }
    const auto elements = base::json_elements(raw);
    if (!elements) {
      FakeRequest::refuse("invalid type of `network_overrides`, expected a sequence");
    }
    for (const std::string_view element : *elements) {
      const FakeRequest entry(element, {"iface_id", "host_dev_name"});
      taps[entry.text("iface_id")] = entry.text("host_dev_name");
    }
    return taps;
  }

  void open_drive(const meta::vmstate::EmbeddedText& path) {
    try {
      base::Fd drive = base::open_file(path.text, path.is_read_only ? O_RDONLY : O_RDWR);
      note(meta::vmstate::role_name(path.role), path.text);
      if (!path.is_read_only) {
        drives_.push_back(std::move(drive));
      }
    } catch (const std::system_error& error) {
      throw FakeFatal(kFailed +
                      "Block: Virtio backend error: Error manipulating the backing file: " +
                      error.code().message() + " " + path.text);
    }
  }

  void listen_at(const std::string& path) {
    vsock_ = base::make_unix_socket();
    const struct sockaddr_un address = base::unix_address(path);
    if (::bind(vsock_.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) !=
            0 ||
        ::listen(vsock_.get(), 1) != 0) {
      throw FakeFatal(kFailed + "VsockUnixBackend: Error binding to the host-side Unix socket: " +
                      std::generic_category().message(errno));
    }
    note("vsock", path);
  }

  std::vector<base::Fd> drives_;  // that the guest may write to
  base::Fd vsock_;
};
