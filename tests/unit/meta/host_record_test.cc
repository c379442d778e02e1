// SPDX-License-Identifier: Apache-2.0
// Tests the record of the host of a snapshot, and the comparison of two hosts.
#include "meta/guest/host_record.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace {

constexpr const char* kIntel =
    "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 106\n"
    "model name\t: Intel(R) Xeon(R)\nstepping\t: 6\nmicrocode\t: 0xd0003d1\n\n"
    "processor\t: 1\nvendor_id\t: Other\n";
constexpr const char* kArm =
    "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"
    "CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd40\nCPU revision\t: 1\n";

TEST(HostRecord, IsReadFromTheFirstProcessor) {
  const meta::Host host = meta::parse_host(kIntel, "6.1.0-40-amd64");
  EXPECT_EQ(host.cpu_vendor, "GenuineIntel");
  EXPECT_EQ(host.cpu_family, "6");
  EXPECT_EQ(host.cpu_model, "106") << "not the model name";
  EXPECT_EQ(host.cpu_stepping, "6");
  EXPECT_EQ(host.microcode, "0xd0003d1");
  EXPECT_EQ(host.kernel, "6.1.0-40-amd64");
  const meta::Host arm = meta::parse_host(kArm, "6.1.0");
  EXPECT_EQ(arm.cpu_vendor, "0x41");
  EXPECT_EQ(arm.cpu_family, "8");
  EXPECT_EQ(arm.cpu_model, "0xd40");
  EXPECT_EQ(arm.cpu_stepping, "0x1.1");
  EXPECT_EQ(arm.microcode, "");
}

TEST(HostRecord, IsTheSameAfterItWasWritten) {
  meta::Metadata metadata;
  EXPECT_FALSE(meta::recorded_host(metadata));
  const meta::Host host = meta::parse_host(kIntel, "6.1.0");
  meta::record_host(metadata, host);
  EXPECT_TRUE(meta::host_differences(metadata, host).empty());
  EXPECT_EQ(meta::recorded_host(metadata)->microcode, "0xd0003d1");
  EXPECT_FALSE(meta::this_host().kernel.empty());
}

TEST(HostRecord, DiffersByTheMostImportantMember) {
  const meta::Host recorded = meta::parse_host(kIntel, "6.1.0-40-amd64");
  const auto differences = [&](const auto& change) {
    meta::Host here = recorded;
    change(here);
    return meta::host_differences(recorded, here);
  };
  const auto only = [&](const auto& change) {
    const std::vector<std::string> sentences = differences(change);
    return sentences.size() == 1 ? sentences[0] : std::to_string(sentences.size()) + " sentences";
  };
  EXPECT_EQ(only([](meta::Host& here) {
              here.cpu_vendor = "AuthenticAMD";
              here.cpu_model = "1";
              here.microcode = "0x1";
            }),
            "its snapshot was made on a CPU of 'GenuineIntel', and this host has 'AuthenticAMD': "
            "the load fails, or the guest dies");
  EXPECT_EQ(only([](meta::Host& here) {
              here.cpu_model = "85";
              here.microcode = "0x1";
            }),
            "its snapshot was made on a CPU of family 6, model 106, stepping 6, and this host has "
            "family 6, model 85, stepping 6: the load may fail, or the guest may use instructions "
            "that this CPU lacks, and die");
  EXPECT_EQ(only([](meta::Host& here) { here.microcode = "0xd0003f5"; }),
            "its snapshot was made on microcode 0xd0003d1, and this host has 0xd0003f5: the guest "
            "may use a feature that one of the two disables");
  EXPECT_EQ(only([](meta::Host& here) { here.kernel = "5.10.200"; }),
            "its snapshot was made on Linux 6.1.0-40-amd64, and this host has 5.10.200: KVM may "
            "refuse or lose parts of the saved CPU state, above all if this kernel is older");
  EXPECT_TRUE(differences([](meta::Host& here) { here.kernel = "6.1.99"; }).empty())
      << "an update of the same series";
  EXPECT_EQ(only([](meta::Host& here) { here.kernel = "6.10"; }).substr(0, 12), "its snapshot");
  EXPECT_TRUE(differences([](meta::Host& here) { here.microcode = ""; }).empty())
      << "it is not known";
}

TEST(HostRecord, OfAnotherFormIsNotUsed) {
  for (const char* value : {"null", "[]", "\"x\"", "{}", R"({"cpu_vendor":1})"}) {
    meta::Metadata metadata;
    ASSERT_TRUE(metadata.json().set_path("snapfork.host", value));
    EXPECT_TRUE(meta::host_differences(metadata, meta::this_host()).empty()) << value;
  }
}

}  // namespace
