// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta fsck: prints each finding and a summary.
#include <array>
#include <string>

#include "base/effect.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/fsck/fsck.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "store/files.h"

namespace meta {
namespace {

void print(const Finding& finding) {
  const char* outcome = outcome_name(finding.outcome);
  if (!base::message_style().json) {
    base::write_line_out(std::string(outcome) + ": " + plain_text(finding.path) + ": " +
                         plain_text(finding.text));
    return;
  }
  base::JsonLine line("finding");
  line.text("outcome", outcome).text("problem", finding.problem);
  finding.id.empty() ? line.null("id") : line.text("id", finding.id);
  base::write_line_out(line.path("path", finding.path).text("text", finding.text).str());
}

class Counts {
 public:
  void add(Outcome outcome) { ++counts_.at(static_cast<size_t>(outcome)); }
  int64_t of(Outcome outcome) const { return counts_.at(static_cast<size_t>(outcome)); }
  bool all_repaired() const {
    return of(Outcome::found) + of(Outcome::busy) + of(Outcome::left) == 0;
  }

 private:
  std::array<int64_t, 4> counts_{};
};

}  // namespace

int fsck_command(int argc, char** argv) {
  base::Options options("snapshot-meta fsck", "[OPTION]...",
                        "Find what killed programs left in the store, and repair it.");
  options.flag("repair", "repair what is found; without this option, change nothing");
  base::add_dry_run(options);
  options.footer(
      "Other programs may run at the same time: what they use is reported as busy.\n"
      "Exit status: 0 no problem remains, 1 a problem remains.");
  const std::optional<base::ParsedOptions> parsed = parse_operands(options, argc, argv, {0, 0, ""});
  if (!parsed) {
    return 0;
  }
  const base::Effect effect =
      parsed->has("repair") ? base::effect_of(*parsed) : base::Effect::dry_run;
  Counts counts;
  check_store(store::open_store(), effect, [&](const Finding& finding) {
    counts.add(finding.outcome);
    print(finding);
  });
  if (base::message_style().json) {
    base::JsonLine line("summary");
    for (const Outcome outcome :
         {Outcome::found, Outcome::repaired, Outcome::busy, Outcome::left}) {
      line.number(outcome_name(outcome), counts.of(outcome));
    }
    base::write_line_out(line.str());
  } else if (counts.of(Outcome::found) > 0 && !parsed->has("repair")) {
    base::say_info("'snapshot-meta fsck --repair' repairs what it can");
  }
  return counts.all_repaired() ? 0 : 1;
}

}  // namespace meta
