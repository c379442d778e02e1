// snapshot-meta list, state and verify: what there is, and whether it is whole.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/command_line.h"
#include "meta/commands.h"
#include "meta/files.h"
#include "meta/fork_count.h"
#include "meta/guest_state.h"
#include "meta/metadata.h"
#include "meta/verify.h"

namespace meta {
namespace {

struct Row {
  std::string id;
  std::string name;
  State state = State::broken;
  std::string reason;
  bool is_template = false;
  std::string parent;
  size_t forks = 0;
  bool mem_locked = false;
};

// A guest whose metadata cannot be read is a row as well: Broken, and a warning.
Row make_row(const base::Store& store, const std::string& id) {
  Row row{.id = id, .name = "", .reason = "", .parent = ""};
  try {
    const Metadata metadata = Metadata::of_guest(store, id);
    const GuestState state = derive_state(store, id, metadata);
    row.name = metadata.text("Name");
    row.is_template = metadata.is_template();
    row.parent = metadata.fork_of_template();
    row.state = state.state;
    row.reason = state.reason;
    row.forks = count_forks(store, id, metadata);
    row.mem_locked = is_memory_locked(state, metadata);
  } catch (const base::Error& error) {
    row.reason = error.what();
  } catch (const std::system_error& error) {
    row.reason = error.what();
  }
  return row;
}

std::string to_json(const Row& row) {
  base::JsonLine line("guest");
  line.text("id", row.id).text("name", row.name).text("state", state_name(row.state));
  row.reason.empty() ? line.null("reason") : line.text("reason", row.reason);
  line.boolean("is_template", row.is_template);
  row.parent.empty() ? line.null("template") : line.text("template", row.parent);
  return line.number("fork_count", static_cast<int64_t>(row.forks))
      .boolean("mem_locked", row.mem_locked)
      .str();
}

void print_table(const std::vector<Row>& rows) {
  constexpr size_t kColumns = 5;
  using Cells = std::array<std::string, kColumns>;
  std::vector<Cells> lines{{"ID", "STATE", "FORKS", "TEMPLATE", "NAME"}};
  for (const Row& row : rows) {
    lines.push_back({row.id, state_name(row.state),
                     row.is_template ? std::to_string(row.forks) : "-",
                     row.parent.empty() ? "-" : plain_text(row.parent), plain_text(row.name)});
  }
  std::array<size_t, kColumns> widths{};
  for (const Cells& line : lines) {
    for (size_t i = 0; i < kColumns; ++i) {
      widths.at(i) = std::max(widths.at(i), line.at(i).size());
    }
  }
  for (const Cells& line : lines) {
    std::string text;
    for (size_t i = 0; i + 1 < kColumns; ++i) {
      text += line.at(i) + std::string(widths.at(i) - line.at(i).size() + 2, ' ');
    }
    base::write_out(text + line.back() + "\n");
  }
}

}  // namespace

int list_command(int argc, char** argv) {
  base::Options options("snapshot-meta list", "[OPTION]...",
                        "List all guests with their derived states.");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(0, 0, "no operands");
  const base::Store store = open_store();
  std::vector<Row> rows;
  for (const std::string& id : list_ids(store.guests_dir())) {
    const Row row = make_row(store, id);
    if (row.state == State::broken) {
      base::say_warning("guest " + base::quoted(id) + " is Broken: " + row.reason);
    }
    if (base::message_style().json) {
      base::write_line_out(to_json(row));
    } else {
      rows.push_back(row);
    }
  }
  if (!base::message_style().json) {
    print_table(rows);
  }
  return 0;
}

int state_command(int argc, char** argv) {
  base::Options options("snapshot-meta state", "[OPTION]... ID",
                        "Print Stopped, Running, Standby, Template or Broken; --json says why.");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, 1, "ID");
  const std::string id = id_operand(*parsed, 0);
  const base::Store store = open_store();
  const Metadata metadata = Metadata::of_guest(store, id);
  const GuestState state = derive_state(store, id, metadata);
  if (base::message_style().json) {
    base::JsonLine line("state");
    line.text("id", id).text("state", state_name(state.state));
    state.reason.empty() ? line.null("reason") : line.text("reason", state.reason);
    base::write_line_out(line.raw("facts", facts_json(state, metadata)).str());
    return 0;
  }
  if (!state.reason.empty()) {
    base::say_info("guest " + base::quoted(id) + ": " + state.reason);
  }
  base::write_line_out(state_name(state.state));
  return 0;
}

int verify_command(int argc, char** argv) {
  base::Options options("snapshot-meta verify", "[OPTION]... ID",
                        "Check whether the parts of a guest agree with each other.");
  options.flag("deep", "read all of a template's memory and compare its digest");
  const std::optional<base::ParsedOptions> parsed = options.parse(argc, argv);
  if (!parsed) {
    return 0;
  }
  parsed->require_operands(1, 1, "ID");
  const std::string id = id_operand(*parsed, 0);
  const std::vector<std::string> problems =
      verify_guest(open_store(), id, parsed->has("deep") ? Depth::deep : Depth::quick);
  for (const std::string& problem : problems) {
    base::say_error(problem);
  }
  if (base::message_style().json) {
    base::write_line_out(base::JsonLine("verify")
                             .text("id", id)
                             .boolean("ok", problems.empty())
                             .raw("problems", base::json_array(problems))
                             .str());
  } else if (problems.empty()) {
    base::write_line_out("ok");
  }
  return problems.empty() ? 0 : 1;
}

}  // namespace meta
