// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta list: filters, sorts and prints the guests of the store.
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/forks/fork_count.h"
#include "meta/guest/guest_state.h"
#include "meta/guest/metadata.h"
#include "meta/guest/snapshot_record.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"
#include "store/files.h"

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
  std::string vmm;  // version of the Firecracker that made the snapshot; may be empty
};

// The conditions for a row. An empty member accepts all guests.
struct Filter {
  std::vector<std::string> states;
  std::optional<std::string> parent;
  std::optional<std::string> name;  // a shell pattern

  bool takes(const Metadata& metadata) const {
    return (!parent || metadata.fork_of_template() == *parent) &&
           (!name || ::fnmatch(name->c_str(), metadata.text("Name").c_str(), 0) == 0);
  }
  bool takes(State state) const {
    return states.empty() || std::ranges::find(states, state_name(state)) != states.end();
  }
  // Only the state is known of a guest whose metadata cannot be read.
  bool takes_unreadable(State state) const { return !parent && !name && takes(state); }
};

// The name of the state `word`, in any case: "standby" gives "Standby".
std::string canonical_state(const std::string& word) {
  for (const State state : {State::stopped, State::running, State::standby, State::stale,
                            State::template_, State::broken}) {
    std::string name = state_name(state);
    if (std::ranges::equal(name, word, [](char a, char b) { return (a | 0x20) == (b | 0x20); })) {
      return name;
    }
  }
  throw base::UsageError(
      "bad value " + base::quoted(word) +
      " for --state: it must be Stopped, Running, Standby, Stale, Template or Broken");
}

Filter filter_of(const base::ParsedOptions& parsed) {
  Filter filter{.states = {}, .parent = parsed.value("template"), .name = parsed.value("name")};
  for (const std::string& word : parsed.values("state")) {
    filter.states.push_back(canonical_state(word));
  }
  if (filter.parent) {
    store::check_id(*filter.parent);
  }
  return filter;
}

// The row of the guest `id`. A guest whose metadata cannot be read is Broken, or Running if a
// process may be its VMM. Returns nothing if the filter does not accept the guest, or if it was
// deleted.
std::optional<Row> make_row(const store::Store& store, const std::string& id, const Filter& filter,
                            VmmFinder& finder) {
  Row row{.id = id, .name = "", .reason = "", .parent = "", .vmm = ""};
  try {
    const Metadata metadata = Metadata::of_guest(store, id);
    if (!filter.takes(metadata)) {
      return std::nullopt;
    }
    const GuestState state = derive_state(store, id, metadata, finder);
    if (!filter.takes(state.state)) {
      return std::nullopt;
    }
    row.name = metadata.text("Name");
    row.is_template = metadata.is_template();
    row.parent = metadata.fork_of_template();
    row.state = state.state;
    row.reason = state.reason;
    row.forks = count_forks(store, id, metadata);
    row.mem_locked = is_memory_locked(state, metadata);
    row.vmm = snapshot_vmm(metadata);
    return row;
  } catch (const std::exception& error) {
    row.reason = error.what();
    if (!guest_exists(store, id)) {
      return std::nullopt;  // deleted at the same time
    }
    const std::optional<LiveVmm> vmm =
        is_guest(store, id) ? finder.find_without_metadata(id) : std::nullopt;
    if (vmm) {
      row.state = State::running;
      row.reason += "; " + vmm->reason;
    }
  }
  return filter.takes_unreadable(row.state) ? std::optional(row) : std::nullopt;
}

void sort_rows(std::vector<Row>& rows, const std::string& key) {
  // The rows are sorted by id, which remains the order among equal rows.
  if (key == "name") {
    std::ranges::stable_sort(rows, {}, &Row::name);
  } else if (key == "state") {
    std::ranges::stable_sort(
        rows, {}, [](const Row& row) { return std::string_view(state_name(row.state)); });
  } else if (key == "template") {
    std::ranges::stable_sort(rows, {}, &Row::parent);
  } else if (key == "forks") {
    std::ranges::stable_sort(rows, std::ranges::greater(), &Row::forks);
  }
}

std::string to_json(const Row& row) {
  base::JsonLine line("guest");
  line.text("id", row.id).text("name", row.name).text("state", state_name(row.state));
  row.reason.empty() ? line.null("reason") : line.text("reason", row.reason);
  line.boolean("is_template", row.is_template);
  row.parent.empty() ? line.null("template") : line.text("template", row.parent);
  line.number("fork_count", static_cast<int64_t>(row.forks)).boolean("mem_locked", row.mem_locked);
  row.vmm.empty() ? line.null("vmm_version") : line.text("vmm_version", row.vmm);
  return line.str();
}

void print_table(const std::vector<Row>& rows) {
  constexpr size_t kColumns = 6;
  using Cells = std::array<std::string, kColumns>;
  std::vector<Cells> lines{{"ID", "STATE", "FORKS", "TEMPLATE", "VMM", "NAME"}};
  for (const Row& row : rows) {
    lines.push_back({row.id, state_name(row.state),
                     row.is_template ? std::to_string(row.forks) : "-",
                     row.parent.empty() ? "-" : plain_text(row.parent),
                     row.vmm.empty() ? "-" : plain_text(row.vmm), plain_text(row.name)});
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
                        "List guests with their derived states.");
  options.value("state", "STATE", "only guests in this state; may be repeated")
      .value("template", "ID", "only forks of this template")
      .value("name", "PATTERN", "only guests whose name matches this shell pattern")
      .value("sort", "KEY", "id (default), name, state, template, or forks (most first)");
  const std::optional<base::ParsedOptions> parsed = parse_operands(options, argc, argv, {0, 0, ""});
  if (!parsed) {
    return 0;
  }
  const Filter filter = filter_of(*parsed);
  const std::string key = parsed->choice("sort", {"id", "name", "state", "template", "forks"});
  const bool json = base::message_style().json;
  const bool streams = json && key == "id";
  const store::Store store = store::open_store();
  std::vector<Row> rows;
  VmmFinder finder(store);
  for (const std::string& id : store::list_ids(store, store.guests_dir())) {
    std::optional<Row> row = make_row(store, id, filter, finder);
    if (!row) {
      continue;
    }
    if (row->state == State::broken) {
      base::say_warning("guest " + base::quoted(id) + " is Broken: " + row->reason);
    }
    if (streams) {
      base::write_line_out(to_json(*row));
    } else {
      rows.push_back(*std::move(row));
    }
  }
  sort_rows(rows, key);
  if (!json) {
    print_table(rows);
  } else {
    for (const Row& row : rows) {
      base::write_out(to_json(row) + "\n");
    }
  }
  return 0;
}

}  // namespace meta
