#include "meta/guest_keys.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/fd.h"

namespace meta {
namespace {

constexpr size_t kMaxMetadataBytes = size_t{16} << 20U;

// Receives the events of nlohmann's parser, which needs no stack for nesting, and keeps two values
// of the outermost object. As in Go and in nlohmann's own tree, the last of several equal keys
// counts.
class KeyPicker {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  bool null() {
    if (depth_ == 1 && key_ == Key::is_template) {
      keys.is_template = false;
    } else if (depth_ == 1 && key_ == Key::fork_of_template) {
      keys.fork_of_template.clear();
    }
    return depth_ > 0 || not_an_object();
  }
  bool boolean(bool value) {
    if (depth_ == 1 && key_ == Key::is_template) {
      keys.is_template = value;
      return true;
    }
    return other_value();
  }
  bool string(string_t& value) {
    if (depth_ == 1 && key_ == Key::fork_of_template) {
      keys.fork_of_template = std::move(value);
      return true;
    }
    return other_value();
  }
  bool number_integer(number_integer_t /*value*/) { return other_value(); }
  bool number_unsigned(number_unsigned_t /*value*/) { return other_value(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) { return other_value(); }
  bool binary(binary_t& /*value*/) { return other_value(); }

  bool start_object(size_t /*count*/) {
    if (depth_ > 0 && !other_value()) {
      return false;
    }
    ++depth_;
    return true;
  }
  bool start_array(size_t /*count*/) {
    if (!other_value()) {
      return false;
    }
    ++depth_;
    return true;
  }
  bool end_object() { return leave(); }
  bool end_array() { return leave(); }
  bool key(string_t& name) {
    if (depth_ == 1) {
      key_ = name == "IsTemplate"       ? Key::is_template
             : name == "ForkOfTemplate" ? Key::fork_of_template
                                        : Key::other;
    }
    return true;
  }
  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) {
    problem = "no JSON from byte " + std::to_string(position) + " on";
    return false;
  }

  GuestKeys keys;
  std::string problem;

 private:
  enum class Key { other, is_template, fork_of_template };

  bool not_an_object() {
    problem = "not a JSON object";
    return false;
  }
  // A value of a type that neither key may have.
  bool other_value() {
    if (depth_ == 0) {
      return not_an_object();
    }
    if (depth_ == 1 && key_ == Key::is_template) {
      problem = "'IsTemplate' is neither true nor false";
    } else if (depth_ == 1 && key_ == Key::fork_of_template) {
      problem = "'ForkOfTemplate' is no string";
    }
    return problem.empty();
  }
  bool leave() {
    --depth_;
    return true;
  }

  size_t depth_ = 0;
  Key key_ = Key::other;
};

}  // namespace

std::optional<GuestKeys> read_guest_keys(const base::Store& store, std::string_view id) {
  const std::string path = store.metadata_path(id);
  std::string text;
  try {
    text = base::read_file(path, kMaxMetadataBytes);
  } catch (const std::system_error&) {
    // Looked at after the failure: a guest that is trashed meanwhile is absent, not unreadable.
    struct stat st {};
    if (::lstat(store.guest_dir(id).c_str(), &st) != 0 && errno == ENOENT) {
      return std::nullopt;
    }
    throw;
  }
  KeyPicker picker;
  if (!nlohmann::json::sax_parse(text, &picker)) {
    throw base::BadData("cannot read " + base::quoted(path) + ": " + picker.problem);
  }
  return std::move(picker.keys);
}

}  // namespace meta
