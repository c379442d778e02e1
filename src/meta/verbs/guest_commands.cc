// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta init, promote, demote and trash.
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include "base/effect.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/utf8.h"
#include "meta/flows/init.h"
#include "meta/flows/promote.h"
#include "meta/flows/trash.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "store/files.h"

namespace meta {
namespace {

// Parses FILE or FILE=PATH. Cuts at the first "=/" unless a file with the whole name exists.
InitDisk parse_disk(const std::string& text) {
  std::error_code ignored;
  const size_t cut = text.find("=/");
  if (cut == std::string::npos || std::filesystem::exists(text, ignored)) {
    return {.file = text, .embedded_path = std::nullopt};
  }
  return {.file = text.substr(0, cut), .embedded_path = text.substr(cut + 1)};
}

std::string required(const base::ParsedOptions& parsed, const std::string& option) {
  const std::optional<std::string> value = parsed.value(option);
  if (!value || value->empty()) {
    throw base::UsageError("--" + option + " FILE is required");
  }
  return *value;
}

}  // namespace

int init_command(int argc, char** argv) {
  base::Options options(
      "snapshot-meta init", "[OPTION]... ID --state FILE --memory FILE",
      "Make a guest of files that Firecracker wrote; they are moved, not copied.");
  options.value("state", "FILE", "the state file (vmstate)")
      .value("memory", "FILE", "the memory file of the same snapshot")
      .value(
          "disk", "FILE[=PATH]",
          "file of a drive, and its path in the state (default: the path of FILE); may be repeated")
      .value("name", "NAME", "the guest's name (default: ID)")
      .flag("of-copies", "with --dry-run: check copies of the files that will be made");
  base::add_dry_run(options);
  const std::optional<base::ParsedOptions> parsed =
      parse_operands(options, argc, argv, {1, 1, "ID"});
  if (!parsed) {
    return 0;
  }
  InitRequest request{.id = id_operand(*parsed, 0),
                      .name = parsed->value_or("name", ""),
                      .state = required(*parsed, "state"),
                      .memory = required(*parsed, "memory"),
                      .disks = {}};
  if (!base::is_utf8(request.name)) {
    throw base::UsageError("the name is not UTF-8");
  }
  for (const std::string& disk : parsed->values("disk")) {
    request.disks.push_back(parse_disk(disk));
  }
  const base::Effect effect = base::effect_of(*parsed);
  request.of_copies = parsed->has("of-copies");
  if (request.of_copies && effect == base::Effect::real) {
    throw base::UsageError("--of-copies requires --dry-run");
  }
  const store::Store store = store::open_store();
  init_guest(store, request, effect);
  announce(effect, "move " + std::to_string(2 + request.disks.size()) + " files into " +
                       store.guest_dir(request.id));
  return 0;
}

int promote_command(int argc, char** argv) {
  base::Options options("snapshot-meta promote", "[OPTION]... ID",
                        "Make a template of a guest in Standby whose memory is sealed.");
  add_force(options);
  base::add_dry_run(options);
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  promote(store, id, force_of(parsed), effect);
  announce(effect, "read the memory of '" + id + "', write " + store.template_dir(id) +
                       "/image.json and set IsTemplate");
  return 0;
}

int demote_command(int argc, char** argv) {
  base::Options options("snapshot-meta demote", "[OPTION]... ID",
                        "Make a guest in Standby of a template without live forks.");
  base::add_dry_run(options);
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  demote(store, id, effect);
  announce(effect, "clear IsTemplate of '" + id + "' and remove " + store.template_dir(id));
  return 0;
}

int trash_command(int argc, char** argv) {
  base::Options options("snapshot-meta trash", "[OPTION]... ID",
                        "Move a guest out of the store; print its new path and its template.");
  base::add_dry_run(options);
  const std::optional<GuestCall> call = parse_guest_call(options, argc, argv);
  if (!call) {
    return 0;
  }
  const auto& [parsed, id, effect, store] = *call;
  const Trashed trashed = trash_guest(store, id, effect);
  if (base::is_dry_run(effect)) {
    announce(effect, "move '" + id + "' to " + trashed.path);
  } else if (base::message_style().json) {
    base::JsonLine line("trash");
    line.text("id", id).path("path", trashed.path);
    trashed.parent_template.empty() ? line.null("template")
                                    : line.text("template", trashed.parent_template);
    base::write_line_out(line.str());
  } else {
    base::write_line_out(trashed.path + "\t" + trashed.parent_template);
  }
  return 0;
}

}  // namespace meta
