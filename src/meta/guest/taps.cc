// SPDX-License-Identifier: Apache-2.0
// Reads, checks and merges the taps of a guest.
#include "meta/guest/taps.h"

#include <net/if.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/json_line.h"
#include "base/json_object.h"
#include "meta/vmstate/formats.h"
#include "meta/vmstate/load_fields.h"

namespace meta {
namespace {

constexpr std::string_view kTaps = "snapfork.taps";

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::vector<TapName> recorded_taps(const Metadata& metadata) {
  const std::optional<std::string> raw = metadata.json().find_path(kTaps);
  std::vector<TapName> taps;
  if (!raw || *raw == "null") {
    return taps;
  }
  const std::optional<base::JsonObject> object = base::JsonObject::read(*raw);
  const auto refuse = [] {
    throw base::BadData(
        "cannot use 'snapfork.taps' in the metadata: it is not an object of strings");
  };
  if (!object) {
    refuse();
  }
  for (const base::JsonObject::Member& member : object->members()) {
    std::optional<std::string> tap = base::json_text(member.raw);
    if (!tap) {
      refuse();
    }
    taps.push_back({.iface_id = member.key, .tap = *std::move(tap)});
  }
  return taps;
}

}  // namespace

TapName parse_tap(const std::string& text) {
  const size_t cut = text.find('=');
  if (cut == std::string::npos || cut == 0) {
    throw base::UsageError("bad value " + base::quoted(text) +
                           " for --tap: IFACE=TAP is required, such as eth0=tap7");
  }
  return {.iface_id = text.substr(0, cut), .tap = text.substr(cut + 1)};
}

std::vector<TapName> chosen_taps(const Metadata& metadata, const std::vector<TapName>& given) {
  std::vector<TapName> taps = recorded_taps(metadata);
  for (const TapName& tap : given) {
    const auto same = std::ranges::find(taps, tap.iface_id, &TapName::iface_id);
    if (same != taps.end()) {
      *same = tap;
    } else {
      taps.push_back(tap);
    }
  }
  return taps;
}

void record_taps(Metadata& metadata, const std::vector<TapName>& taps) {
  if (taps.empty()) {
    static_cast<void>(metadata.json().erase_path(kTaps));
    return;
  }
  base::JsonObject object;
  for (const TapName& tap : taps) {
    object.set(tap.iface_id, base::json_string(tap.tap));
  }
  static_cast<void>(metadata.json().set_path(kTaps, object.compact()));
}

void check_taps(const std::vector<TapName>& taps, const vmstate::VmState& state,
                const std::string& what) {
  for (const TapName& tap : taps) {
    if (tap.tap.empty() || tap.tap.size() >= IFNAMSIZ) {
      throw base::UsageError("bad tap name " + base::quoted(tap.tap) + ": 1 to " +
                             std::to_string(IFNAMSIZ - 1) + " bytes are required");
    }
    const bool is_known = std::ranges::find(state.taps, tap.iface_id,
                                            &vmstate::EmbeddedText::iface_id) != state.taps.end();
    if (!is_known && state.paths_problem.empty()) {
      std::string names;
      for (const vmstate::EmbeddedText& other : state.taps) {
        names.append(names.empty() ? "; its interfaces are " : ", ");
        names.append(base::quoted(other.iface_id));
      }
      throw base::Refused(std::string(what)
                              .append(": it has no network interface ")
                              .append(base::quoted(tap.iface_id))
                              .append(names));
    }
  }
}

std::vector<TapName> used_taps(const std::vector<TapName>& chosen, const vmstate::VmState& state,
                               const std::string& what) {
  check_taps(chosen, state, what);
  std::vector<TapName> used;
  for (const vmstate::EmbeddedText& tap : state.taps) {
    const auto other = std::ranges::find(chosen, tap.iface_id, &TapName::iface_id);
    used.push_back(
        {.iface_id = tap.iface_id, .tap = other != chosen.end() ? other->tap : tap.text});
  }
  for (auto tap = used.begin(); tap != used.end(); ++tap) {
    const auto same = std::ranges::find(used.begin(), tap, tap->tap, &TapName::tap);
    if (same != tap) {
      throw base::Refused(what + ": its interfaces " + base::quoted(same->iface_id) + " and " +
                          base::quoted(tap->iface_id) + " would use one tap, " +
                          base::quoted(tap->tap));
    }
  }
  return used;
}

std::vector<std::string> taps_in_state(const std::vector<TapName>& chosen,
                                       const vmstate::VmState& state, const std::string& what) {
  std::vector<std::string> names;
  if (vmstate::is_older_than(state.snapshot_version, vmstate::kFirstWithNetworkOverrides)) {
    for (TapName& tap : used_taps(chosen, state, what)) {
      names.push_back(std::move(tap.tap));
    }
  }
  return names;
}

std::vector<TapName> taps_of_fork(const std::vector<TapName>& patterns, std::string_view id,
                                  size_t index, size_t count) {
  std::vector<TapName> taps = patterns;
  for (TapName& tap : taps) {
    const std::string pattern = tap.tap;
    replace_all(tap.tap, "{n}", std::to_string(index));
    replace_all(tap.tap, "{id}", id);
    if (count > 1 && tap.tap == pattern) {
      throw base::UsageError("several forks cannot use one tap, " + base::quoted(pattern) +
                             "; write {n} or {id} into its name");
    }
  }
  return taps;
}

}  // namespace meta
