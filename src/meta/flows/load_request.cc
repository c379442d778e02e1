// SPDX-License-Identifier: Apache-2.0
// Chooses the fields of the load by the version of the VMM, and writes them.
#include "meta/flows/load_request.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/json_line.h"
#include "base/kernel_release.h"
#include "base/utf8.h"
#include "meta/guest/guest_paths.h"
#include "meta/guest/snapshot_record.h"
#include "meta/vmstate/formats.h"
#include "meta/vmstate/load_fields.h"

namespace meta {
namespace {

using vmstate::LoadField;
using vmstate::ReleaseNumber;

std::string cannot_load(const LoadRequest& request) {
  return "cannot load " + base::quoted(request.id);
}

std::string list_releases(const std::vector<ReleaseNumber>& releases) {
  std::string text;
  for (size_t i = 0; i < releases.size(); ++i) {
    const char* const separator = i == 0 ? "" : i + 1 < releases.size() ? ", " : " or ";
    text += separator + releases[i].text();
  }
  return text;
}

void require_loadable(const vmstate::VmState& state, const LoadRequest& request,
                      ReleaseNumber release) {
  const vmstate::VersionRange loads = vmstate::versions_loaded_by(release);
  const bool is_too_old = loads.oldest.empty();
  if (!is_too_old && loads.includes(state.snapshot_version)) {
    return;
  }
  const std::vector<ReleaseNumber> good = vmstate::releases_that_load(state.snapshot_version);
  throw base::Refused(
      cannot_load(request) + ": Firecracker " + release.text() +
      (loads.newest.empty() ? ", which is newer than all releases that are known here," : "") +
      " loads " + (is_too_old ? "older snapshot versions" : "snapshot version " + loads.text()) +
      ", and its state has " + base::printable(state.snapshot_version) +
      (good.empty() ? "" : "; use Firecracker " + list_releases(good)));
}

void require_taps_of_state(const vmstate::VmState& state, const LoadRequest& request) {
  for (const TapName& tap : request.taps) {
    const auto same = std::ranges::find(state.taps, tap.iface_id, &vmstate::EmbeddedText::iface_id);
    if (same == state.taps.end() || same->text != tap.tap) {
      throw base::Refused(cannot_load(request) +
                          ": Firecracker before 1.12 takes the taps from the state; write " +
                          base::quoted(tap.tap) + " into it with 'snapshot-meta own-paths --tap " +
                          tap.iface_id + "=" + tap.tap + " " + request.id + "'");
    }
  }
}

std::string overrides_json(const std::vector<TapName>& taps) {
  base::JsonList list;
  for (const TapName& tap : taps) {
    base::JsonLine line;
    line.text("iface_id", tap.iface_id).text("host_dev_name", tap.tap);
    list.add(line.str());
  }
  return list.str();
}

}  // namespace

std::string load_body(const vmstate::VmState& state, const LoadRequest& request) {
  const std::optional<ReleaseNumber> release = vmstate::parse_release(request.vmm_version);
  if (release) {
    require_loadable(state, request, *release);
  }
  const auto knows = [&](LoadField field) {
    return release ? vmstate::knows_load_field(*release, field)
                   : vmstate::all_know_load_field(state.snapshot_version, field);
  };
  base::JsonLine backend;
  backend.text("backend_type", request.uses_uffd ? "Uffd" : "File")
      .text("backend_path", request.backend_path);
  base::JsonLine body;
  body.text("snapshot_path", request.state_path).raw("mem_backend", backend.str());
  if (request.tracks_dirty_pages) {
    body.boolean(
        knows(LoadField::track_dirty_pages) ? "track_dirty_pages" : "enable_diff_snapshots", true);
  }
  if (!request.taps.empty()) {
    check_taps(request.taps, state, cannot_load(request));
    if (knows(LoadField::network_overrides)) {
      body.raw("network_overrides", overrides_json(request.taps));
    } else {
      require_taps_of_state(state, request);
    }
  }
  if (!request.keeps_clock && state.arch == vmstate::Arch::x86_64 &&
      knows(LoadField::clock_realtime) && base::is_kernel_at_least(request.host_kernel, 5, 16)) {
    body.boolean("clock_realtime", true);
  }
  return body.boolean("resume_vm", request.resumes).str();
}

std::string load_body_of_guest(const store::Store& store, LoadRequest request) {
  const Metadata metadata = Metadata::of_guest(store, request.id);
  request.state_path = store.state_path(request.id);
  request.host_kernel = base::kernel_release();
  if (!request.uses_uffd) {
    request.backend_path = store.memory_path(request.id);
  }
  request.taps = chosen_taps(metadata, request.taps);
  if (request.vmm_version.empty()) {
    request.vmm_version = snapshot_vmm(metadata);
  }
  const std::string bytes = vmstate::read_vmstate_file(request.state_path);
  vmstate::VmState state = vmstate::parse_vmstate(bytes, request.state_path);
  // The search for the devices takes a millisecond, and is needed for taps.
  if (!request.is_prepared || !request.taps.empty()) {
    vmstate::read_devices(bytes, state);
    require_known_paths(state, metadata, "cannot load " + base::quoted(request.id));
  }
  return load_body(state, request);
}

void require_known_paths(const vmstate::VmState& state, const Metadata& metadata,
                         const std::string& what) {
  if (!state.paths_problem.empty() && !assumes_no_paths(metadata)) {
    throw_unknown_paths(state, what);
  }
}

}  // namespace meta
