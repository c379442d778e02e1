// SPDX-License-Identifier: Apache-2.0
// The machine that fake-firecracker plays: what each request does, and in which state it is
// allowed.
#pragma once

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/json_line.h"
#include "base/number.h"
#include "meta/vmstate/formats.h"
#include "meta/vmstate/vmstate.h"
#include "tests/helpers/fake_devices.h"
#include "tests/helpers/fake_faults.h"
#include "tests/helpers/fake_memory.h"
#include "tests/helpers/fake_release.h"
#include "tests/helpers/fake_request.h"

struct FakeReply {
  unsigned status = 204;
  std::string body{};
  bool is_last = false;  // the process exits once the reply is sent
  int exit_status = 0;
};

class FakeMachine {
 public:
  FakeMachine(FakeRelease release, std::string id) : release_(release), id_(std::move(id)) {}

  FakeReply handle(std::string_view method, std::string_view path, const std::string& body) {
    try {
      return dispatch(std::string(method) + " " + std::string(path), body);
    } catch (const FakeFatal& refusal) {
      return {.status = 400, .body = fault(refusal.what()), .is_last = true, .exit_status = 1};
    } catch (const std::exception& refusal) {
      return {.status = 400, .body = fault(refusal.what())};
    }
  }

 private:
  enum class Phase { not_started, paused, running };

  FakeReply dispatch(const std::string& request, const std::string& body) {
    if (request == "GET /version") {
      return ok(base::JsonLine().text("firecracker_version", release_.text()));
    }
    if (request == "GET /") {
      return ok(base::JsonLine()
                    .text("id", id_)
                    .text("state", phase_name())
                    .text("vmm_version", release_.text())
                    .text("app_name", "Firecracker"));
    }
    if (request == "GET /machine-config") {
      return ok(base::JsonLine()
                    .number("vcpu_count", 1)
                    .number("mem_size_mib", static_cast<int64_t>(mem_size_mib_))
                    .boolean("smt", false)
                    .boolean("track_dirty_pages", tracks_)
                    .text("huge_pages", "None"));
    }
    if (request == "GET /mmds") {
      return {.status = 200, .body = mmds_};
    }
    if (request == "PUT /mmds" || request == "PATCH /mmds") {
      return put_mmds(body);
    }
    if (request == "PUT /machine-config" || request == "PATCH /machine-config") {
      const FakeRequest fields(body, {"vcpu_count", "mem_size_mib", "smt", "cpu_template",
                                      "track_dirty_pages", "huge_pages"});
      if (request.starts_with("PUT")) {
        fields.raw("vcpu_count");
        fields.raw("mem_size_mib");
      }
      require_not_started();
      configured_ = true;
      return {};
    }
    if (request == "PUT /logger" || request == "PUT /metrics") {
      require_not_started();
      return {};
    }
    if (request == "PUT /snapshot/load") {
      return load(body);
    }
    if (request == "PUT /snapshot/create") {
      return create(body);
    }
    if (request == "PATCH /vm") {
      return change_state(body);
    }
    if (request == "PUT /actions") {
      return act(body);
    }
    const size_t slash = request.find('/');
    throw FakeRefusal("Invalid request method and/or path: " + request.substr(0, slash) +
                      request.substr(slash + 1) + ".");
  }

