// SPDX-License-Identifier: Apache-2.0
// Parses the command lines of the verbs, and prints their results.
#include "oci/commands.h"

#include <string>

#include "base/effect.h"
#include "base/error.h"
#include "base/input.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "base/utf8.h"
#include "clone/progress.h"
#include "oci/export.h"
#include "oci/import.h"
#include "store/files.h"
#include "store/store.h"

namespace oci {
namespace {

// A tag of a registry has these characters and at most 128 of them.
std::string checked_tag(const std::string& tag) {
  constexpr size_t kMost = 128;
  constexpr const char* kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  if (tag.empty() || tag.size() > kMost || tag.find_first_not_of(kAllowed) != std::string::npos ||
      tag.front() == '.' || tag.front() == '-') {
    throw base::UsageError("bad tag " + base::quoted(tag) +
                           ": 1 to 128 of A-Z a-z 0-9 . _ - are needed, the first a letter, a "
                           "digit or _");
  }
  return tag;
}

cloning::ProgressMode progress_of(const base::ParsedOptions& parsed) {
  const std::string mode = parsed.choice("progress", {"auto", "always", "never"});
  return mode == "always"  ? cloning::ProgressMode::always
         : mode == "never" ? cloning::ProgressMode::never
                           : cloning::ProgressMode::automatic;
}

void add_progress(base::Options& options) {
  options.value("progress", "auto|always|never", "progress on standard error (default: auto)");
}

// In a dry run, prints what would be done.
void announce(const std::string& action) {
  const std::string line = "would " + action;
  base::write_line_out(
      base::message_style().json ? base::JsonLine("dry-run").text("action", line).str() : line);
}

int64_t number_of(uint64_t value) {
  return static_cast<int64_t>(value);
}

std::string mib(uint64_t bytes) {
  return std::to_string((bytes + (1U << 20U) - 1) >> 20U) + " MiB";
}

}  // namespace

int export_command(int argc, char** argv) {
  base::Options options("template-oci export", "[OPTION]... ID DIR|-",
                        "Write a template as an OCI image layout.");
  options.value("tag", "TAG", "its name in the layout (default: latest)");
  add_progress(options);
  base::add_dry_run(options);
  options.footer(
      "DIR may have earlier versions: their packs are reused. '-' writes a tar to\n"
      "standard output. See template-oci(1).");
  const auto parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(2, 2, "ID and DIR");
  const ExportRequest request{.id = parsed->operands()[0],
                              .target = parsed->operands()[1],
                              .tag = checked_tag(parsed->value_or("tag", "latest")),
                              .effect = base::effect_of(*parsed)};
  store::check_id(request.id);
  if (request.target == "-" && !base::is_dry_run(request.effect)) {
    base::refuse_terminal_output("a tar", "name a directory, or use a pipe");
    if (base::message_style().json) {
      throw base::UsageError("the option --json is not for '-': standard output is the tar");
    }
  }
  cloning::Progress progress(progress_of(*parsed));
  const ExportReport report = export_template(store::open_store(), request, progress);
  if (base::is_dry_run(request.effect)) {
    announce("export " + request.id + " to " + base::printable(request.target));
    return 0;
  }
  if (base::message_style().json) {
    base::write_line_out(base::JsonLine("export")
                             .text("id", request.id)
                             .text("manifest", report.manifest.text())
                             .text("tag", request.tag)
                             .number("layers", number_of(report.layers))
                             .number("chunks", number_of(report.chunks))
                             .number("raw_bytes", number_of(report.raw_bytes))
                             .number("bytes", number_of(report.bytes))
                             .number("new_bytes", number_of(report.new_bytes))
                             .str());
  } else if (request.target != "-") {
    base::write_line_out(report.manifest.text());
  }
  base::say_info(base::quoted(request.id) + " is exported: " + mib(report.bytes) + " in " +
                 std::to_string(report.layers) + " layers, " + mib(report.new_bytes) +
                 " of them new");
  return 0;
}

int import_command(int argc, char** argv) {
  base::Options options("template-oci import", "[OPTION]... NEW DIR|-",
                        "Make a template of an OCI image layout.");
  options.value("tag", "TAG", "which one, if the layout has several")
      .value("name", "NAME", "its name (default: that of the exported template)")
      .value("share", "auto|never|ID", "share blocks with this template (default: auto)")
      .value("shared-file", "PATH", "a host file that all forks open; may be repeated")
      .flag("assume-no-paths", "it has no drives, if its vmstate is unknown");
  add_progress(options);
  base::add_dry_run(options);
  options.footer("'-' reads a tar of the layout from standard input. See template-oci(1).");
  const auto parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(2, 2, "NEW and DIR");
  ImportRequest request{.guest = {.id = parsed->operands()[0],
                                  .name = parsed->value_or("name", ""),
                                  .shared_files = parsed->values("shared-file"),
                                  .assumes_no_paths = parsed->has("assume-no-paths")},
                        .source = parsed->operands()[1],
                        .tag = parsed->has("tag") ? checked_tag(*parsed->value("tag")) : "",
                        .share = parsed->value_or("share", "auto"),
                        .effect = base::effect_of(*parsed)};
  store::check_id(request.guest.id);
  if (request.share != "auto" && request.share != "never") {
    store::check_id(request.share);
  }
  if (request.source == "-" && base::is_dry_run(request.effect)) {
    throw base::UsageError("the option --dry-run is not for '-', which can be read only once");
  }
  cloning::Progress progress(progress_of(*parsed));
  const ImportReport report = import_template(store::open_store(), request, progress);
  if (base::is_dry_run(request.effect)) {
    announce("import " + request.guest.id + " from " + base::printable(request.source));
    return 0;
  }
  if (base::message_style().json) {
    base::JsonLine line("import");
    line.text("id", request.guest.id)
        .text("manifest", report.manifest.text())
        .number("raw_bytes", number_of(report.raw_bytes))
        .number("shared_bytes", number_of(report.shared_bytes));
    if (!report.shared_with.empty()) {
      line.text("shared_with", report.shared_with);
    } else {
      line.null("shared_with");
    }
    base::write_line_out(line.str());
  }
  base::say_info(
      base::quoted(request.guest.id) + " is imported: " + mib(report.raw_bytes) + ", of which " +
      mib(report.shared_bytes) + " are shared" +
      (report.shared_with.empty() ? std::string() : " with " + base::quoted(report.shared_with)));
  return 0;
}

}  // namespace oci
