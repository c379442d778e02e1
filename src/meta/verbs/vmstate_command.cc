// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta vmstate: prints the facts of a state file.
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/input.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "meta/vmstate/formats.h"
#include "meta/vmstate/restore_bugs.h"
#include "meta/vmstate/vmstate.h"

namespace meta {
namespace {

// Firecracker does not write these into a state. The program that loads the state configures them.
constexpr const char* kNotInState = R"(["serial","logger","metrics","mmds"])";

const char* layout_name(const vmstate::VmState& state) {
  return state.layout_is_assumed ? "assumed" : "known";
}

const char* yes_no(bool value) {
  return value ? "yes" : "no";
}

std::string releases_json(const vmstate::VmState& state) {
  std::string json;
  for (const vmstate::ReleaseNumber& release :
       vmstate::releases_that_load(state.snapshot_version)) {
    json += (json.empty() ? "" : ",") + base::json_string(release.text());
  }
  return "[" + json + "]";
}

std::string bugs_json(const vmstate::VmState& state) {
  std::string json;
  for (const vmstate::RestoreBug& bug : vmstate::restore_bugs_of(state)) {
    base::JsonLine line;
    line.number("issue", bug.issue)
        .text("fixed_in", bug.fixed_in.text())
        .text("effect", bug.effect);
    json += (json.empty() ? "" : ",") + line.str();
  }
  return "[" + json + "]";
}

std::string to_json(const vmstate::VmState& state, const std::string& path) {
  const auto json_list = [](const std::vector<vmstate::EmbeddedText>& list, std::string_view key) {
    std::string json = "[";
    for (const vmstate::EmbeddedText& text : list) {
      base::JsonLine line;
      line.text(key, text.text)
          .text("kind", vmstate::role_name(text.role))
          .number("offset", static_cast<int64_t>(text.offset))
          .number("length", static_cast<int64_t>(text.text.size()));
      if (text.role == vmstate::Role::drive || text.role == vmstate::Role::pmem) {
        line.boolean("read_only", text.is_read_only);
      }
      if (text.role == vmstate::Role::tap) {
        line.text("iface_id", text.iface_id);
      }
      json += json.size() > 1 ? "," : "";
      json += line.str();
    }
    return json + "]";
  };
  const auto text_or_null = [](base::JsonLine& line, std::string_view key,
                               const std::optional<std::string>& text) {
    text ? line.text(key, *text) : line.null(key);
  };
  base::JsonLine line("vmstate");
  line.path("path", path)
      .text("encoding", vmstate::encoding_name(state.encoding))
      .text("arch", vmstate::arch_name(state.arch))
      .text("snapshot_version", state.snapshot_version)
      .boolean("crc_ok", state.crc_ok)
      .number("mem_size_mib", static_cast<int64_t>(state.mem_size_mib))
      .text("huge_pages", vmstate::page_size_name(state.page_size))
      .text("kernel_path", state.kernel_path);
  text_or_null(line, "initrd_path", state.initrd_path);
  text_or_null(line, "boot_args", state.boot_args);
  const bool is_complete = state.paths_problem.empty();
  line.raw("paths", json_list(state.paths, "path"))
      .raw("taps", json_list(state.taps, "name"))
      .raw("boot_paths", json_list(state.boot_paths, "path"))
      .boolean("paths_complete", is_complete);
  is_complete ? line.null("paths_problem") : line.text("paths_problem", state.paths_problem);
  is_complete ? line.text("layout", layout_name(state)) : line.null("layout");
  return line.raw("releases", releases_json(state))
      .raw("restore_bugs", bugs_json(state))
      .raw("not_in_state", kNotInState)
      .str();
}

std::string to_lines(const vmstate::VmState& state) {
  std::string text;
  const auto add = [&](std::string_view key, std::string_view value) {
    text += std::string(key) + ": " + plain_text(value) + "\n";
  };
  add("encoding", vmstate::encoding_name(state.encoding));
  add("arch", vmstate::arch_name(state.arch));
  add("snapshot_version", state.snapshot_version);
  add("crc_ok", yes_no(state.crc_ok));
  add("mem_size_mib", std::to_string(state.mem_size_mib));
  add("huge_pages", vmstate::page_size_name(state.page_size));
  add("kernel_path", state.kernel_path);
  if (state.initrd_path) {
    add("initrd_path", *state.initrd_path);
  }
  if (state.boot_args) {
    add("boot_args", *state.boot_args);
  }
  for (const vmstate::EmbeddedText& path : state.paths) {
    add(vmstate::role_name(path.role), path.text);
  }
  for (const vmstate::EmbeddedText& tap : state.taps) {
    add(vmstate::role_name(tap.role), tap.text);
    add("iface_id", tap.iface_id);
  }
  add("paths_complete", yes_no(state.paths_problem.empty()));
  if (!state.paths_problem.empty()) {
    add("paths_problem", state.paths_problem);
  } else if (state.layout_is_assumed) {
    add("layout", layout_name(state));
  }
  std::string releases;
  for (const vmstate::ReleaseNumber& release :
       vmstate::releases_that_load(state.snapshot_version)) {
    releases += (releases.empty() ? "" : " ") + release.text();
  }
  add("releases", releases.empty() ? "unknown" : releases);
  for (const vmstate::RestoreBug& bug : vmstate::restore_bugs_of(state)) {
    add("restore_bug", std::to_string(bug.issue) + ", before " + bug.fixed_in.text() + ": " +
                           std::string(bug.effect));
  }
  return text;
}

}  // namespace

int vmstate_command(int argc, char** argv) {
  base::Options options("snapshot-meta vmstate", "[OPTION]... FILE",
                        "Print the facts of a state file of Firecracker 1.10 or later.");
  const std::optional<base::ParsedOptions> parsed =
      parse_operands(options, argc, argv, {1, 1, "FILE"});
  if (!parsed) {
    return 0;
  }
  const std::string& operand = parsed->operands()[0];
  const std::string bytes = base::read_input(operand, vmstate::kMaxVmStateBytes);
  const std::string path = base::input_name(operand);
  vmstate::VmState state = vmstate::parse_vmstate(bytes, path);
  vmstate::read_devices(bytes, state);
  if (base::message_style().json) {
    base::write_line_out(to_json(state, path));
  } else {
    base::write_out(to_lines(state));
    base::flush_out();
  }
  if (state.layout_is_assumed) {
    base::say_warning(base::quoted(path) + ": " + vmstate::assumed_layout_warning(state));
  }
  if (!state.crc_ok) {
    throw base::BadData("vmstate " + base::quoted(path) +
                        ": its CRC is wrong; it is truncated or damaged");
  }
  return 0;
}

}  // namespace meta