  FakeReply load(const std::string& body) {
    const FakeRequest request(body, release_.load_fields());
    const bool by_path = request.has("mem_file_path");
    if (by_path == request.has("mem_backend")) {
      FakeRequest::refuse(by_path ? "too many fields: either `mem_backend` or `mem_file_path` "
                                    "exclusively is required"
                                  : "missing field: either `mem_backend` or `mem_file_path` is "
                                    "required");
    }
    const FakeRequest backend(
        by_path ? R"({"backend_type":"File","backend_path":)" + request.raw("mem_file_path") + "}"
                : request.raw("mem_backend"),
        {"backend_path", "backend_type"});
    const bool by_uffd = backend.choice("backend_type", {"File", "Uffd"}) == "Uffd";
    const std::string memory_path = backend.text("backend_path");
    const std::string state_path = request.text("snapshot_path");
    const bool clock = request.boolean("clock_realtime", false);
    const bool resume = request.boolean("resume_vm", false);
    tracks_ = request.boolean("track_dirty_pages", false) ||
              request.boolean("enable_diff_snapshots", false);
    require_not_started();
    if (configured_) {
      throw FakeRefusal(
          "Load snapshot error: Loading a microVM snapshot not allowed after configuring "
          "boot-specific resources.");
    }
    maybe_stop_at("load");
    if (fails("load")) {
      throw FakeFatal("Load snapshot error: Failed to restore from snapshot: FAKE_FAIL");
    }
    if (clock && fails("clock")) {
      throw FakeFatal(
          "Load snapshot error: Failed to restore from snapshot: Failed to build microVM from "
          "snapshot: Failed to restore microVM state: clock_realtime requested but not present in "
          "the "
          "snapshot state");
    }
    const meta::vmstate::VmState state = read_state(state_path);
    open_memory(state, by_uffd, memory_path);
    devices_.open(state, request.has("network_overrides") ? request.raw("network_overrides") : "",
                  request.has("vsock_override")
                      ? FakeRequest(request.raw("vsock_override"), {"uds_path"}).text("uds_path")
                      : "");
    mmds_ = "{}";
    phase_ = Phase::paused;
    if (resume) {
      run();
    }
    return {};
  }

  // Keeps the bytes of the state: create writes them again.
  meta::vmstate::VmState read_state(const std::string& path) {
    try {
      state_bytes_ = meta::vmstate::read_vmstate_file(path);
      meta::vmstate::VmState state = meta::vmstate::parse_vmstate(state_bytes_, path);
      meta::vmstate::read_devices(state_bytes_, state);
      if (!state.crc_ok) {
        throw base::BadData("Failed to load snapshot state from file: CRC64 validation failed");
      }
      if (!meta::vmstate::versions_loaded_by(release_.number).includes(state.snapshot_version)) {
        throw base::BadData("Failed to load snapshot state from file: Invalid data version: " +
                            state.snapshot_version);
      }
      return state;
    } catch (const std::exception& error) {
      throw FakeFatal(FakeDevices::kNotRead + error.what());
    }
  }

  void open_memory(const meta::vmstate::VmState& state, bool by_uffd, const std::string& path) {
    mem_size_mib_ = state.mem_size_mib;
    const bool huge = state.page_size == meta::vmstate::PageSize::huge_2m;
    const size_t regions = state.mem_size_mib > meta::vmstate::kOneRegionMib ? 2 : 1;
    memory_ = std::make_unique<FakeMemory>((state.mem_size_mib << 20U) + state.hotplug_bytes,
                                           huge ? hot::kHugePage : hot::kSmallPage, regions);
    if (by_uffd) {
      memory_->serve_from(path, release_.keeps_handshake_open());
    } else {
      memory_->map(path);
    }
    memory_->touch(0);  // Firecracker writes to the guest's memory during a load
  }

  // What the guest does whenever it is resumed. FAKE_VERIFY: it compares its memory with that file,
  // the first time. FAKE_WORK: it writes to that number of pages, and to its drives.
  void run() {
    phase_ = Phase::running;
    if (const std::string file = fake_setting("FAKE_VERIFY"); !file.empty() && !verified_) {
      verified_ = true;
      if (const auto page = memory_->compare(file)) {
        std::cout << "fake-firecracker: page " << *page << " differs from " << file << std::endl;
        std::exit(1);
      }
    }
    if (const auto pages = base::parse_number<uint64_t>(fake_setting("FAKE_WORK"))) {
      memory_->work(*pages);
      devices_.work();
    }
    std::cout << "fake-firecracker: resumed" << std::endl;
    if (wants_reboot_) {
      std::exit(0);
    }
  }

