// SPDX-License-Identifier: Apache-2.0
// Writes the record and the lines.
#include "meta/verbs/run_facts.h"

#include <string_view>

#include "base/json_line.h"
#include "base/output.h"
#include "meta/verbs/command_line.h"
#include "meta/vmstate/vmstate.h"

namespace meta {
namespace {

constexpr const char* kUnsure = "unsure";

std::string vsock_of(const RunPreparation& run) {
  for (const OwnPaths::Path& path : run.paths.paths) {
    if (path.role == vmstate::Role::vsock) {
      return path.path;
    }
  }
  return "";
}

void print(std::string_view kind, const std::string& value) {
  base::write_line_out(std::string(kind) + "\t" + value);
}

}  // namespace

std::string run_record(const std::string& id, const RunPreparation& run) {
  std::string taps = "[";
  for (const TapName& tap : run.taps) {
    base::JsonLine line;
    taps += taps.size() > 1 ? "," : "";
    taps += line.text("iface_id", tap.iface_id).text("tap", tap.tap).str();
  }
  base::JsonLine line("run_prepare");
  line.text("id", id).text("session", run.session);
  const std::string vsock = vsock_of(run);
  vsock.empty() ? line.null("vsock_path") : line.path("vsock_path", vsock);
  line.raw("taps", taps + "]")
      .text("backend", run.first_load_is_unsure ? kUnsure : backend_name(run.backend.backend))
      .text("backend_reason", run.backend.reason);
  run.hot_list ? line.path("hot_list", *run.hot_list) : line.null("hot_list");
  return line.str();
}

void print_run_facts(const RunPreparation& run) {
  print("session", run.session);
  if (const std::string vsock = vsock_of(run); !vsock.empty()) {
    print("vsock", plain_text(vsock));
  }
  for (const TapName& tap : run.taps) {
    print("tap", plain_text(tap.tap) + "\t" + plain_text(tap.iface_id));
  }
  print("backend", (run.first_load_is_unsure ? kUnsure : backend_name(run.backend.backend)) +
                       ("\t" + run.backend.reason));
  if (run.hot_list) {
    print("hot-list", plain_text(*run.hot_list));
  }
}

}  // namespace meta
