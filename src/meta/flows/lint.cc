// SPDX-License-Identifier: Apache-2.0
// Looks for hazards in the state, in its boot arguments, and in the metadata.
#include "meta/flows/lint.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/json_object.h"
#include "meta/guest/guest_paths.h"
#include "meta/guest/metadata.h"
#include "meta/vmstate/vmstate.h"

namespace meta {
namespace {

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (!word.empty()) {
      words.push_back(word);
    }
  }
  return words;
}

// Whether a name of a setting suggests that its value is a secret.
bool is_secret_name(std::string_view name) {
  constexpr std::array<std::string_view, 6> kParts{"token",      "secret", "password",
                                                   "passphrase", "apikey", "credential"};
  std::string plain;
  for (const char c : name) {
    if (c != '_' && c != '-' && c != '.') {
      plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  return std::ranges::any_of(
             kParts,
             [&](std::string_view part) { return plain.find(part) != std::string::npos; }) ||
         plain.ends_with("privatekey") || plain.ends_with("accesskey");
}

class Lint {
 public:
  Lint(const store::Store& store, const std::string& id)
      : metadata_(Metadata::of_guest(store, id)) {
    const std::string path = store.state_path(id);
    const std::string bytes = vmstate::read_vmstate_file(path);
    state_ = vmstate::parse_vmstate(bytes, path);
    vmstate::read_devices(bytes, state_);
  }

  std::vector<Hazard> run() {
    check_boot_args();
    check_random();
    check_network();
    check_drives();
    check_environment();
    return std::move(hazards_);
  }

 private:
  void add(const char* name, std::string what, std::string advice) {
    hazards_.push_back({.name = name, .what = std::move(what), .advice = std::move(advice)});
  }

  void check_boot_args() {
    const std::string arguments = state_.boot_args.value_or("");
    const std::vector<std::string_view> words = words_of(arguments);
    const auto has = [&](std::string_view word) {
      return std::ranges::find(words, word) != words.end();
    };
    if (state_.arch == vmstate::Arch::x86_64 &&
        (!has("clocksource=kvm-clock") || has("no-kvmclock"))) {
      add("clock",
          "the boot arguments do not select kvm-clock, so a load may not correct the guest's clock",
          "boot the guest with clocksource=kvm-clock and without no-kvmclock");
    }
    for (const std::string_view word : words) {
      const std::string name(word.substr(0, word.find('=')));
      if (name == "ip") {
        add("network", "the boot argument 'ip' gives the same address to all forks",
            "set the address after the load");
      } else if (name == "systemd.machine_id") {
        add("machine-id", "the boot argument 'systemd.machine_id' is the same in all forks",
            "set the machine id after the load");
      } else if (name == "systemd.hostname") {
        add("host-name", "the boot argument 'systemd.hostname' is the same in all forks",
            "set the host name after the load");
      } else if (is_secret_name(name)) {
        add_secret("the boot argument " + base::quoted(name));
      }
    }
  }

  void add_secret(const std::string& where) {
    add("secret", where + " looks like a secret, and all forks have it",
        "give the secret to each fork after the load, for instance through MMDS or vsock");
  }

  void check_random() {
    if (state_.arch == vmstate::Arch::aarch64) {
      add("random",
          "on aarch64, a guest kernel before Linux 6.10 continues with the random numbers of its "
          "source after a load",
          "use a newer guest kernel, or write to /dev/urandom after the load");
    }
  }

  void check_network() {
    for (const vmstate::EmbeddedText& tap : state_.taps) {
      add("network",
          "its interface " + base::quoted(tap.iface_id) + " (tap " + base::quoted(tap.text) +
              ") has the same MAC address and tap in all forks",
          "load each fork in a network namespace of its own, or with network_overrides");
    }
  }

  void check_drives() {
    if (!state_.paths_problem.empty()) {
      add("drive", "its drives are not known: " + state_.paths_problem,
          "compare its drives with those of the machine before it is forked");
      return;
    }
    const GuestPaths paths(metadata_);
    for (const vmstate::EmbeddedText& path : state_.paths) {
      const bool is_file = path.role == vmstate::Role::drive || path.role == vmstate::Role::pmem;
      const std::string name =
          "its " + std::string(vmstate::role_name(path.role)) + " " + base::quoted(path.text);
      if (is_file && !paths.is_shared(path.text) && !paths.file_for(path.text)) {
        add("drive", name + " belongs to the host, so the guest cannot be forked",
            "import the guest with --disk, so that each fork has a copy");
      }
    }
  }

  void check_environment() {
    const std::string* const env = metadata_.json().find("Env");
    if (env == nullptr || !env->starts_with('{')) {
      return;
    }
    const auto object = base::JsonObject::parse(*env, "Env");
    for (const base::JsonObject::Member& member : object.members()) {
      if (is_secret_name(member.key)) {
        add_secret("the environment variable " + base::quoted(member.key) + " in its metadata");
      }
    }
  }

  Metadata metadata_;
  vmstate::VmState state_;
  std::vector<Hazard> hazards_;
};

}  // namespace

std::vector<Hazard> find_hazards(const store::Store& store, const std::string& id) {
  return Lint(store, id).run();
}

}  // namespace meta
