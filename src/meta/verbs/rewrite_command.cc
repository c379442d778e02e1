// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta rewrite-paths: writes a state file with changed paths.
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/effect.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file_status.h"
#include "base/input.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "meta/vmstate/rewrite_paths.h"
#include "store/files.h"

namespace meta {
namespace {

// `path` without trailing slashes. "/" stays "/".
std::string trimmed(std::string path, const std::string& option) {
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
  }
  if (path.empty()) {
    throw base::UsageError("the path after --" + option + " is empty");
  }
  return path;
}

std::vector<vmstate::PathChange> changes_of(const base::ParsedOptions& parsed) {
  const std::vector<std::string> from = parsed.values("from");
  const std::vector<std::string> to = parsed.values("to");
  if (from.empty() || from.size() != to.size()) {
    throw base::UsageError("each --from needs a --to, and at least one pair is required");
  }
  std::vector<vmstate::PathChange> changes;
  for (size_t i = 0; i < from.size(); ++i) {
    changes.push_back({.from = trimmed(from[i], "from"), .to = trimmed(to[i], "to")});
  }
  return changes;
}

constexpr mode_t kDefaultMode = 0600;  // if IN is standard input

// Writes the state to standard output, instead of the list of changes.
void write_to_standard_output(const vmstate::RewrittenState& result) {
  if (base::message_style().json) {
    throw base::UsageError(
        "--json requires that OUT is a file, because the state goes to standard output");
  }
  base::refuse_terminal_output("a state file", "use a file for OUT, or a pipe");
  base::write_full(STDOUT_FILENO, result.bytes, "standard output");
}

void print(const std::string& out, const vmstate::RewrittenState& result) {
  std::string list = "[";
  for (const vmstate::ChangedPath& change : result.changes) {
    if (!base::message_style().json) {
      base::write_out(std::string(vmstate::role_name(change.role)) + "\t" +
                      plain_text(change.from) + "\t" + plain_text(change.to) + "\n");
    }
    base::JsonLine line;
    line.text("kind", vmstate::role_name(change.role))
        .text("from", change.from)
        .text("to", change.to);
    list += list.size() > 1 ? "," : "";
    list += line.str();
  }
  if (base::message_style().json) {
    base::write_line_out(
        base::JsonLine("rewrite").path("path", out).raw("changes", list + "]").str());
  }
}

}  // namespace

int rewrite_paths_command(int argc, char** argv) {
  base::Options options("snapshot-meta rewrite-paths", "--from A --to B [OPTION]... IN OUT",
                        "Copy a state file and change paths in it to paths of any length.");
  options.value("from", "A", "a path in the state, or a directory of such paths")
      .value("to", "B", "the new path; --from and --to may be repeated in pairs")
      .flag("force", "replace an existing OUT, which may be IN");
  base::add_dry_run(options);
  options.footer(
      "Changes the paths of drives, vsock and vhost-user sockets, pmem files, kernel\n"
      "and initrd, but not interface names. Prints the kind, old path and new path of\n"
      "each. IN and OUT may be - for standard input and output; with OUT - it prints\n"
      "no list. Exit status 3: the devices in the state cannot be read.");
  const std::optional<base::ParsedOptions> parsed =
      parse_operands(options, argc, argv, {2, 2, "IN and OUT"});
  if (!parsed) {
    return 0;
  }
  const std::vector<vmstate::PathChange> changes = changes_of(*parsed);
  const std::string& in = parsed->operands()[0];
  const std::string& out = parsed->operands()[1];
  const vmstate::RewrittenState result = vmstate::rewrite_paths(
      base::read_input(in, vmstate::kMaxVmStateBytes), base::input_name(in), changes);
  if (out == "-" && base::effect_of(*parsed) == base::Effect::real) {
    write_to_standard_output(result);
    return 0;
  }
  if (out != "-") {
    base::require_writable_name(out);
  }
  const bool replaces = parsed->has("force");
  bool written = out == "-" || replaces || !store::path_exists(out);
  if (written && base::effect_of(*parsed) == base::Effect::real) {
    const mode_t mode = in == "-" ? kDefaultMode : base::stat_path(in).st_mode & 0777U;
    if (replaces) {
      base::write_file_atomic(out, result.bytes, mode, base::Durable::yes);
    } else {
      written = base::create_file_atomic(out, result.bytes, mode, base::Durable::yes);
    }
  }
  if (!written) {
    throw base::Refused("cannot write " + base::quoted(out) +
                        ": it already exists; use another name, or --force");
  }
  print(out, result);
  return 0;
}

}  // namespace meta