  FakeReply create(const std::string& body) {
    const FakeRequest request(body, release_.create_fields());
    const bool diff =
        request.has("snapshot_type") && request.choice("snapshot_type", {"Diff", "Full"}) == "Diff";
    const std::string state_path = request.text("snapshot_path");
    const std::string memory_path = request.text("mem_file_path");
    request.boolean("sync_snapshot_files", true);
    require_started();
    if (phase_ == Phase::running) {
      throw FakeRefusal(
          "Create snapshot error: Cannot save the microVM state: Operation not allowed: "
          "save/restore unavailable while running");
    }
    if (fails("create")) {
      throw FakeRefusal("Create snapshot error: FAKE_FAIL");
    }
    const base::Fd state = base::open_file(state_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    base::write_full(state.get(), state_bytes_, state_path);
    base::sync_fd(state.get(), state_path);
    const bool stops = fails("die-create") || fails("hang-create") || fails("late-create");
    memory_->write(memory_path, diff ? FakeMemory::Type::diff : FakeMemory::Type::full, tracks_,
                   stops);
    maybe_stop_at("create");
    if (fails("late-create")) {
      throw FakeRefusal("Create snapshot error: Cannot write memory: No space left on device");
    }
    return {};
  }

  FakeReply change_state(const std::string& body) {
    const bool pause =
        FakeRequest(body, {"state"}).choice("state", {"Paused", "Resumed"}) == "Paused";
    require_started();
    const std::string name = pause ? "pause" : "resume";
    maybe_stop_at(name);
    if (fails(name)) {
      throw FakeRefusal("FAKE_FAIL: " + name);
    }
    if (pause) {
      phase_ = Phase::paused;
    } else if (phase_ == Phase::paused) {
      run();
    }
    return {};
  }

  FakeReply act(const std::string& body) {
    const std::string action =
        FakeRequest(body, {"action_type"})
            .choice("action_type", {"FlushMetrics", "InstanceStart", "SendCtrlAltDel"});
    require_started();
    if (action == "InstanceStart") {
      require_not_started();
    }
    if (action == "SendCtrlAltDel" && !fails("ignore-ctrl-alt-del")) {
      wants_reboot_ = true;
    }
    return {.is_last = wants_reboot_ && phase_ == Phase::running};
  }

  FakeReply put_mmds(const std::string& body) {
    if (phase_ != Phase::not_started && fails("mmds")) {
      throw FakeRefusal("MMDS error: The MMDS data store is not initialized.");
    }
    mmds_ = base::JsonObject::parse(body, "the body").compact();
    return {};
  }

  void require_not_started() const {
    if (phase_ != Phase::not_started) {
      throw FakeRefusal("The requested operation is not supported after starting the microVM.");
    }
  }
  void require_started() const {
    if (phase_ == Phase::not_started) {
      throw FakeRefusal("The requested operation is not supported before starting the microVM.");
    }
  }

  std::string_view phase_name() const {
    return phase_ == Phase::not_started ? "Not started"
           : phase_ == Phase::paused    ? "Paused"
                                        : "Running";
  }
  static FakeReply ok(const base::JsonLine& line) { return {.status = 200, .body = line.str()}; }
  static std::string fault(const std::string& message) {
    return base::JsonLine().text("fault_message", message).str();
  }

  FakeRelease release_;
  std::string id_;
  Phase phase_ = Phase::not_started;
  bool configured_ = false;
  bool tracks_ = false;
  bool verified_ = false;
  bool wants_reboot_ = false;
  uint64_t mem_size_mib_ = 128;
  std::string mmds_ = "{}";
  std::string state_bytes_;
  std::unique_ptr<FakeMemory> memory_;
  FakeDevices devices_;
};
