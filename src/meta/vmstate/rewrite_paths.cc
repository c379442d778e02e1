// SPDX-License-Identifier: Apache-2.0
// Replaces the columns that hold changed paths, computes the CRC, and reads the result again.
#include "meta/vmstate/rewrite_paths.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/little_endian.h"
#include "base/unix_socket.h"
#include "base/utf8.h"
#include "meta/vmstate/bitcode_packing.h"
#include "meta/vmstate/crc64.h"

namespace meta::vmstate {
namespace {

// All strings of a state that this file can change, ordered by their offsets.
std::vector<EmbeddedText> all_texts(const VmState& state) {
  std::vector<EmbeddedText> texts = state.boot_paths;
  texts.insert(texts.end(), state.paths.begin(), state.paths.end());
  texts.insert(texts.end(), state.taps.begin(), state.taps.end());
  std::ranges::stable_sort(texts, {}, &EmbeddedText::offset);
  return texts;
}

void require_crc(const VmState& state, std::string_view name) {
  if (!state.crc_ok) {
    throw base::BadData("cannot rewrite " + base::quoted(name) +
                        ": its CRC is wrong; it is truncated or damaged");
  }
}

void require_devices(const VmState& state, std::string_view name) {
  if (!state.paths_problem.empty()) {
    throw base::Unsupported("cannot rewrite " + base::quoted(name) + ": " + state.paths_problem);
  }
}

VmState read_state(std::string_view bytes, std::string_view name) {
  VmState state = parse_vmstate(bytes, name);
  require_crc(state, name);
  read_devices(bytes, state);
  return state;
}

std::optional<std::string> changed(const std::string& path, const PathChange& change) {
  if (path == change.from) {
    return change.to;
  }
  const std::string dir = change.from.ends_with('/') ? change.from : change.from + "/";
  if (!path.starts_with(dir)) {
    return std::nullopt;
  }
  return change.to + (change.to.ends_with('/') ? "" : "/") + path.substr(dir.size());
}

void check_new_path(Role role, const std::string& path) {
  if (!base::is_utf8(path)) {
    throw base::UsageError("the path " + base::quoted(path) + " is not UTF-8");
  }
  if (role == Role::vsock || role == Role::vhost_user_block) {
    base::check_socket_path(path);
  }
}

// The new string for each path. Throws base::Refused if a change matches no path.
std::vector<std::string> new_strings(const std::vector<EmbeddedText>& paths,
                                     std::span<const PathChange> changes, std::string_view name) {
  std::vector<bool> used(changes.size(), false);
  std::vector<std::string> strings;
  for (const EmbeddedText& path : paths) {
    std::string text = path.text;
    for (size_t i = 0; i < changes.size() && path.role != Role::tap; ++i) {
      if (const std::optional<std::string> other = changed(path.text, changes[i])) {
        used[i] = true;
        check_new_path(path.role, *other);
        text = *other;
        break;
      }
    }
    strings.push_back(std::move(text));
  }
  for (size_t i = 0; i < changes.size(); ++i) {
    if (!used[i]) {
      throw base::Refused(
          "cannot rewrite " + base::quoted(name) + ": it contains no path equal to " +
          base::quoted(changes[i].from) +
          " or below it; 'snapshot-meta vmstate' prints the paths that it contains");
    }
  }
  return strings;
}

// The strings whose lengths stand at one offset. In bincode a column has one string.
struct Column {
  size_t end = 0;  // offset after the last string
  bool is_changed = false;
  std::vector<uint64_t> lengths;
  std::string strings;
};

std::string encode(const Column& column, Encoding encoding) {
  std::string bytes;
  if (encoding == Encoding::bincode) {
    base::append_little_endian(bytes, column.lengths.at(0), sizeof(uint64_t));
  } else {
    pack_lengths(column.lengths, bytes);
  }
  return bytes + column.strings;
}

// The columns by the offset of their lengths, with the new strings in them.
std::map<size_t, Column> make_columns(const std::vector<EmbeddedText>& paths,
                                      const std::vector<std::string>& strings,
                                      std::string_view name) {
  std::map<size_t, Column> columns;
  for (size_t i = 0; i < paths.size(); ++i) {
    Column& column = columns[paths[i].lengths_at];
    if (!column.lengths.empty() && column.end != paths[i].offset) {
      throw base::Unsupported("cannot rewrite " + base::quoted(name) +
                              ": the strings of its devices overlap");
    }
    column.is_changed = column.is_changed || strings[i] != paths[i].text;
    column.end = paths[i].offset + paths[i].text.size();
    column.lengths.push_back(strings[i].size());
    column.strings += strings[i];
  }
  return columns;
}

std::string splice(std::string_view body, const std::map<size_t, Column>& columns,
                   Encoding encoding) {
  std::string result;
  size_t at = 0;
  for (const auto& [start, column] : columns) {
    if (!column.is_changed) {
      continue;
    }
    result += body.substr(at, start - at);
    result += encode(column, encoding);
    at = column.end;
  }
  return result + std::string(body.substr(at));
}

// Throws base::Unsupported unless the new state has the new paths and otherwise equals the old one.
void check_result(const VmState& before, const VmState& after,
                  const std::vector<std::string>& strings, std::string_view name) {
  const auto text_of = [](const EmbeddedText& text) { return text.text; };
  const auto id_of = [](const EmbeddedText& tap) { return tap.iface_id; };
  if (!after.crc_ok || !after.paths_problem.empty() ||
      !std::ranges::equal(before.taps, after.taps, {}, id_of, id_of) ||
      after.mem_size_mib != before.mem_size_mib || after.boot_args != before.boot_args ||
      !std::ranges::equal(all_texts(after), strings, {}, text_of)) {
    throw base::Unsupported("cannot rewrite " + base::quoted(name) +
                            ": the new state cannot be read back correctly");
  }
}

// Writes `strings` in the place of `paths`, which are all_texts of the state. `read_back` reads the
// result.
template <typename ReadBack>
RewrittenState with_strings(std::string_view bytes, std::string_view name, const VmState& state,
                            const std::vector<EmbeddedText>& paths,
                            const std::vector<std::string>& strings, const ReadBack& read_back) {
  const std::string_view body = bytes.substr(0, bytes.size() - sizeof(uint64_t));
  RewrittenState result{.bytes = splice(body, make_columns(paths, strings, name), state.encoding),
                        .changes = {}};
  base::append_little_endian(result.bytes, crc64(result.bytes), sizeof(uint64_t));
  if (result.bytes.size() > kMaxVmStateBytes) {
    throw base::UsageError(
        "the new paths are too long: the state would have " + std::to_string(result.bytes.size()) +
        " bytes, and Firecracker loads at most " + std::to_string(kMaxVmStateBytes));
  }
  check_result(state, read_back(result.bytes), strings, name);
  for (size_t i = 0; i < paths.size(); ++i) {
    if (strings[i] != paths[i].text) {
      result.changes.push_back({.role = paths[i].role, .from = paths[i].text, .to = strings[i]});
    }
  }
  return result;
}

bool is_boot_path(const EmbeddedText& path) {
  return path.role == Role::kernel || path.role == Role::initrd;
}

}  // namespace

RewrittenState rewrite_paths(std::string_view bytes, std::string_view name,
                             std::span<const PathChange> changes) {
  const VmState state = read_state(bytes, name);
  require_devices(state, name);
  const std::vector<EmbeddedText> paths = all_texts(state);
  return with_strings(bytes, name, state, paths, new_strings(paths, changes, name),
                      [&](std::string_view result) { return read_state(result, name); });
}

RewrittenState set_paths(std::string_view bytes, std::string_view name, const VmState& state,
                         std::span<const std::string> new_paths,
                         std::span<const std::string> new_taps) {
  require_crc(state, name);
  require_devices(state, name);
  SNAPFORK_CHECK(new_paths.size() == state.paths.size());
  SNAPFORK_CHECK(new_taps.empty() || new_taps.size() == state.taps.size());
  const std::vector<EmbeddedText> texts = all_texts(state);
  std::vector<std::string> strings;
  auto next_path = new_paths.begin();
  auto next_tap = new_taps.begin();
  for (const EmbeddedText& text : texts) {
    if (text.role == Role::tap) {
      strings.push_back(new_taps.empty() ? text.text : *next_tap++);
    } else {
      strings.push_back(is_boot_path(text) ? text.text : *next_path++);
    }
    if (strings.back() != text.text) {
      check_new_path(text.role, strings.back());
    }
  }
  return with_strings(bytes, name, state, texts, strings, [&](std::string_view result) {
    VmState after = parse_vmstate(result, name);
    read_devices_like(result, state, after);
    return after;
  });
}

}  // namespace meta::vmstate
