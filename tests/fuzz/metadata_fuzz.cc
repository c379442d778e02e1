// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of metadata.json: a change of one key keeps the text of all others, and both
// readers of the keys that count forks agree.
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <string>

#include "base/fd.h"
#include "meta/guest/fork_relation.h"
#include "meta/guest/metadata.h"
#include "store/store.h"
#include "tests/fuzz/fuzz.h"

namespace {

using base::JsonObject;

// A store with one guest, for the reader that opens the file itself; gone with the process.
class OneGuest {
 public:
  OneGuest() : root_("/dev/shm/snapfork-fuzz-" + std::to_string(::getpid())), store_(root_) {
    store::make_dirs(store_.guest_dir("g"), 0700);
  }
  ~OneGuest() {
    ::unlink(store_.metadata_path("g").c_str());
    for (const std::string& dir : {store_.guest_dir("g"), store_.guests_dir(), root_}) {
      ::rmdir(dir.c_str());
    }
  }
  OneGuest(const OneGuest&) = delete;
  OneGuest(OneGuest&&) = delete;
  OneGuest& operator=(const OneGuest&) = delete;
  OneGuest& operator=(OneGuest&&) = delete;

  std::optional<meta::ForkRelation> read(std::string_view text) const {
    const std::string path = store_.metadata_path("g");
    const base::Fd file = base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    base::write_full(file.get(), text, path);
    std::optional<meta::ForkRelation> keys;
    fuzz::accepts([&] { keys = meta::read_fork_relation(store_, "g"); });
    return keys;
  }

 private:
  std::string root_;
  store::Store store_;
};

// The same members: what was written is read as what it was written from.
void require_same(const JsonObject& a, const JsonObject& b) {
  FUZZ_REQUIRE(a.members().size() == b.members().size());
  for (size_t i = 0; i < a.members().size(); ++i) {
    FUZZ_REQUIRE(a.members()[i].key == b.members()[i].key);
    FUZZ_REQUIRE(base::compact_json(a.members()[i].raw) == base::compact_json(b.members()[i].raw));
  }
}

// Sets, replaces and removes another key: all other keys are unchanged, byte for byte.
void check_change(const JsonObject& object) {
  constexpr std::string_view kKey = "snapfork.fuzz\x01";
  JsonObject changed = object;
  changed.set(kKey, "[1.0]");
  changed.set(kKey, R"({"deep":1e400})");
  const JsonObject read = JsonObject::parse(changed.pretty(), "changed");
  FUZZ_REQUIRE(read.find(kKey) != nullptr);
  changed.erase(kKey);
  if (object.find(kKey) == nullptr) {
    FUZZ_REQUIRE(changed.pretty() == object.pretty());
  }
}

void check_keys(std::string_view text, const meta::Metadata& metadata) {
  static const OneGuest guest;
  const std::optional<meta::ForkRelation> keys = guest.read(text);
  if (!keys) {
    return;
  }
  FUZZ_REQUIRE(metadata.is_template() == keys->is_template);
  FUZZ_REQUIRE(metadata.fork_of_template() == keys->fork_of_template);
}

void check(std::string_view text) {
  const meta::Metadata metadata = meta::Metadata::parse(text, "fuzzed");
  const JsonObject& object = metadata.json();
  require_same(object, JsonObject::parse(object.pretty(), "pretty"));
  require_same(object, JsonObject::parse(object.compact(), "compact"));
  check_change(object);
  for (const JsonObject::Member& member : object.members()) {
    meta::fits_key(member.key, member.raw);
    base::json_elements(member.raw);
    object.find_path(member.key);
  }
  check_keys(text, metadata);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::accepts([&] { check(fuzz::text_of(data, size)); });
  return 0;
}
