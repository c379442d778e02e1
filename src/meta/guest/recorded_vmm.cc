// SPDX-License-Identifier: Apache-2.0
// Reads the recorded VMM from metadata, or searches damaged text for its keys.
#include "meta/guest/recorded_vmm.h"

#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>

#include "base/json_line.h"
#include "base/json_object.h"

namespace meta {
namespace {

// The pid `number`, or 0 if `number` cannot be a pid.
pid_t pid_of(int64_t number) {
  return number > 0 && number <= std::numeric_limits<pid_t>::max() ? static_cast<pid_t>(number) : 0;
}

// The string at `path`. Empty for any other type, because other programs may use the key.
std::string optional_text(const Metadata& metadata, std::string_view path) {
  const std::optional<std::string> raw = metadata.json().find_path(path);
  return raw ? base::json_text(*raw).value_or("") : "";
}

// The text after the first `"key":`, at any depth.
std::string_view value_after(std::string_view text, std::string_view key) {
  const size_t at = text.find("\"" + std::string(key) + "\"");
  const size_t value =
      at == std::string_view::npos ? at : text.find_first_not_of(" \t\r\n:", at + key.size() + 2);
  return value == std::string_view::npos ? "" : text.substr(value);
}

int64_t number_after(std::string_view text, std::string_view key) {
  const std::string_view value = value_after(text, key);
  int64_t number = 0;
  const char* const end = value.data() + value.size();
  const char* const stop = std::from_chars(value.data(), end, number).ptr;
  const bool is_whole =
      stop == end || std::string_view(".eE").find(*stop) == std::string_view::npos;
  return is_whole ? number : 0;
}

// The string after the key, without decoding escapes. A boot id has none, and a path rarely has.
std::string text_after(std::string_view text, std::string_view key) {
  std::string_view value = value_after(text, key);
  if (!value.starts_with('"')) {
    return "";
  }
  value.remove_prefix(1);
  const size_t end = value.find('"');
  return end == std::string_view::npos ? "" : std::string(value.substr(0, end));
}

}  // namespace

RecordedVmm recorded_vmm(const Metadata& metadata) {
  return {.process = {.pid = pid_of(metadata.number("HypervisorPID").value_or(0)),
                      .start_time =
                          static_cast<uint64_t>(metadata.number("HypervisorStartTime").value_or(0)),
                      .boot_id = optional_text(metadata, "HypervisorBootID"),
                      .pid_namespace = optional_text(metadata, kPidNamespaceKey)},
          .api_socket = metadata.text("SocketPath")};
}

RecordedVmm recorded_vmm_in_text(std::string_view damaged) {
  const std::string_view own_key = kPidNamespaceKey.substr(kPidNamespaceKey.find('.') + 1);
  return {
      .process = {.pid = pid_of(number_after(damaged, "HypervisorPID")),
                  .start_time = static_cast<uint64_t>(number_after(damaged, "HypervisorStartTime")),
                  .boot_id = text_after(damaged, "HypervisorBootID"),
                  .pid_namespace = text_after(damaged, own_key)},
      .api_socket = text_after(damaged, "SocketPath")};
}

void record_vmm(Metadata& metadata, const base::ProcessIdentity& process,
                const std::string& api_socket) {
  metadata.set_number("HypervisorPID", process.pid);
  metadata.set_number("HypervisorStartTime", static_cast<int64_t>(process.start_time));
  metadata.set_text("HypervisorBootID", process.boot_id);
  static_cast<void>(
      metadata.json().set_path(kPidNamespaceKey, base::json_string(process.pid_namespace)));
  static_cast<void>(api_socket.empty()
                        ? metadata.json().erase_path(kApiSocketKey)
                        : metadata.json().set_path(kApiSocketKey, base::json_string(api_socket)));
}

}  // namespace meta
