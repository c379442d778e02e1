// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta init, promote, demote and trash.
#include <optional>
#include <string>
#include <vector>

#include "base/effect.h"
#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/utf8.h"
#include "meta/flows/init.h"
#include "meta/flows/init_check.h"
#include "meta/flows/lint.h"
#include "meta/flows/promote.h"
#include "meta/flows/trash.h"
#include "meta/guest/firecracker_version.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "store/files.h"

namespace meta {
namespace {

// Prints FILE and PATH of each disk, each with a NUL after it, because names may contain all other
// bytes.
void print_disks(const InitRequest& request, const std::vector<Disk>& disks) {
  for (size_t i = 0; i < disks.size(); ++i) {
    base::write_out(request.disks[i].file + '\0' + disks[i].embedded_path + '\0');
  }
}

// promote succeeds in spite of hazards, and if the state cannot be read.
void warn_of_hazards(const store::Store& store, const std::string& id) {
  try {
    for (const Hazard& hazard : find_hazards(store, id)) {
      base::say_warning(base::quoted(id) + ": " + hazard.name + ": " + hazard.what + "; " +
                        hazard.advice);
    }
  } catch (const std::exception& error) {
    base::say_warning("cannot look for what forks of " + base::quoted(id) +
                      " share: " + error.what());
  }
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
      .value("shared-file", "PATH",
             "a read-only drive in the state whose file all forks open; may be repeated")
      .flag("assume-no-paths", "if the devices in the state cannot be read: it has no drives")
      .value("firecracker", "PATH|VERSION", "the Firecracker that made the snapshot")
      .value("name", "NAME", "the guest's name (default: ID)")
      .flag("of-copies", "with --dry-run: check copies of the files that will be made")
      .flag("print-disks", "with --dry-run: print FILE and PATH of each disk, each with a NUL");
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
    request.disks.push_back(divide_disk(disk));
  }
  request.shared_files = parsed->values("shared-file");
  request.assumes_no_paths = parsed->has("assume-no-paths");
  if (parsed->has("firecracker")) {
    request.firecracker = firecracker_version(required(*parsed, "firecracker"));
  }
  const base::Effect effect = base::effect_of(*parsed);
  request.of_copies = parsed->has("of-copies");
  for (const char* option : {"of-copies", "print-disks"}) {
    if (parsed->has(option) && effect == base::Effect::real) {
      throw base::UsageError("--" + std::string(option) + " requires --dry-run");
    }
  }
  const store::Store store = store::open_store();
  const std::vector<Disk> disks = init_guest(store, request, effect);
  if (parsed->has("print-disks")) {
    print_disks(request, disks);
    return 0;
  }
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
  warn_of_hazards(store, id);
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
