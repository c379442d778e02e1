// SPDX-License-Identifier: Apache-2.0
// Implements snapshot-meta new-ids: chooses ids that no guest has.
#include <sys/random.h>
#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "base/error.h"
#include "base/json_line.h"
#include "base/message.h"
#include "base/number.h"
#include "base/options.h"
#include "base/output.h"
#include "meta/verbs/command_line.h"
#include "meta/verbs/commands.h"

namespace meta {
namespace {

constexpr size_t kLetters = 6;   // 26^6 is 3e8
constexpr size_t kLongest = 64;  // of an id, see store::check_id
constexpr int kLettersInAlphabet = 26;
constexpr int kMostIds = 100'000;

std::string random_letters() {
  std::array<uint8_t, kLetters> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    base::throw_errno("cannot get random bytes");
  }
  std::string letters;
  for (const uint8_t byte : bytes) {
    letters += static_cast<char>('a' + byte % kLettersInAlphabet);
  }
  return letters;
}

bool has_no_guest(const store::Store& store, const std::string& id) {
  struct stat st {};
  return ::lstat(store.guest_dir(id).c_str(), &st) != 0;
}

}  // namespace

int new_ids_command(int argc, char** argv) {
  base::Options options("snapshot-meta new-ids", "[OPTION]... BASE COUNT",
                        "Print ids BASE-xxxxxx that no guest has. A long BASE is cut.");
  const std::optional<GuestCall> call =
      parse_guest_call(options, argc, argv, {2, 2, "BASE and COUNT"});
  if (!call) {
    return 0;
  }
  const std::optional<int> count = base::parse_number<int>(call->options.operands()[1]);
  if (!count || *count < 1 || *count > kMostIds) {
    throw base::UsageError("bad COUNT " + base::quoted(call->options.operands()[1]) +
                           ": a number from 1 to " + std::to_string(kMostIds) + " is needed");
  }
  const std::string prefix = call->id.substr(0, kLongest - kLetters - 1) + "-";
  std::set<std::string> chosen;
  while (chosen.size() < static_cast<size_t>(*count)) {
    const std::string id = prefix + random_letters();
    if (!has_no_guest(call->store, id) || !chosen.insert(id).second) {
      continue;
    }
    base::write_line_out(base::message_style().json ? base::JsonLine("new_id").text("id", id).str()
                                                    : id);
  }
  return 0;
}

}  // namespace meta
