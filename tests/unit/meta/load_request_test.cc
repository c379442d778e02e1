// SPDX-License-Identifier: Apache-2.0
// Tests which fields the body of PUT /snapshot/load has for each release.
#include "meta/flows/load_request.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "base/kernel_release.h"
#include "meta/vmstate/formats.h"
#include "meta/vmstate/load_fields.h"

namespace vmstate = meta::vmstate;

namespace {

vmstate::VmState state_of(const std::string& version) {
  vmstate::VmState state;
  state.snapshot_version = version;
  state.paths_problem = "";
  state.taps = {{.role = vmstate::Role::tap,
                 .text = "tap0",
                 .offset = 0,
                 .lengths_at = 0,
                 .iface_id = "eth0"}};
  return state;
}

meta::LoadRequest request_of(const std::string& vmm_version) {
  return {.id = "a",
          .state_path = "/s/state",
          .backend_path = "/s/memory",
          .vmm_version = vmm_version,
          .host_kernel = "6.1.0-40-amd64"};
}

nlohmann::json body_of(const vmstate::VmState& state, const meta::LoadRequest& request) {
  return nlohmann::json::parse(meta::load_body(state, request));
}

// The names of all fields, joined by blanks, in the order of the body.
std::string fields_of(const std::string& version, const meta::LoadRequest& request) {
  std::string names;
  const auto body = nlohmann::ordered_json::parse(meta::load_body(state_of(version), request));
  for (const auto& [name, value] : body.items()) {
    names += (names.empty() ? "" : " ") + name;
  }
  return names;
}

constexpr const char* kPlain = "snapshot_path mem_backend resume_vm";
constexpr const char* kWithClock = "snapshot_path mem_backend clock_realtime resume_vm";

TEST(LoadBody, HasTheSnapshotAndTheBackEnd) {
  meta::LoadRequest request = request_of("");
  EXPECT_EQ(meta::load_body(state_of("8.0.0"), request),
            R"({"snapshot_path":"/s/state","mem_backend":{"backend_type":"File",)"
            R"("backend_path":"/s/memory"},"resume_vm":true})");
  request.uses_uffd = true;
  request.backend_path = "/run/a.sock";
  request.resumes = false;
  EXPECT_EQ(meta::load_body(state_of("8.0.0"), request),
            R"({"snapshot_path":"/s/state","mem_backend":{"backend_type":"Uffd",)"
            R"("backend_path":"/run/a.sock"},"resume_vm":false})");
}

TEST(LoadBody, HasClockRealtimeWhereTheReleaseKnowsIt) {
  for (const auto& [version, vmm] :
       std::initializer_list<std::pair<const char*, const char*>>{{"8.0.0", "1.14.4"},
                                                                  {"9.0.0", "1.15.1"},
                                                                  {"10.0.0", "1.16.0"},
                                                                  {"10.0.0", "1.16.1"},
                                                                  {"11.0.0", "1.16.2"},
                                                                  {"12.0.0", "1.17.0"},
                                                                  {"13.0.0", "1.18.0"}}) {
    EXPECT_EQ(fields_of(version, request_of(vmm)), kWithClock) << vmm;
  }
  for (const auto& [version, vmm] : std::initializer_list<std::pair<const char*, const char*>>{
           {"3.0.0", "1.10.0"}, {"8.0.0", "1.13.2"}, {"8.0.0", "1.14.3"}, {"9.0.0", "1.15.0"}}) {
    EXPECT_EQ(fields_of(version, request_of(vmm)), kPlain) << vmm;
  }
}

TEST(LoadBody, ForAnUnknownVmmHasOnlyFieldsThatAllReleasesOfTheVersionKnow) {
  EXPECT_EQ(fields_of("8.0.0", request_of("")), kPlain);
  EXPECT_EQ(fields_of("9.0.0", request_of("")), kPlain);
  EXPECT_EQ(fields_of("10.0.0", request_of("")), kWithClock);
  EXPECT_EQ(fields_of("12.0.0", request_of("")), kWithClock);
  EXPECT_EQ(fields_of("13.0.0", request_of("")), kPlain) << "no release of it is known";
  EXPECT_EQ(fields_of("9.0.0", request_of("1.15.1-dev")), kPlain) << "not a release";
}

TEST(LoadBody, HasNoClockRealtimeWithoutWhatItNeeds) {
  meta::LoadRequest request = request_of("1.16.0");
  vmstate::VmState state = state_of("10.0.0");
  EXPECT_TRUE(body_of(state, request).contains("clock_realtime"));
  request.keeps_clock = true;
  EXPECT_FALSE(body_of(state, request).contains("clock_realtime"));
  request.keeps_clock = false;
  request.host_kernel = "5.15.200";
  EXPECT_FALSE(body_of(state, request).contains("clock_realtime"));
  request.host_kernel = "5.16.0-rc1";
  EXPECT_TRUE(body_of(state, request).contains("clock_realtime"));
  state.arch = vmstate::Arch::aarch64;
  EXPECT_FALSE(body_of(state, request).contains("clock_realtime"));
}

TEST(LoadBody, HasDirtyPageTrackingUnderTheNameThatTheReleaseKnows) {
  const auto name_in = [](const char* version, const char* vmm) {
    meta::LoadRequest request = request_of(vmm);
    request.tracks_dirty_pages = true;
    request.keeps_clock = true;
    return fields_of(version, request);
  };
  constexpr const char* kOld = "snapshot_path mem_backend enable_diff_snapshots resume_vm";
  constexpr const char* kNew = "snapshot_path mem_backend track_dirty_pages resume_vm";
  EXPECT_EQ(name_in("6.0.0", "1.12.1"), kOld);
  EXPECT_EQ(name_in("6.0.0", ""), kOld);
  EXPECT_EQ(name_in("8.0.0", "1.13.0"), kNew);
  EXPECT_EQ(name_in("8.0.0", ""), kNew);
  EXPECT_EQ(name_in("12.0.0", "1.17.0"), kNew);
}

TEST(LoadBody, OverridesTheTapOfAnInterface) {
  meta::LoadRequest request = request_of("1.12.0");
  request.taps = {{"eth0", "fifteen-bytes-x"}};
  EXPECT_EQ(body_of(state_of("6.0.0"), request)["network_overrides"].dump(),
            R"([{"host_dev_name":"fifteen-bytes-x","iface_id":"eth0"}])");
  request.taps = {{"eth0", "sixteen-bytes-xx"}};
  EXPECT_THROW(meta::load_body(state_of("6.0.0"), request), base::UsageError);
  request.taps = {{"eth0", ""}};
  EXPECT_THROW(meta::load_body(state_of("6.0.0"), request), base::UsageError);
  request.taps = {{"eth1", "tap7"}};
  EXPECT_THROW(meta::load_body(state_of("6.0.0"), request), base::Refused);
  request = request_of("1.11.0");
  request.taps = {{"eth0", "tap7"}};
  EXPECT_THROW(meta::load_body(state_of("5.0.0"), request), base::Refused);
  request.taps = {{"eth0", "tap0"}};  // the tap of the state
  EXPECT_EQ(fields_of("5.0.0", request), kPlain);
}

TEST(LoadBody, IsRefusedForAVmmOfAnotherSnapshotVersion) {
  const auto refusal = [](const char* version, const char* vmm) -> std::string {
    try {
      static_cast<void>(meta::load_body(state_of(version), request_of(vmm)));
      return "";
    } catch (const base::Refused& error) {
      return error.what();
    }
  };
  EXPECT_EQ(refusal("9.0.0", "1.16.1"),
            "cannot load 'a': Firecracker 1.16.1 loads snapshot version 10.0.0, and its state has "
            "9.0.0; use Firecracker 1.15.0 or 1.15.1");
  EXPECT_EQ(refusal("13.0.0", "1.17.0"),
            "cannot load 'a': Firecracker 1.17.0 loads snapshot version 12.0.0, and its state has "
            "13.0.0");
  EXPECT_EQ(refusal("3.0.0", "1.8.0"),
            "cannot load 'a': Firecracker 1.8.0 loads older snapshot versions, and its state has "
            "3.0.0; use Firecracker 1.9.0, 1.9.1 or 1.10.0");
  // Releases that are not known.
  EXPECT_EQ(refusal("10.0.0", "1.18.0"),
            "cannot load 'a': Firecracker 1.18.0, which is newer than all releases that are known "
            "here, loads snapshot version 12.0.0 or later, and its state has 10.0.0; use "
            "Firecracker 1.16.0 or 1.16.1");
  EXPECT_EQ(refusal("12.0.0", "1.18.0"), "");
  EXPECT_EQ(refusal("13.0.0", "2.0.0"), "");
  EXPECT_EQ(refusal("8.0.0", "1.14.9"), "");
  EXPECT_EQ(refusal("9.0.0", "1.14.9"), "");
  EXPECT_EQ(refusal("10.0.0", "1.14.9"),
            "cannot load 'a': Firecracker 1.14.9 loads snapshot version 8.0.0 to 9.0.0, and its "
            "state has 10.0.0; use Firecracker 1.16.0 or 1.16.1");
  for (const vmstate::Format& format : vmstate::all_formats()) {
    for (const vmstate::ReleaseNumber& release : format.releases()) {
      EXPECT_EQ(refusal(std::string(format.version).c_str(), release.text().c_str()), "");
    }
  }
}

TEST(LoadField, IsKnownFromItsReleaseOn) {
  using vmstate::knows_load_field;
  using vmstate::LoadField;
  EXPECT_FALSE(knows_load_field({1, 11, 0}, LoadField::network_overrides));
  EXPECT_TRUE(knows_load_field({1, 12, 0}, LoadField::network_overrides));
  EXPECT_FALSE(knows_load_field({1, 12, 1}, LoadField::track_dirty_pages));
  EXPECT_TRUE(knows_load_field({1, 13, 0}, LoadField::track_dirty_pages));
}

TEST(KernelRelease, IsComparedByItsFirstTwoNumbers) {
  EXPECT_TRUE(base::is_kernel_at_least(base::kernel_release(), 5, 10));
  EXPECT_TRUE(base::is_kernel_at_least("6.1.0-40-amd64", 6, 1));
  EXPECT_TRUE(base::is_kernel_at_least("10.0", 6, 1));
  EXPECT_TRUE(base::is_kernel_at_least("6.18-rc1", 6, 18));
  EXPECT_FALSE(base::is_kernel_at_least("6.2.99", 6, 18));
  EXPECT_FALSE(base::is_kernel_at_least("5.99.0", 6, 0));
  EXPECT_FALSE(base::is_kernel_at_least("6", 5, 1));
  EXPECT_FALSE(base::is_kernel_at_least("", 5, 1));
}

}  // namespace
