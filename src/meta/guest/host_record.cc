// SPDX-License-Identifier: Apache-2.0
// Reads /proc/cpuinfo, and reads, writes and compares snapfork.host.
//
// Firecracker supports a load only on hardware and a kernel that equal those of the snapshot
// (docs/snapshotting/snapshot-support.md, "Where can I resume my snapshots?").
#include "meta/guest/host_record.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include <array>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "base/json_line.h"
#include "base/json_object.h"
#include "base/kernel_release.h"

namespace meta {
namespace {

constexpr std::string_view kKey = "snapfork.host";

struct Member {
  const char* key;
  std::string Host::*member;
};
constexpr std::array<Member, 6> kMembers{{{"cpu_vendor", &Host::cpu_vendor},
                                          {"cpu_family", &Host::cpu_family},
                                          {"cpu_model", &Host::cpu_model},
                                          {"cpu_stepping", &Host::cpu_stepping},
                                          {"microcode", &Host::microcode},
                                          {"kernel", &Host::kernel}}};

// The value of the first line "NAME : VALUE". Empty if there is none.
std::string value_of(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !line.starts_with(name) ||
        line.substr(name.size(), colon - name.size()).find_first_not_of(" \t") !=
            std::string_view::npos) {
      continue;
    }
    const size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string_view::npos ? "" : std::string(line.substr(start));
  }
  return "";
}

// "6.1" of "6.1.0-40-amd64".
std::string series_of(std::string_view kernel) {
  const size_t second = kernel.find('.', kernel.find('.') + 1);
  return std::string(kernel.substr(0, std::min(second, kernel.find('-'))));
}

bool differs(const std::string& a, const std::string& b) {
  return !a.empty() && !b.empty() && a != b;
}

std::string model_text(const Host& host) {
  return "family " + host.cpu_family + ", model " + host.cpu_model + ", stepping " +
         host.cpu_stepping;
}

}  // namespace

Host parse_host(std::string_view cpuinfo, std::string kernel) {
  const auto value = [&](std::string_view x86, std::string_view arm) {
    const std::string found = value_of(cpuinfo, x86);
    return found.empty() ? value_of(cpuinfo, arm) : found;
  };
  Host host{.cpu_vendor = value("vendor_id", "CPU implementer"),
            .cpu_family = value("cpu family", "CPU architecture"),
            .cpu_model = value("model", "CPU part"),
            .cpu_stepping = value_of(cpuinfo, "stepping"),
            .microcode = value_of(cpuinfo, "microcode"),
            .kernel = std::move(kernel)};
  if (const std::string variant = value_of(cpuinfo, "CPU variant"); !variant.empty()) {
    host.cpu_stepping = variant + "." + value_of(cpuinfo, "CPU revision");
  }
  return host;
}

Host this_host() {
  // One read returns the first processors only, which is enough. The kernel makes the text of each
  // processor when it is read, and may interrupt that processor for it.
  constexpr size_t kFirstProcessor = 4096;
  std::string text(kFirstProcessor, '\0');
  const std::optional<base::Fd> file = base::try_open("/proc/cpuinfo", O_RDONLY);
  const ssize_t got = file ? ::read(file->get(), text.data(), text.size()) : 0;
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return parse_host(text, base::kernel_release());
}

std::optional<Host> recorded_host(const Metadata& metadata) {
  const std::optional<std::string> raw = metadata.json().find_path(kKey);
  if (!raw || !raw->starts_with('{')) {
    return std::nullopt;
  }
  const auto object = base::JsonObject::parse(*raw, kKey);
  Host host;
  for (const Member& member : kMembers) {
    if (const std::string* value = object.find(member.key)) {
      host.*member.member = base::json_text(*value).value_or("");
    }
  }
  return host;
}

void record_host(Metadata& metadata, const Host& host) {
  base::JsonLine line;
  for (const Member& member : kMembers) {
    line.text(member.key, host.*member.member);
  }
  static_cast<void>(metadata.json().set_path(kKey, line.str()));
}

std::vector<std::string> host_differences(const Host& recorded, const Host& here) {
  std::vector<std::string> texts;
  const auto add = [&](const std::string& before, const std::string& now,
                       const std::string& effect) {
    texts.push_back("its snapshot was made on " + before + ", and this host has " + now + ": " +
                    effect);
  };
  if (differs(recorded.cpu_vendor, here.cpu_vendor)) {
    add("a CPU of " + base::quoted(recorded.cpu_vendor), base::quoted(here.cpu_vendor),
        "the load fails, or the guest dies");
  } else if (differs(recorded.cpu_family, here.cpu_family) ||
             differs(recorded.cpu_model, here.cpu_model) ||
             differs(recorded.cpu_stepping, here.cpu_stepping)) {
    add("a CPU of " + model_text(recorded), model_text(here),
        "the load may fail, or the guest may use instructions that this CPU lacks, and die");
  } else if (differs(recorded.microcode, here.microcode)) {
    add("microcode " + recorded.microcode, here.microcode,
        "the guest may use a feature that one of the two disables");
  }
  if (differs(series_of(recorded.kernel), series_of(here.kernel))) {
    add("Linux " + recorded.kernel, here.kernel,
        "KVM may refuse or lose parts of the saved CPU state, above all if this kernel is older");
  }
  return texts;
}

std::vector<std::string> host_differences(const Metadata& metadata, const Host& here) {
  const std::optional<Host> recorded = recorded_host(metadata);
  return recorded ? host_differences(*recorded, here) : std::vector<std::string>();
}

}  // namespace meta
